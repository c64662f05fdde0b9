"""What of this machine, its packages and its weights will work."""

import os
import platform
import re
from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata

from mapsr.errors import RasterError, WeightsError
from mapsr.extras import RESEARCH, absent, is_installed
from mapsr.findings import Finding
from mapsr.weights import REGISTRY, locate, verify, weights_name

DRIVERS = ("GTiff", "COG")


def examine() -> Iterator[Finding]:
    """Yield what is found of the machine, topic by topic."""
    yield Finding("python", f"{platform.python_version()} on {platform.platform()}")
    yield packages()
    yield research()
    yield torch_devices()
    yield memory()
    yield gdal()
    yield projections()
    yield wandb_mode()


def weight_findings() -> tuple[list[Finding], list[str]]:
    """Find all published weights; return what is found, and the names of those that work."""
    found = {name: weights(name) for name in REGISTRY}
    return [one for one, _ in found.values()], [n for n, (_, usable) in found.items() if usable]


def choice_findings(
    choices: Mapping[str, Mapping[str, object]], present: Sequence[str]
) -> Iterator[Finding]:
    """Tell which choices of groups work with the weights that are here.

    Args:
        choices: group -> choice -> its settings.
        present: weights that are here.
    """
    for group, settings in choices.items():
        needs = {choice: needed_weights(one) for choice, one in settings.items()}
        works = [choice for choice, need in needs.items() if need is None or need in present]
        yield Finding(f"{group}s", ", ".join(works))


def needed_weights(part: object) -> str | None:
    """The name of the published weights that settings need.

    Returns:
        The name; "" where a checkpoint has to be given; None where nothing is missing.
    """
    missing = object()
    checkpoint = getattr(part, "checkpoint", missing)
    if checkpoint is not None or getattr(part, "pretrained", True) is False:
        return None
    return weights_name(part) or ""


def packages() -> Finding:
    """Find the packages that mapsr needs, by its own metadata."""
    try:
        lines = metadata.requires("mapsr") or []
    except metadata.PackageNotFoundError:
        return Finding("packages", "mapsr is not installed", "install it with `pip install mapsr`")
    names = [re.split(r"[^\w.-]", line)[0] for line in lines if "extra ==" not in line]
    found, absent = [f"mapsr {metadata.version('mapsr')}"], []
    for name in names:
        try:
            found.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            absent.append(name)
    if absent:
        remedy = f"install with `pip install {' '.join(absent)}`"
        return Finding("packages", f"absent: {', '.join(absent)}", remedy)
    return Finding("packages", ", ".join(found))


def research() -> Finding:
    """Find the packages that experiments need beyond those of maps."""
    missing = absent(RESEARCH)
    if not missing:
        return Finding("research", "all packages that experiments, trainings and figures need")
    return Finding(
        "research",
        f"absent: {', '.join(missing)}; `mapsr map` works without",
        f"install what experiments need with `pip install 'mapsr[{RESEARCH}]'`",
    )


def torch_devices() -> Finding:
    """Find torch and the devices that it can use."""
    try:
        import torch
    except (ImportError, OSError) as error:
        return Finding("torch", f"can't be imported ({error})", "install torch for this machine")
    devices = [f"cpu with {torch.get_num_threads()} threads"]
    if torch.cuda.is_available():
        count = torch.cuda.device_count()
        devices[:0] = [f"cuda:{i} {torch.cuda.get_device_name(i)}" for i in range(count)]
    return Finding("torch", f"{torch.__version__}: {', '.join(devices)}")


def memory() -> Finding:
    """Find how much memory the machine has."""
    if "SC_PHYS_PAGES" not in getattr(os, "sysconf_names", {}):
        return Finding("memory", "unknown on this system")
    size = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return Finding("memory", f"{size / 2**30:.1f} GiB")


def gdal() -> Finding:
    """Find GDAL and the drivers that maps are written with."""
    try:
        import rasterio
    except (ImportError, OSError) as error:
        remedy = "install rasterio from its wheels: `pip install --force-reinstall rasterio`"
        return Finding("gdal", f"rasterio can't be imported ({error})", remedy)
    with rasterio.Env() as env:
        absent = [driver for driver in DRIVERS if driver not in env.drivers()]
    version = f"{rasterio.__gdal_version__} in rasterio {rasterio.__version__}"
    if absent:
        remedy = "install a rasterio whose GDAL (3.1 or later) has these drivers"
        return Finding("gdal", f"{version}, without driver {', '.join(absent)}", remedy)
    return Finding("gdal", f"{version}, with drivers {', '.join(DRIVERS)}")


def projections() -> Finding:
    """Find whether PROJ can read its database of reference systems."""
    try:
        from mapsr.geo.projections import require_projections

        require_projections()
    except RasterError as error:
        return Finding("proj", "reference systems can't be read", str(error))
    except (ImportError, OSError):
        return Finding("proj", "not looked at: rasterio can't be imported")
    return Finding("proj", "reference systems can be read")


def wandb_mode() -> Finding:
    """Find whether W&B is here, and could be online; offline needs nothing."""
    if not is_installed("wandb"):
        return Finding("wandb", "not installed; logger=none and logger=csv work")
    from mapsr.tracking.wandb_logger import has_credentials

    online = "works" if has_credentials() else "needs `wandb login` or WANDB_API_KEY"
    return Finding("wandb", f"logger.mode=offline works, logger.mode=online {online}")


def weights(name: str) -> tuple[Finding, bool]:
    """Find one file of weights, and whether it can be used."""
    topic = f"weights {name}"
    try:
        path = locate(name)
        if path is None:
            return Finding(topic, f"absent; `mapsr weights fetch {name}`"), False
        verify(REGISTRY[name], path)
    except WeightsError as error:
        return Finding(topic, str(error)), False
    return Finding(topic, str(path)), True
