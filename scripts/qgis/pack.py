"""Pack the QGIS plugin: `make qgis` writes dist/mapsr_provider.zip, byte for byte the same."""

import sys
import zipfile
from pathlib import Path

FOLDER = Path(__file__).parent / "mapsr_provider"
ROOT = Path(__file__).parents[2]
# the least date that a zip can hold
_DATE = (1980, 1, 1, 0, 0, 0)


def pack(path: Path) -> list[str]:
    """Write the zip, and return the names in it."""
    own = (one for one in FOLDER.iterdir() if one.suffix in (".py", ".txt"))
    files = {f"{FOLDER.name}/{one.name}": one for one in own}
    files[f"{FOLDER.name}/LICENSE"] = ROOT / "LICENSE"
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as packed:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, _DATE)
            entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            packed.writestr(entry, files[name].read_bytes())
    return sorted(files)


if __name__ == "__main__":
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "dist" / "mapsr_provider.zip"
    names = pack(out)
    print(f"{len(names)} files in {out}")
