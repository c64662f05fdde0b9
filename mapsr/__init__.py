"""Land-cover map super-resolution: from a coarse product and a sharp image to a sharp map.

From Python: ``mapsr.fit``, ``mapsr.load``, ``mapsr.run`` (docs/python.md), imported when asked for.
"""

__version__ = "0.1.0"

_OFFERED = ("FinishedRun", "Fitted", "fit", "load", "run")


def __getattr__(name: str) -> object:
    """Import what is offered once it is asked for: the command line must start without torch."""
    if name in _OFFERED:
        from importlib import import_module

        return getattr(import_module("mapsr.api"), name)
    raise AttributeError(f"module 'mapsr' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted({*globals(), *_OFFERED})
