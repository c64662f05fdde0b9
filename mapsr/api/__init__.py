"""mapsr from Python: what `import mapsr` offers, imported once it is asked for."""

from mapsr.api.fitted import Fitted, fit, load
from mapsr.api.runs import FinishedRun, run

__all__ = ["FinishedRun", "Fitted", "fit", "load", "run"]
