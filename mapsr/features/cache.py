"""Tokens kept on disk, so that an image is encoded once, in however many runs it is used."""

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
from mapsr.settings import choice

logger = logging.getLogger(__name__)

VERSION = 1
"""To be raised when an encoder gives other tokens for the same settings."""

_ENTRY = re.compile(r"[0-9a-f]{64}\.safetensors")
# Entries are removed down to this share of the limit, and counted anew after as much is written
# as lies above it: other processes write to the folder too.
_KEPT = 0.95


@choice("cache", "none")
@dataclass(frozen=True)
class NoCacheSettings:
    """Tokens are computed in each run."""

    def open(self) -> None:
        """Open nothing."""


@choice("cache", "disk")
@dataclass(frozen=True)
class DiskCacheSettings:
    """Tokens are kept on disk and shared by all runs; results are the same to the last bit."""

    folder: str | None = None
    """Where they are kept; null: MAPSR_CACHE, else tokens below mapsr in the user's cache."""
    most_gib: float = 20.0
    """Size beyond which the entries that were used least recently are removed; a run whose tokens
    take more finds none of them the next time."""

    def __post_init__(self) -> None:
        require_range(self.most_gib, "cache.most_gib", open_low=True)

    def open(self) -> "TokenCache":
        """Open the cache; its folder appears with the first entry.

        Raises:
            ConfigError: the folder is a file.
        """
        return TokenCache(token_folder(self.folder), self.most_gib)


@dataclass(frozen=True)
class TokenKey:
    """All that the tokens of one image depend on.

    The image counts by its pixels, scaled and padded as the encoder gets them. So a window is its
    pixels: neither names of files nor places in them are part of the key.

    Attributes:
        facts: what the tokens depend on, as JSON of one spelling.
    """

    facts: str

    @classmethod
    def of(cls, image: Tensor, encoder: Mapping[str, object]) -> "TokenKey":
        """Make the key of an image.

        Args:
            image: (bands, H, W), on any device.
            encoder: what its tokens depend on besides the image, ready for JSON.
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
    """A folder of tokens, one file per image; threads and processes may share it.

    An entry appears whole or not at all, and holds its key and a hash of its tokens: one that is
    damaged, or that belongs to another key, is logged and counts as absent. Where an entry can't
    be written, that is logged once and nothing more is written; what is there is still read.

    Attributes:
        folder: of the entries, ``folder/ab/abcd....safetensors``.
        hits: how many lookups found their entry.
        misses: how many did not.

    Args:
        folder: of the entries.
        most_gib: size beyond which the entries that were used least recently are removed;
            processes that write at once may each exceed it by a twentieth.

    Raises:
        ConfigError: ``folder`` is a file.
    """

    def __init__(self, folder: Path, most_gib: float) -> None:
        if folder.exists() and not folder.is_dir():
            raise ConfigError(
                f"The cache of tokens can't be kept in {folder}, which is a file: name a folder in "
                "cache.folder or MAPSR_CACHE."
            )
        self.folder = folder
        self.hits = 0
        self.misses = 0
        self._most = int(most_gib * (1 << 30))
        self._writes = True
        self._bytes: int | None = None  # of all entries, once they were counted
        self._uncounted = 0
        self._counting = threading.Lock()
        self._writing = threading.Lock()

    def path(self, key: TokenKey) -> Path:
        """Where the entry of a key is."""
        return self.folder / key.digest[:2] / f"{key.digest}.safetensors"

    def get(self, key: TokenKey) -> Tensor | None:
        """Return the tokens of a key, (D, h, w) on the CPU, or None where there are none."""
        tokens = self._read(key)
        with self._counting:
            self.hits += tokens is not None
            self.misses += tokens is None
        return tokens

    def put(self, key: TokenKey, tokens: Tensor) -> None:
        """Keep the tokens of a key, (D, h, w) on any device."""
        if not self._writes:
            return
        tokens = tokens.detach().cpu().contiguous()
        facts = {"key": key.facts, "sha256": _sha256(tokens)}
        content = save({"tokens": tokens}, metadata=facts)
        # one write at a time: sizes are summed, and a file's mode comes from the process's umask
        with self._writing:
            if not self._writes:
                return
            try:
                if len(content) > self._most:
                    raise OSError(f"an entry of {len(content)} bytes is beyond cache.most_gib")
                with whole_file(self.path(key)) as temporary:
                    temporary.write_bytes(content)
                self._make_room(len(content))
            except OSError as error:
                self._writes = False
                logger.warning(
                    "tokens are not kept from here on, the run goes on without: writing to %s "
                    "failed (%s); free space there or name another folder in cache.folder",
                    self.folder,
                    error,
                )

    def facts(self) -> dict[str, object]:
        """What a run's record says of the cache."""
        return {"folder": str(self.folder), "hits": self.hits, "misses": self.misses}

    def _read(self, key: TokenKey) -> Tensor | None:
        path = self.path(key)
        try:
            tokens = _decode(path.read_bytes(), key)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, SafetensorError) as error:
            logger.warning("tokens in %s can't be used and are computed anew: %s", path, error)
            return None
        try:
            os.utime(path)  # used now: the last to be removed
        except OSError as error:  # removed by another process, or a folder that is only read
            logger.debug("the time of use of %s is not noted: %s", path, error)
        return tokens

    def _make_room(self, written: int) -> None:
        """Count what was written; remove what was used least recently where it is too much."""
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
                path.unlink(missing_ok=True)  # another process may have been first
                total -= size
        self._bytes, self._uncounted = total, 0

    def _entries(self) -> Iterator[tuple[int, int, Path]]:
        """Time of last use, bytes and path of each entry."""
        for path in self.folder.glob("[0-9a-f][0-9a-f]/*.safetensors"):
            if not _ENTRY.fullmatch(path.name):
                continue
            try:
                status = path.stat()
            except FileNotFoundError:  # another process was first
                continue
            yield status.st_mtime_ns, status.st_size, path


def _sha256(values: Tensor) -> str:
    return hashlib.sha256(values.detach().cpu().contiguous().numpy().data).hexdigest()


def _decode(content: bytes, key: TokenKey) -> Tensor:
    """Tokens of an entry's bytes: a header's length, the header as JSON, the numbers.

    Raises:
        ValueError: it is no such file, another key's, or its numbers are not those of its hash.
        SafetensorError: it is cut short or malformed.
    """
    tensors = load(content)
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    facts = header.get("__metadata__", {})
    if "tokens" not in tensors or facts.get("key") != key.facts:
        raise ValueError("it is not the entry of this image and encoder")
    if facts.get("sha256") != _sha256(tensors["tokens"]):
        raise ValueError("its numbers are not those of its hash")
    return tensors["tokens"]
