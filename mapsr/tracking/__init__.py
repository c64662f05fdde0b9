"""What is kept of a run: its folder, its record, and its mirror elsewhere."""

from mapsr.tracking.folder import RunFolder, read_config, science_hash
from mapsr.tracking.loggers import Logger, LoggerSettings, open_logger
from mapsr.tracking.record import Stopwatch, collect_record

__all__ = [
    "Logger",
    "LoggerSettings",
    "RunFolder",
    "Stopwatch",
    "collect_record",
    "open_logger",
    "read_config",
    "science_hash",
]
