"""Pages of an index that mirrors another devpi's index: upstream may be building, and its page then takes its time.

devpi's own page waits without a byte, which installers give up on after 15 or 30 seconds; and whoever asks for the same
page meanwhile is told 404 when it has come, from a transaction older than the page. So such pages are made one at a
time for each project, each in a transaction of its own, and the requests for them are held with newlines.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Any

from pyramid.response import Response
from pyramid.threadlocal import RequestContext

from devpi_forkbuilder.devpi.requests import wants_json
from devpi_forkbuilder.errors import InfrastructureError
from devpi_forkbuilder.web.context import Context
from devpi_forkbuilder.web.pages import HTML, JSON, bare_page

Key = tuple[str, str, str]


class Turns:
    """One at a time for each key."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._turns: dict[Key, tuple[threading.Lock, int]] = {}

    @contextmanager
    def of(self, key: Key) -> Iterator[None]:
        """Wait for the turn, and have it."""
        with self._lock:
            turn, users = self._turns.get(key, (threading.Lock(), 0))
            self._turns[key] = (turn, users + 1)
        try:
            with turn:
                yield
        finally:
            with self._lock:
                turn, users = self._turns[key]
                if users == 1:
                    del self._turns[key]
                else:
                    self._turns[key] = (turn, users - 1)


TURNS = Turns()


class Work:
    """devpi's view of a page, at work in a thread of its own."""

    def __init__(self, handler: Callable[[Any], Any], request: Any, key: Key) -> None:
        self._handler = handler
        self._request = request
        self._key = key
        self._ended = threading.Event()
        self._response: Any = None
        self._error: BaseException | None = None
        threading.Thread(target=self._run, name="forkbuilder-upstream", daemon=True).start()

    def wait(self, seconds: float) -> bool:
        """Whether it has ended, within that time."""
        return self._ended.wait(seconds)

    def response(self) -> Any:
        """What the view has answered, or raised."""
        if self._error is not None:
            raise self._error
        return self._response

    def _run(self) -> None:
        try:
            with TURNS.of(self._key), RequestContext(self._request):
                self._response = self._handler(self._request)
                self._response.body  # noqa: B018  (made while it is this request's turn)
        except BaseException as error:  # noqa: BLE001 - it is raised where the request is answered
            self._error = error
        finally:
            self._ended.set()


def chained_page(context: Context, handler: Callable[[Any], Any], request: Any, key: Key) -> Any:
    """The page, at once or held. Without a free seat it is devpi's own affair."""
    if not context.seats.take():
        return handler(request)
    held = False
    try:
        work = Work(handler, request, key)
        if work.wait(context.waiting.hold):
            return work.response()
        held = True
        return _held(context, request, work, key[2])
    finally:
        if not held:
            context.seats.leave()


def _held(context: Context, request: Any, work: Work, project: str) -> Any:
    content_type = JSON if wants_json(request) else HTML
    stream = ChainedStream(context, work, content_type, project)
    response = Response(app_iter=stream, content_type=content_type, vary={"Accept", "User-Agent"})
    response.headers["X-Accel-Buffering"] = "no"
    response.cache_control = "no-store"
    return response


class ChainedStream:
    """The body of a held page (WSGI: an iterable with `close`).

    It is cut off when there is no page in the end: to an installer an empty page would be one without files.
    """

    def __init__(self, context: Context, work: Work, content_type: str, project: str) -> None:
        self._seats = context.seats
        self._beat = context.waiting.beat
        self._deadline = monotonic() + context.waiting.limit
        self._work = work
        self._content_type = content_type
        self._project = project
        self._seated = True

    def __iter__(self) -> Iterator[bytes]:
        yield b"\n"
        while not self._work.wait(self._patience()) and monotonic() < self._deadline:
            yield b"\n"
        yield self._final()

    def close(self) -> None:
        """The stream is over; the view goes on without it."""
        if self._seated:
            self._seated = False
            self._seats.leave()

    def _patience(self) -> float:
        return max(0.0, min(self._beat, self._deadline - monotonic()))

    def _final(self) -> bytes:
        response = self._work.response() if self._work.wait(0) else None
        if response is not None and response.status_int == 200:
            return bytes(response.body)
        if response is not None and response.status_int == 404:
            return bare_page(self._content_type, self._project)
        what = f"The page of {self._project} did not come from upstream."
        raise InfrastructureError("upstream-silent", what, next_step="See to the upstream server, and ask again.")
