"""Where choices come from: the rooms of the package, and other packages' plug-ins.

A plug-in is a module that another package names under the entry point group ``mapsr.plugins``.
Importing it registers its settings classes (see ``mapsr.settings.choice``). Its YAML files lie in
the folder that its ``CONF`` names, else in ``conf`` beside a package's ``__init__.py``.
"""

import importlib
import logging
import pkgutil
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cache
from importlib import metadata
from importlib.abc import PathEntryFinder
from pathlib import Path
from types import ModuleType
from typing import cast

import mapsr
from mapsr.errors import ConfigError
from mapsr.guard import Guard

logger = logging.getLogger(__name__)

GROUP = "mapsr.plugins"
"""Name of the entry points."""

# rooms whose modules may hold settings classes; geo's one comes with its face, and to import all of
# its modules would cost every command the second that reading vectors takes to get ready
_ROOMS = (
    *("legends", "data", "features", "upsample", "prompts", "refine", "networks", "training"),
    *("methods", "mapping", "tracking"),
)


@cache
def load_choices() -> tuple[Path, ...]:
    """Import every module that may register a choice, once a process.

    A plug-in that can't be imported is named in a warning, and the others are used.

    Returns:
        Folders of YAML files: the package's own first, then one of each plug-in that has some.

    Raises:
        ConfigError: two plug-ins have one name, or two choices of a group.
    """
    for room in _ROOMS:
        package = importlib.import_module(f"mapsr.{room}")
        # those without a choice may bring Lightning and the like, for seconds
        for name in _registering(package.__path__, f"{package.__name__}."):
            importlib.import_module(name)
    folders = (_conf_of(module) for module in _plugins())
    return (conf_folder(), *(folder for folder in folders if folder))


def _registering(paths: Iterable[str], prefix: str) -> Iterator[str]:
    """Names of the modules that may register a choice; one whose source can't be read may.

    Looks at sources alone, where ``pkgutil.walk_packages`` would import every package on the way.
    """
    for module in pkgutil.iter_modules(paths, prefix):
        spec = cast(PathEntryFinder, module.module_finder).find_spec(module.name)
        read = getattr(spec and spec.loader, "get_source", None)
        source = read(module.name) if read else None
        if source is None or "@choice(" in source:
            yield module.name
        if spec is not None and spec.submodule_search_locations:
            yield from _registering(spec.submodule_search_locations, f"{module.name}.")


def conf_folder() -> Path:
    """The package's configuration files: inside an installed package, beside it in a checkout."""
    package = Path(mapsr.__file__).parent
    inside = package / "conf"
    return inside if inside.is_dir() else package.parent / "conf"


def choices_of(group: str) -> list[str]:
    """Names of the choices of a group, those of plug-ins included."""
    paths = (path for folder in load_choices() for path in (folder / group).glob("*.yaml"))
    return sorted({path.stem for path in paths})


def group_names() -> set[str]:
    """Names of the groups that have a choice."""
    return {path.name for folder in load_choices() for path in folder.iterdir() if path.is_dir()}


def failed_plugins() -> dict[str, str]:
    """Name of each plug-in that can't be imported, and why."""
    load_choices()
    return dict(_FAILED)


_FAILED: dict[str, str] = {}


def _plugins() -> list[ModuleType]:
    found = sorted(metadata.entry_points(group=GROUP), key=lambda one: one.name)
    name, times = Counter(one.name for one in found).most_common(1)[0] if found else ("", 0)
    if times > 1:
        values = ", ".join(one.value for one in found if one.name == name)
        raise ConfigError(
            f"{times} installed plug-ins are called '{name}' ({values}), expected each name once: "
            "uninstall one of them."
        )
    modules = []
    for one in found:
        with (guard := Guard(passes=ConfigError)):
            modules.append(one.load())
        if guard.error is not None:
            _FAILED[one.name] = guard.error
            logger.warning(
                "plug-in '%s' (%s) can't be imported: %s", one.name, one.value, guard.error
            )
    return modules


def _conf_of(module: ModuleType) -> Path | None:
    named = getattr(module, "CONF", None)
    if named is None and hasattr(module, "__path__"):
        named = Path(next(iter(module.__path__))) / "conf"
    return Path(named) if named and Path(named).is_dir() else None
