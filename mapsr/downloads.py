"""Where published weights are fetched from, and how."""

import hashlib
import json
import os
import shutil
import urllib.request
from pathlib import Path

from mapsr.published import Weights

TIMEOUT_S = 10.0


def address(weights: Weights) -> tuple[str, str | None]:
    """Return where to fetch a file from and the hash it must have."""
    if weights.hub is None:
        assert weights.url is not None, weights
        return weights.url, weights.sha256
    repository, file = weights.hub
    endpoint = os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")
    url = f"{endpoint}/{repository}/resolve/main/{file}"
    if weights.sha256 is not None:
        return url, weights.sha256
    listing_url = f"{endpoint}/api/models/{repository}/tree/main"
    with urllib.request.urlopen(listing_url, timeout=TIMEOUT_S) as stream:
        listing = json.load(stream)
    declared = {item["path"]: item["lfs"]["oid"] for item in listing if "lfs" in item}
    if file not in declared:
        raise ValueError(f"{repository} lists no large file '{file}'")
    return url, declared[file]


def fetch(url: str, path: Path) -> str:
    """Download to a file and return the hash of what came."""
    with urllib.request.urlopen(url, timeout=TIMEOUT_S) as stream, path.open("wb") as out:
        shutil.copyfileobj(stream, out)
    return sha256_of(path)


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file of any size, as 64 hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
