"""YAML files of the package or of a user, read strictly: no key may stand twice in a mapping."""

from collections.abc import Iterator
from pathlib import Path

import yaml

from mapsr.errors import ConfigError, MapsrError


def read_strictly(path: Path, error: type[MapsrError] = ConfigError) -> object:
    """Return the content of a YAML file.

    Args:
        path: the file.
        error: what is raised, with one sentence.

    Raises:
        MapsrError: of the kind ``error``: the file can't be read or is not valid YAML, or a mapping
            holds a key twice, of which YAML would silently keep the last one.
    """
    try:
        text = path.read_text(encoding="utf-8")
        entries: object = yaml.safe_load(text)
        twice = next(_twice(yaml.compose(text, Loader=yaml.SafeLoader)), None)
    except (FileNotFoundError, NotADirectoryError) as cause:
        raise error(f"There is no file {path}; check the path.") from cause
    except OSError as cause:
        raise error(f"Can't read {path}: {cause.strerror}; check path and rights.") from cause
    except (yaml.YAMLError, UnicodeDecodeError) as cause:
        detail = " ".join(str(cause).split())
        raise error(f"{path} is not valid YAML: {detail}.") from cause
    except RecursionError as cause:
        raise error(f"{path} is nested too deep, expected a few levels; check it.") from cause
    except ValueError as cause:  # NUL, or text that no file system takes
        raise error(f"There is no file {str(path)!a}: {cause}.") from cause
    if twice is not None:
        key, line = twice
        raise error(
            f"{path}: the key '{key}' stands twice in one mapping (line {line}), expected it once; "
            "remove the other."
        )
    return entries


def _twice(root: yaml.Node | None) -> Iterator[tuple[str, int]]:
    """Keys that a mapping holds twice, with the line of the second."""
    nodes = [root]
    for node in nodes:
        pairs = node.value if isinstance(node, yaml.MappingNode) else []
        seen = set()
        for key, _ in pairs:
            if str(key.value) in seen:
                yield str(key.value), key.start_mark.line + 1
            seen.add(str(key.value))
        inner = node.value if isinstance(node, yaml.SequenceNode) else [value for _, value in pairs]
        # an alias may point back to a node that is listed already
        nodes += [one for one in inner if isinstance(one, yaml.CollectionNode) and one not in nodes]
