"""What is answered when every seat is taken: nothing on which an installer goes on to a namesake in another index."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

from pyramid.httpexceptions import HTTPServiceUnavailable
from pyramid.response import Response

from devpi_forkbuilder.devpi.requests import caching_devpi
from devpi_forkbuilder.errors import InfrastructureError
from devpi_forkbuilder.web.context import Context
from devpi_forkbuilder.web.pages import JSON

EACH = 5
LONGEST = 300


def busy_retry_after(stats: Mapping[str, int | float]) -> int:
    """Return in how many seconds to ask again, by the figures of the service: EACH for every build in the way."""
    running = stats.get("running", stats.get("conversations", 0))
    waiting = stats.get("queued", 0)
    return int(min(LONGEST, EACH * (1 + math.ceil(waiting / max(1, running)))))


def busy_unavailable(context: Context, reason: str) -> Any:
    """Return 503, for a caching devpi, which keeps everything else."""
    response = HTTPServiceUnavailable(f"{reason} Ask again.")
    response.retry_after = busy_retry_after(context.builds.stats())
    return response


def unknown_page_when_busy(context: Context, request: Any, content_type: str) -> Any:
    """Return the answer for a page of which nothing is known here, as there is no seat to wait for it."""
    return unknown_page(context, request, content_type, "All seats for requests that wait are taken.")


def unknown_page(context: Context, request: Any, content_type: str, reason: str) -> Any:
    """Return an answer that is not a page, for a project of which nothing is known here; `reason` is a sentence.

    JSON that stops in the middle ends pip and uv with an error (measured), where a 5xx makes pip take a namesake from
    a second index. HTML has no such form, for a page without its end is a page: its answer is cut off, which ends pip
    22.0 and 23.2 (measured). That cannot be said in HTTP/1.0, nor by a devpi that may keep what it gets.
    """
    if caching_devpi(request) or (content_type != JSON and request.environ.get("SERVER_PROTOCOL") == "HTTP/1.0"):
        return busy_unavailable(context, reason)
    seconds = busy_retry_after(context.builds.stats())
    if content_type == JSON:
        error = json.dumps(f"{reason} This server is busy, ask again in {seconds} seconds.")
        response = Response(
            f'{{"meta":{{"api-version":"1.0"}},"error":{error[:-1]}'.encode(), content_type=content_type
        )
    else:
        response = Response(app_iter=_cut_off(reason), content_type=content_type)
    response.retry_after = seconds
    response.cache_control = "no-store"
    return response


def _cut_off(reason: str) -> Iterator[bytes]:
    """Begin a body and raise InfrastructureError: the server closes the connection before the last chunk."""
    yield b"\n"
    raise InfrastructureError("page-cut-off", f"{reason} The page is cut off.", next_step="Ask again.")
