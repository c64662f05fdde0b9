"""Text without credentials: addresses lose passwords and the values of their queries.

Whatever is written or shown (records, tags, logs, messages) goes through ``redact``.
"""

import logging
import os
import re
from collections.abc import Iterable, Mapping
from typing import TypeVar, cast

Value = TypeVar("Value")

HIDDEN = "***"
"""What stands in the place of a secret."""

_ADDRESS = re.compile(r"(?:[a-z][a-z0-9+.-]*://|/vsi[a-z0-9_]+[/?])[^\s'\"<>`]*", re.IGNORECASE)
_AUTHORITY = re.compile(r"://([^/?#]*)")
_PORT = re.compile(r"(\[[^\]]*\]|[^:\[\]@]*)(:[0-9]*)?")
_SECRET_NAME = re.compile(
    r"(?:^|_)(?:SECRET|TOKEN|PASSWORD|PASSWD|SAS|BEARER|USERPWD|COOKIE)(?:_|$)"
    r"|ACCESS_KEY|ACCOUNT_KEY|API_?KEY|CONNECTION_STRING|HTTP_HEADERS"
)
_SHORTEST = 8
"""Characters of a secret at least: shorter values of the environment stand in texts by chance."""


def redact(text: str) -> str:
    """Return a text without the credentials in it.

    Of each address (``https://``, ``s3://``, ``/vsi...``) the user and password before an @ and the
    values of the query and fragment are hidden: signatures and tokens are there, under names of
    many kinds. So are values of environment variables whose name says that they are secret. What
    was redacted before stays as it is.
    """
    found = _ADDRESS.sub(lambda address: redact_address(address[0]), text)
    for secret in _secrets():
        found = found.replace(secret, HIDDEN)
    return found


def redact_address(text: str) -> str:
    """Return an address without credentials; all of the text is one, spaces and quotes as well."""
    head, mark, query = _divided(text)
    return _without_user(head) + mark + (_hidden_values(query) if mark else "")


def redact_words(words: Iterable[str]) -> list[str]:
    """Return words of a command, such as ``image=https://...``, without credentials."""
    return [_whole(word) for word in words]


def redact_all(value: Value) -> Value:
    """Return plain containers in which every text, keys included, is without credentials."""
    found: object = value
    if isinstance(value, str):
        found = _whole(value)
    elif isinstance(value, Mapping):
        found = {redact_all(key): redact_all(one) for key, one in value.items()}
    elif isinstance(value, list | tuple):
        found = [redact_all(one) for one in value]
    return cast(Value, found)


class RedactingFormatter(logging.Formatter):
    """Formats messages of a log, traces included, without credentials."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the message as text."""
        return redact(super().format(record))


def _whole(word: str) -> str:
    """A word that is an address, or key=ADDRESS, to its end; else like any text."""
    begin = _ADDRESS.search(word)
    if begin and (begin.start() == 0 or word[begin.start() - 1] == "="):
        head = word[: begin.start()]
        # values may hold quotes and spaces, at which an address in a text ends
        return redact(redact(head) + redact_address(word[begin.start() :]))
    return redact(word)


def _divided(text: str) -> tuple[str, str, str]:
    """What is before a query or fragment, the mark that it begins with, and what is after it."""
    after_user = text.rfind("@", 0, _end_of_user(text)) + 1
    places = [place for mark in "?#" if (place := text.find(mark, after_user)) >= 0]
    if not places:
        return text, "", ""
    return text[: min(places)], text[min(places)], text[min(places) + 1 :]


def _end_of_user(text: str) -> int:
    """Where in an address no user and password can be any more."""
    found = _AUTHORITY.search(text)
    if not found:
        return 0
    # a password that holds / ? or #, which it must not, would else be taken for a path
    if "@" not in found[1] and not _PORT.fullmatch(found[1]):
        return len(text)
    return found.end()


def _without_user(head: str) -> str:
    end = _end_of_user(head)
    begin = head.find("://") + 3
    at = head.rfind("@", begin, end)
    return head if at < 0 else f"{head[:begin]}{HIDDEN}@{head[at + 1 :]}"


def _hidden_values(query: str) -> str:
    parts = re.split(r"([&;])", query)
    return "".join(part if part in ("&", ";") else _hidden_value(part) for part in parts)


def _hidden_value(part: str) -> str:
    name, _, value = part.partition("=")
    if not part or HIDDEN in (name[: len(HIDDEN)], value[: len(HIDDEN)]):
        return part  # what follows in a sentence stays, too
    # a token without a name may end in =, which fills up what is written to base 64
    return f"{name}={HIDDEN}" if value.strip("=") else HIDDEN


def _secrets() -> list[str]:
    """Values of the environment that are secret, the longest first."""
    values = {
        value
        for name, value in os.environ.items()
        if len(value) >= _SHORTEST and _SECRET_NAME.search(name) and not name.endswith("_FILE")
    }
    return sorted(values, key=len, reverse=True)
