"""Whether the files that a command names are there, before what takes seconds to import."""

from collections.abc import Sequence
from pathlib import Path

from mapsr.cli.keys import refuse_programs
from mapsr.errors import ConfigError, DataError
from mapsr.paths import is_there, local_path
from mapsr.remote import is_remote

_NONE = ("", "null", "???")


def require_inputs(overrides: Sequence[str]) -> None:
    """Refuse images and products that are not there, in the words of those who open them.

    torch and the methods take seconds to import, which a mistyped path need not wait for. What
    takes more than a look (lists, side files, whether a file is whole) is left to them.

    Args:
        overrides: of `mapsr map`, as key=value.

    Raises:
        MapsrError: an override would run a program; nothing is at a path, it is not that of a
            file, or a pattern matches nothing.
    """
    refuse_programs(overrides)
    from mapsr.geo.drivers import require_file, require_present
    from mapsr.geo.patterns import files_of, is_pattern

    given = {key: value for key, _, value in (one.partition("=") for one in overrides)}
    image, coarse, aoi = (given.get(key, "") for key in ("image", "coarse", "aoi"))
    if image not in _NONE and not is_remote(image):
        path = local_path(image, "image", DataError)
        if is_pattern(image):
            files_of(image, "image")
        elif path.suffix.lower() not in (".csv", ".json", ".geojson"):
            require_file(path)
    if coarse not in _NONE and not is_remote(coarse) and not is_pattern(coarse):
        require_file(local_path(coarse, "coarse"))
    if aoi not in _NONE:
        require_present(local_path(aoi.partition("|layername=")[0], "aoi"))


def require_source(source: str) -> None:
    """Refuse to show a run or map that is not there.

    Raises:
        ConfigError: nothing is at the path.
    """
    if not is_there(Path(source)):
        raise ConfigError(f"There is no run or map '{source}'; name the folder of a run, or a map.")
