"""Whole rasters from chips: windows, blending, work units, engines, resume."""

from mapsr.mapping.cluster import RayEngine
from mapsr.mapping.engines import Engine, LocalSettings, Raster, RaySettings, Score
from mapsr.mapping.jobs import MapJob, Report, run_jobs
from mapsr.mapping.local import LocalEngine
from mapsr.mapping.outputs import Output
from mapsr.mapping.windows import Plan, WindowSettings, cover

__all__ = [
    "Engine",
    "LocalEngine",
    "LocalSettings",
    "MapJob",
    "Output",
    "Plan",
    "Raster",
    "RayEngine",
    "RaySettings",
    "Report",
    "Score",
    "WindowSettings",
    "cover",
    "run_jobs",
]
