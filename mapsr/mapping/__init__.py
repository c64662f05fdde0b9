"""Whole rasters from chips: a fitted method and rasters become jobs, and jobs become maps."""

from mapsr.mapping.apply import MapOptions, MapRequest, map_rasters, open_engine
from mapsr.mapping.cluster import RayEngine, RaySettings
from mapsr.mapping.engines import Engine, EngineSettings, Raster, Score
from mapsr.mapping.gpu import GpuEngine
from mapsr.mapping.jobs import MapJob, Report, run_jobs
from mapsr.mapping.local import LocalEngine, LocalSettings
from mapsr.mapping.outputs import Output
from mapsr.mapping.plan import MapPlan

__all__ = [
    "Engine",
    "EngineSettings",
    "GpuEngine",
    "LocalEngine",
    "LocalSettings",
    "MapJob",
    "MapOptions",
    "MapPlan",
    "MapRequest",
    "Output",
    "Raster",
    "RayEngine",
    "RaySettings",
    "Report",
    "Score",
    "map_rasters",
    "open_engine",
    "run_jobs",
]
