"""What is kept of a run: its folder, its record, its fingerprint, and its mirror elsewhere.

The run folder is the truth; a mirror gets copies, and never asks for a login.
"""

from mapsr.tracking.fingerprint import fingerprint_hash, fingerprint_of
from mapsr.tracking.folder import RunFolder, finished_metrics, read_config
from mapsr.tracking.logger import Logger, LoggerSettings, NoLoggerSettings
from mapsr.tracking.record import Stopwatch, collect_record

__all__ = [
    "Logger",
    "LoggerSettings",
    "NoLoggerSettings",
    "RunFolder",
    "Stopwatch",
    "collect_record",
    "fingerprint_hash",
    "fingerprint_of",
    "finished_metrics",
    "read_config",
]
