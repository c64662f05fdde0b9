"""Folders of the user's cache, for commands that start without torch."""

import os
from pathlib import Path

from mapsr.paths import local_path
from mapsr.weights import cache_folder


def token_folder(folder: str | None = None) -> Path:
    """Return the folder of tokens: ``folder``, else MAPSR_CACHE, else below the user's cache."""
    named = folder or os.environ.get("MAPSR_CACHE")
    return local_path(named, "cache.folder") if named else cache_folder().with_name("tokens")
