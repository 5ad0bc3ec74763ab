"""Keeping a request open while its build runs: newlines in front of a page that comes when the build ends.

White space before JSON and before `<!DOCTYPE html>` is legal, and each newline starts the installer's read time-out
anew. A stream that has begun always ends as a complete page: an aborted one would be taken for an empty page.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from time import monotonic
from typing import Any

from pyramid.response import Response
from pyramid.threadlocal import RequestContext

from devpi_forkbuilder.devpi.requests import wants_json
from devpi_forkbuilder.web.context import Context
from devpi_forkbuilder.web.outcome import Miss, placeholders_of, unfinished
from devpi_forkbuilder.web.pages import HTML, JSON, bare_page, with_placeholders

log = logging.getLogger(__name__)


def held_response(context: Context, request: Any, misses: list[Miss], page: Callable[[], Any]) -> Any:
    """A response that begins now and ends with the body of `page()`, called when the misses have ended.

    The caller's seat is left when the stream ends, or when the client has gone and the server closes the stream.
    """
    content_type = JSON if wants_json(request) else HTML
    stream = HeldPage(context, request, misses, page, content_type)
    response = Response(app_iter=stream, content_type=content_type, vary={"Accept", "User-Agent"})
    response.headers["X-Accel-Buffering"] = "no"
    response.cache_control = "no-store"
    return response


class HeldPage:
    """The body of a held response (WSGI: an iterable with `close`)."""

    def __init__(
        self, context: Context, request: Any, misses: list[Miss], page: Callable[[], Any], content_type: str
    ) -> None:
        self._seats = context.seats
        self._beat = context.waiting.beat
        self._deadline = monotonic() + context.waiting.limit
        self._request = request
        self._misses = misses
        self._page = page
        self._content_type = content_type
        self._seated = True

    def __iter__(self) -> Iterator[bytes]:
        yield b"\n"
        for miss in self._misses:
            while not miss.flight.wait(self._patience()) and monotonic() < self._deadline:
                yield b"\n"
        yield self._final()

    def close(self) -> None:
        """The stream is over; the build goes on without it."""
        if self._seated:
            self._seated = False
            self._seats.leave()

    def _patience(self) -> float:
        return max(0.0, min(self._beat, self._deadline - monotonic()))

    def _final(self) -> bytes:
        """The page, complete whatever happens."""
        try:
            with RequestContext(self._request):
                response = self._page()
                if response.status_int == 200:
                    return bytes(response.body)
                log.error("%r answered %s at the end of a held request", self._request.path_info, response.status)
        except Exception:
            log.exception("no page at the end of the held request %r", self._request.path_info)
        project = self._misses[0].pinned.pin.name
        body = bare_page(self._content_type, project)
        placeholders = placeholders_of(self._misses) or unfinished(self._misses)
        return with_placeholders(body, self._content_type, self._request.path_info, placeholders)
