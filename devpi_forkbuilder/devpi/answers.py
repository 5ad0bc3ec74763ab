"""When a server that was started in this process answers."""

from __future__ import annotations

import contextlib
import http.client
import threading
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

STEP = 0.05
PATIENCE = 600.0
"""Seconds after which nobody waits for the line any more: a replica may read a long history before it listens."""


def announce(args: Any, ready: Callable[[], None]) -> None:
    """Call `ready` once the server of devpi's parsed arguments answers; at once is returned.

    Does nothing for a server that listens on a socket file only.
    """
    if args.unix_socket and not args.listen:
        return
    threading.Thread(target=_wait, args=(own_url(args), ready), name="forkbuilder-ready", daemon=True).start()


def own_url(args: Any) -> str:
    """How this server reaches itself, from devpi's arguments: by loopback where it listens there."""
    if args.listen:
        address = str(args.listen[0])
        host, _, port = address.rpartition(":")
    else:
        host, port = str(args.host), str(args.port)
    if host.strip("[]") in {"localhost", "0.0.0.0", "", "*"}:  # noqa: S104  (compared with, not bound to)
        host = "127.0.0.1"
    elif host.strip("[]") == "::":
        host = "[::1]"
    elif ":" in host and not host.startswith("["):
        host = f"[{host}]"
    return f"http://{host}:{port}"


def _wait(url: str, ready: Callable[[], None]) -> None:
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        if _answers(url):
            ready()
            return
        time.sleep(STEP)


def _answers(url: str) -> bool:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=5)
    with contextlib.closing(connection), contextlib.suppress(OSError, http.client.HTTPException):
        connection.request("GET", "/+api")
        return connection.getresponse().status == http.client.OK
    return False
