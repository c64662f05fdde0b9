"""Fit a method on scenes: the one way from settings and labels to a fitted method."""

from mapsr.geo import WindowSettings
from mapsr.methods.fitted import FittedMethod
from mapsr.methods.method import Method, Task
from mapsr.methods.parts import MethodParts, Runtime


def fit(
    parts: MethodParts, task: Task, windows: WindowSettings, runtime: Runtime
) -> tuple[FittedMethod, Method]:
    """Build a method and fit it.

    Args:
        parts: what it is made of.
        task: what it is fitted on.
        windows: chips and work units that its maps will have.
        runtime: where it computes.

    Returns:
        The fitted method as it is kept, and as it was fitted, ready to score on the same device.

    Raises:
        MapsrError: with one sentence on why it can't be built or fitted.
    """
    with runtime.watch("weights"):
        method = parts.build(runtime, task.coarse.target)
    with runtime.watch("fit"):
        method.fit(task)
    return FittedMethod.of(method, parts, task, windows), method
