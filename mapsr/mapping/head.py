"""Whether the head of a Ray cluster answers, asked before Ray waits for it."""

import os
import socket
from typing import Any

from mapsr.errors import ConfigError, MapsrError

_PATIENCE_S = 5.0
"""Seconds that a head has to take a connection; Ray itself gives it two minutes, in silence."""
HINT = "start one with `ray start --head`, on other machines `ray start --address=HEAD:6379`."
"""How to start a cluster, the end of a sentence."""


def require_listening(address: str) -> None:
    """Refuse an address where nobody listens, at once.

    Args:
        address: HOST:PORT, or "auto" for that in the variable RAY_ADDRESS; any other form is left
            to Ray.

    Raises:
        ConfigError: nobody takes a connection there.
    """
    found = os.environ.get("RAY_ADDRESS", "") if address == "auto" else address
    host, colon, port = found.rpartition(":")
    if not colon or "/" in host or not port.isdigit() or int(port) > 65535:
        return
    if (reason := _refusal(host.strip("[]"), int(port))) is not None:
        raise ConfigError(f"There is no Ray cluster at engine.address={found} ({reason}): {HINT}")


def require_head(ray: Any) -> None:  # noqa: ANN401 - a module that may be absent
    """Stop a job whose cluster has lost its head, before Ray ends the process with its own words.

    Raises:
        MapsrError: the head that this process is connected to takes no connection any more.
    """
    address = ray.get_runtime_context().gcs_address
    host, _, port = address.rpartition(":")
    if (reason := _refusal(host.strip("[]"), int(port))) is not None:
        raise MapsrError(
            f"The head of the Ray cluster, {address}, is gone ({reason}): what is done is kept; "
            "start the cluster again, and the same command goes on from there."
        )


def _refusal(host: str, port: int) -> str | None:
    """Why nobody takes a connection; None: somebody does."""
    try:
        socket.create_connection((host, port), _PATIENCE_S).close()
    except (OSError, UnicodeError) as error:  # a host name may be no text for the network
        return str(getattr(error, "strerror", None) or error)
    return None
