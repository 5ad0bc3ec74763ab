"""devpi's request log, and the headers that devpi adds beside it, for answers that are made without devpi's tweens."""

from __future__ import annotations

from itertools import count
from typing import Any

from devpi_server.log import thread_pop_log, thread_push_log
from devpi_server.views import meta_headers

from devpi_forkbuilder.devpi.names import SEVEN

NUMBERS = count()


def log_request(method: str, path: str, status: str, serial: int, length: int, content_type: str) -> None:
    """Log one request as `devpi_server.views.tween_request_logging` does, with a count of its own."""
    tag = f"[kept{next(NUMBERS)}]"
    log = thread_push_log(tag)
    try:
        log.info("%s %s", method, path)
        log.debug("%s 0.000s serial=%s length=%s type=%s", status, serial, length, content_type)
    finally:
        thread_pop_log(tag)


def server_headers(xom: Any) -> list[tuple[str, str]]:
    """Return the headers with which devpi says what it is."""
    uuid, primary = xom.config.nodeinfo.make_uuid_headers()
    identities = {"X-DEVPI-UUID": uuid, "X-DEVPI-PRIMARY-UUID": primary}
    if not SEVEN:
        identities["X-DEVPI-MASTER-UUID"] = primary
    return [*meta_headers.items(), *((name, str(value)) for name, value in identities.items())]
