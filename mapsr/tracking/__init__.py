"""What is kept of a run: its folder, its record, and its mirror in W&B."""

from mapsr.tracking.folder import RunFolder, read_config, science_hash
from mapsr.tracking.loggers import open_logger
from mapsr.tracking.record import Stopwatch, collect_record

__all__ = [
    "RunFolder",
    "Stopwatch",
    "collect_record",
    "open_logger",
    "read_config",
    "science_hash",
]
