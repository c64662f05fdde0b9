"""Packages that come with an extra: what needs one that is absent says which in a sentence."""

import importlib.util

from mapsr.errors import ConfigError

RESEARCH = "research"
EXTRAS = {
    "lightning": ("Lightning", RESEARCH),
    "matplotlib": ("Matplotlib", RESEARCH),
    "pynndescent": ("PyNNDescent", RESEARCH),
    "segmentation_models_pytorch": ("segmentation-models-pytorch", RESEARCH),
    "sklearn": ("scikit-learn", RESEARCH),
    "wandb": ("Weights & Biases (wandb)", RESEARCH),
    "pystac": ("pystac", "stac"),
    "ray": ("Ray", "ray"),
    "tensorboard": ("TensorBoard", "tensorboard"),
    "torchgeo": ("torchgeo", "chesapeake"),
}
"""Module -> what people call it, and the extra of mapsr that brings it."""


def require_extra(module: str, what: str, instead: str = "") -> None:
    """Check that a module of an extra is installed, without importing it.

    To be called before the work that ends in it, not only before its import: a map or a run should
    not fail at its end.

    Args:
        module: one of ``EXTRAS``.
        what: needs it, as the beginning of a sentence.
        instead: what can be done without it.

    Raises:
        ConfigError: it is not installed.
    """
    if is_installed(module):
        return
    name, extra = EXTRAS[module]
    other = f", or {instead}" if instead else ""
    raise ConfigError(
        f"{what} needs {name}, which is not installed: pip install 'mapsr[{extra}]'{other}."
    )


def is_installed(module: str) -> bool:
    """Tell whether a module could be imported, without doing so."""
    try:
        return importlib.util.find_spec(module) is not None
    except ValueError:  # a module without a spec, as tests and some tools put in place
        return True


def absent(extra: str) -> list[str]:
    """Packages of an extra that are not installed, as people call them."""
    found = {module: name for module, (name, group) in EXTRAS.items() if group == extra}
    return [name for module, name in found.items() if not is_installed(module)]
