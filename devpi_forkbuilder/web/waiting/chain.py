"""Pages of an index that mirrors another devpi's index: upstream may be building, and its page then takes its time.

devpi's own page waits without a byte, which installers give up on after 15 or 30 seconds; and whoever asks for the same
page meanwhile is told 404 when it has come, from a transaction older than the page. So such pages are made one at a
time for each project, each in a transaction of its own, and the requests for them are held with newlines.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from pyramid.threadlocal import RequestContext

from devpi_forkbuilder.devpi.store_facts import Facts
from devpi_forkbuilder.errors import InfrastructureError
from devpi_forkbuilder.web.context import Context
from devpi_forkbuilder.web.page_cache.finished import rest_on
from devpi_forkbuilder.web.pages import bare_page
from devpi_forkbuilder.web.waiting.stream import HeldStream

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
        self.project = key[2]
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


def chained_page(context: Context, handler: Callable[[Any], Any], request: Any, key: Key, facts: Facts) -> Any:
    """The page, at once or held. Without a free seat it is devpi's own affair."""
    if not context.seats.take():
        return handler(request)
    work = Work(handler, request, key)

    def at_once() -> Any:
        response = work.response()
        rest_on(response, facts)
        return response

    return ChainedPage(context, request, work).answer(at_once)


class ChainedPage(HeldStream):
    """A page that waits for upstream.

    It is cut off when there is no page in the end: to an installer an empty page would be one without files.
    """

    def __init__(self, context: Context, request: Any, work: Work) -> None:
        super().__init__(context, request)
        self._work = work

    def wait(self, seconds: float) -> bool:
        """Whether devpi's view has ended."""
        return self._work.wait(seconds)

    def page(self) -> bytes:
        """The view's page. Raises InfrastructureError, and what the view has raised."""
        response = self._work.response() if self._work.wait(0) else None
        if response is not None and response.status_int == 200:
            return bytes(response.body)
        if response is not None and response.status_int == 404:
            return bare_page(self.content_type, self._work.project)
        what = f"The page of {self._work.project} did not come from upstream."
        raise InfrastructureError("upstream-silent", what, next_step="See to the upstream server, and ask again.")
