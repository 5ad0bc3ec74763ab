"""Connections to the server: how long one may stay without a request, and how many are open.

waitress reads requests in one thread and counts a connection from its first byte, so half-sent requests take places
until they time out. It waits 120 seconds by default, and devpi has no option for that.
"""

from __future__ import annotations

from typing import Any

IDLE = 30
LOOK = 10
"""Seconds without a request until a connection is closed, and between two looks (waitress' `channel_timeout` and
`cleanup_interval`); a connection with a request that is being answered is left alone."""


def limit_idle_connections(config: Any) -> None:
    """Have devpi start waitress with these limits, unless something else has set them."""
    arguments = config.waitress_info["kwargs"]
    arguments.setdefault("channel_timeout", IDLE)
    arguments.setdefault("cleanup_interval", LOOK)


def open_connections(request: Any) -> int | None:
    """Return how many connections the server that has this request has open; None when it is not waitress."""
    channel = getattr(request.environ.get("waitress.client_disconnected"), "__self__", None)
    found = getattr(getattr(channel, "server", None), "active_channels", None)
    return None if found is None else len(found)
