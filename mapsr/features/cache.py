"""A cache of tokens on disk, so that each image is encoded once for all runs."""

import hashlib
import json
import logging
import os
import re
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from mapsr.errors import ConfigError, require_range
from mapsr.files import whole_file
from mapsr.folders import token_folder
from mapsr.paths import is_there
from mapsr.settings import choice

logger = logging.getLogger(__name__)

VERSION = 1
"""Increase it whenever an encoder gives other tokens for the same settings."""

_ENTRY = re.compile(r"[0-9a-f]{64}\.safetensors")
# Entries are removed down to this share of the limit, and counted again once the rest of it has
# been written: other processes write to the folder too.
_KEPT = 0.95


@choice("cache", "none")
@dataclass(frozen=True)
class NoCacheSettings:
    """Tokens are computed in each run: for a single run, or where the disk is slow or small."""

    def open(self) -> None:
        """Open nothing."""


@choice("cache", "disk")
@dataclass(frozen=True)
class DiskCacheSettings:
    """Tokens are kept on disk and shared by all runs, for repeated runs over the same images.

    Results are the same to the last bit.

    Raises:
        ConfigError: most_gib is not above 0.
    """

    folder: str | None = None
    """Where to keep them; null: the environment variable MAPSR_CACHE, else mapsr/tokens in the
    user's cache folder. Choose a fast local disk."""
    most_gib: float = 20.0
    """Limit in GiB, above 0, beyond which the least recently used entries are removed. It should
    hold the tokens of a whole run: a run with more of them finds none the next time. A 448 px chip
    takes 3 MiB with DINOv2-B (32 x 32 tokens of 768 float32)."""

    def __post_init__(self) -> None:
        require_range(self.most_gib, "cache.most_gib", open_low=True)

    def open(self) -> "TokenCache":
        """Open the cache; the first entry creates its folder.

        Raises:
            ConfigError: the folder is a file.
        """
        return TokenCache(token_folder(self.folder), self.most_gib)


@dataclass(frozen=True)
class TokenKey:
    """Everything that the tokens of one image depend on.

    The image enters by its pixels, scaled and padded as the encoder gets them: neither file names
    nor positions in a file are part of the key.

    Attributes:
        facts: what the tokens depend on, as canonical JSON.
    """

    facts: str

    @classmethod
    def of(cls, image: Tensor, encoder: Mapping[str, object]) -> "TokenKey":
        """Make the key of an image.

        Args:
            image: (bands, H, W), on any device.
            encoder: what the tokens depend on besides the image, serialisable as JSON.
        """
        pixels = {"sha256": _sha256(image), "shape": list(image.shape), "dtype": str(image.dtype)}
        facts = {"version": VERSION, "image": pixels, "encoder": encoder}
        return cls(json.dumps(facts, sort_keys=True, separators=(",", ":")))

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the facts, as 64 hexadecimal digits."""
        return hashlib.sha256(self.facts.encode()).hexdigest()


class CacheSettings(Protocol):
    """What each choice of the group ``cache`` offers."""

    def open(self) -> "TokenCache | None":
        """Open the cache; None: there is none."""
        ...


class TokenCache:
    """A folder of tokens, one file per image, which threads and processes may share.

    Entries are written atomically and hold their key and a hash of their tokens: an entry that is
    damaged or belongs to another key is logged and counts as absent. If an entry can't be written,
    that is logged once, nothing more is written, and existing entries are still read.

    Attributes:
        folder: of the entries, ``folder/ab/abcd....safetensors``.
        hits: lookups that found their entry.
        misses: lookups that did not.

    Args:
        folder: of the entries.
        most_gib: limit in GiB, above 0, beyond which the least recently used entries are removed;
            each of several writing processes may exceed it by a twentieth.

    Raises:
        ConfigError: ``folder`` is a file.
    """

    def __init__(self, folder: Path, most_gib: float) -> None:
        if is_there(folder) and not folder.is_dir():
            raise ConfigError(
                f"The token cache can't be in {folder}, which is a file: set cache.folder or "
                "MAPSR_CACHE to a folder."
            )
        self.folder = folder
        self.hits = 0
        self.misses = 0
        self._most = int(most_gib * (1 << 30))
        self._writes = True
        self._bytes: int | None = None  # of all entries, once counted
        self._uncounted = 0
        self._counting = threading.Lock()
        self._writing = threading.Lock()

    def path(self, key: TokenKey) -> Path:
        """Return the path of the entry of a key."""
        return self.folder / key.digest[:2] / f"{key.digest}.safetensors"

    def get(self, key: TokenKey) -> Tensor | None:
        """Return the tokens of a key, (D, h, w) on the CPU, or None."""
        tokens = self._read(key)
        with self._counting:
            self.hits += tokens is not None
            self.misses += tokens is None
        return tokens

    def put(self, key: TokenKey, tokens: Tensor) -> None:
        """Write the tokens of a key, (D, h, w) on any device."""
        if not self._writes:
            return
        tokens = tokens.detach().cpu().contiguous()
        facts = {"key": key.facts, "sha256": _sha256(tokens)}
        content = save({"tokens": tokens}, metadata=facts)
        # one write at a time: sizes are summed, and the process's umask sets the file's mode
        with self._writing:
            if not self._writes:
                return
            try:
                if len(content) > self._most:
                    raise OSError(f"an entry of {len(content)} bytes exceeds cache.most_gib")
                with whole_file(self.path(key)) as temporary:
                    temporary.write_bytes(content)
                self._make_room(len(content))
            except OSError as error:
                self._writes = False
                logger.warning(
                    "tokens are no longer cached, the run continues without: writing to %s "
                    "failed (%s); free space, raise cache.most_gib or set another cache.folder",
                    self.folder,
                    error,
                )

    def facts(self) -> dict[str, object]:
        """Return what a run's record says about the cache."""
        return {"folder": str(self.folder), "hits": self.hits, "misses": self.misses}

    def _read(self, key: TokenKey) -> Tensor | None:
        path = self.path(key)
        try:
            tokens = _decode(path.read_bytes(), key)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, SafetensorError) as error:
            logger.warning("tokens in %s can't be used and are computed again: %s", path, error)
            return None
        try:
            os.utime(path)  # used now, so removed last
        except OSError as error:  # removed by another process, or in a read-only folder
            logger.debug("the time of use of %s can't be recorded: %s", path, error)
        return tokens

    def _make_room(self, written: int) -> None:
        """Count what was written; above the limit, remove the least recently used entries."""
        self._uncounted += written
        known = self._bytes is not None and self._uncounted <= (1 - _KEPT) * self._most
        if known and (self._bytes or 0) + self._uncounted <= self._most:
            return
        entries = sorted(self._entries())
        total = sum(size for _, size, _ in entries)
        if total > self._most:
            for _, size, path in entries[:-1]:  # the last one was written just now
                if total <= _KEPT * self._most:
                    break
                path.unlink(missing_ok=True)  # another process may have removed it
                total -= size
        self._bytes, self._uncounted = total, 0

    def _entries(self) -> Iterator[tuple[int, int, Path]]:
        """Yield time of last use, bytes and path of each entry."""
        for path in self.folder.glob("[0-9a-f][0-9a-f]/*.safetensors"):
            if not _ENTRY.fullmatch(path.name):
                continue
            try:
                status = path.stat()
            except FileNotFoundError:  # another process removed it
                continue
            yield status.st_mtime_ns, status.st_size, path


def _sha256(values: Tensor) -> str:
    return hashlib.sha256(values.detach().cpu().contiguous().numpy().data).hexdigest()


def _decode(content: bytes, key: TokenKey) -> Tensor:
    """Return the tokens in an entry's bytes: the header's length, the header as JSON, the data.

    Raises:
        ValueError: it is the entry of another key, or the data do not match their hash.
        SafetensorError: it is truncated or malformed.
    """
    tensors = load(content)
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    facts = header.get("__metadata__", {})
    if "tokens" not in tensors or facts.get("key") != key.facts:
        raise ValueError("it is not the entry of this image and encoder")
    if facts.get("sha256") != _sha256(tensors["tokens"]):
        raise ValueError("its data do not match their hash")
    return tensors["tokens"]
