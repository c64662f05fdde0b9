"""Rasters that are no file of this machine: on a server, in a store of objects, in an archive."""

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mapsr.redaction import redact_address

if TYPE_CHECKING:
    _Base = Path
else:
    _Base = type(Path())  # Path itself can't be inherited from before Python 3.12

SCHEMES = {
    **{"http": "/vsicurl/http://", "https": "/vsicurl/https://"},
    **{"s3": "/vsis3/", "gs": "/vsigs/", "az": "/vsiaz/"},
}
"""Scheme of an address -> what GDAL's name begins with in its place."""
_REMOTE = re.compile(r"([a-z][a-z0-9+.-]+)://|/vsi", re.IGNORECASE)
_STORES = ("curl", "s3", "gs", "az", "adls", "oss", "swift")
_ARCHIVES = ("zip", "tar", "gzip", "7z", "rar")
_STORE = re.compile(
    rf"/vsi(?:curl/(?:https?|ftp)://|(?:{'|'.join(_STORES[1:])})/).+", re.DOTALL | re.IGNORECASE
)
_ARCHIVE = re.compile(rf"/vsi(?:{'|'.join(_ARCHIVES)})/(.+)", re.DOTALL)
KNOWN = (
    "https://, http://, s3://, gs://, az://, or a path of GDAL's that begins with one of "
    + ", ".join(f"/vsi{name}/" for name in (*_STORES, *_ARCHIVES))
)
"""What a ``RemotePath`` may be, for messages."""


def is_remote(text: str) -> bool:
    """Tell whether a text is an address or a path of GDAL's rather than a path of this machine."""
    return _REMOTE.match(text) is not None


class RemotePath(_Base):
    """A raster by its address, wherever code has paths; never a slash is lost.

    As text, for messages and records, it has no credentials: no user and password, no values of a
    query. ``gdal_name`` is what GDAL opens, and two are equal where that is. It has no meaning for
    the operating system, which says that there is no such file.

    Args:
        text: as the user wrote it; see ``KNOWN``.

    Raises:
        ValueError: it is of another kind.
    """

    gdal_name: str
    """What GDAL calls it; it may hold credentials."""
    address: str
    """As the user wrote it; it may hold credentials."""
    shown: str
    """``address`` without credentials."""

    def __new__(cls, text: str) -> "RemotePath":  # noqa: D102
        name = _gdal_name(text)
        shown = redact_address(text)
        bare = re.split(r"[?#]", shown)[0]
        made: RemotePath = super().__new__(cls, bare)
        made.gdal_name, made.address, made.shown = name, text, shown
        return made

    if sys.version_info >= (3, 12):

        def __init__(self, text: str) -> None:  # the base takes the parts
            super().__init__(re.split(r"[?#]", redact_address(text))[0])

    def __reduce__(self) -> tuple[Any, ...]:
        return RemotePath, (self.address,)

    if sys.version_info < (3, 12):

        @classmethod
        def _from_parsed_parts(cls, *parts: Any) -> Path:  # noqa: ANN401
            found: Path = _Base._from_parsed_parts(*parts)  # type: ignore[attr-defined]
            return found

    def with_segments(self, *segments: str) -> Path:
        """Parts of it, such as its folder, are plain paths."""
        return Path(*segments)

    def __str__(self) -> str:
        return self.shown

    def __repr__(self) -> str:
        return f"RemotePath({self.shown!r})"

    def __fspath__(self) -> str:
        return self.shown

    def absolute(self) -> "RemotePath":
        """Itself."""
        return self

    def resolve(self, strict: bool = False) -> "RemotePath":
        """Itself: it has no links."""
        return self

    def expanduser(self) -> "RemotePath":
        """Itself."""
        return self

    def as_posix(self) -> str:
        """The text; see above."""
        return self.shown

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RemotePath) and self.gdal_name == other.gdal_name

    def __hash__(self) -> int:
        return hash(self.gdal_name)

    @property
    def archive(self) -> Path | None:
        """The file of this machine that it lies in; None: it lies on the network."""
        inner = _within(self.gdal_name)
        if _STORE.fullmatch(inner):
            return None
        whole = Path(inner)
        return next((one for one in (whole, *whole.parents) if one.is_file()), whole)


def _gdal_name(text: str) -> str:
    scheme, colon, rest = text.partition("://")
    if colon and scheme.lower() in SCHEMES and rest:
        return SCHEMES[scheme.lower()] + rest
    inner = _within(text)
    known = _STORE.fullmatch(inner) if inner.startswith("/vsi") else inner != text
    if not known or "\0" in text:
        raise ValueError(f"'{redact_address(text)}' is of no known kind")
    return text


def _within(text: str) -> str:
    """What archives lie in: a path of this machine, or GDAL's name of what is on the network."""
    while found := _ARCHIVE.fullmatch(text):
        text = found[1].replace("{", "").replace("}", "")
        if text.startswith("vsi"):  # GDAL takes /vsizip/vsicurl/ as well
            text = f"/{text}"
    return text
