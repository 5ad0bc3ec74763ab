"""Pages of an index that mirrors another devpi's index: upstream may be building, and its page then takes its time.

devpi's own page waits without a byte, which installers give up on after 15 or 30 seconds; and whoever asks for the same
page meanwhile gets 404 when it has come, from a transaction older than the page. So such pages are made one at a
time for each project, each in a transaction of its own, and the requests for them are held with newlines.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from pyramid.httpexceptions import HTTPException
from pyramid.request import apply_request_extensions
from pyramid.threadlocal import RequestContext

from devpi_forkbuilder.devpi.offline import is_offline
from devpi_forkbuilder.devpi.store_facts import Facts
from devpi_forkbuilder.errors import InfrastructureError
from devpi_forkbuilder.web.context import Context
from devpi_forkbuilder.web.page_cache.finished import rest_on
from devpi_forkbuilder.web.pages import bare_page
from devpi_forkbuilder.web.waiting.busy import unknown_page, unknown_page_when_busy
from devpi_forkbuilder.web.waiting.seats import Seat
from devpi_forkbuilder.web.waiting.stream import WaitingPage

log = logging.getLogger(__name__)

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
    """devpi's view of a page, run in a thread of its own, which has the seat until the view has ended.

    It has a request of its own, too: pyramid takes things off a request once its answer has begun.
    """

    def __init__(self, handler: Callable[[Any], Any], request: Any, key: Key, seat: Seat) -> None:
        self._handler = handler
        self._request = _copy(request)
        self._key = key
        self._seat = seat
        self._ended = threading.Event()
        self._response: Any = None
        self._error: BaseException | None = None
        seat.share()
        threading.Thread(target=self._run, name="forkbuilder-upstream", daemon=True).start()

    def wait(self, seconds: float) -> bool:
        """Return whether it has ended, within that time."""
        return self._ended.wait(seconds)

    def response(self) -> Any:
        """Return what the view has answered, or raise what it has raised."""
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
            self._seat.leave()


def _copy(request: Any) -> Any:
    copy = request.copy_get()
    copy.registry = request.registry
    apply_request_extensions(copy)
    copy.log = request.log
    return copy


class ChainedPage(WaitingPage):
    """A page that waits for another devpi. `facts` are those by which the page was seen to be one.

    It is cut off when there is no page in the end: to an installer an empty page would be one without files.
    """

    def __init__(self, context: Context, request: Any, handler: Callable[[Any], Any], key: Key, facts: Facts) -> None:
        super().__init__(context, request)
        self._handler = handler
        self._key = key
        self._facts = facts
        self._work: Work | None = None

    def begin(self, seat: Seat) -> None:
        """Have devpi's view begin."""
        self._work = Work(self._handler, self.request, self._key, seat)

    def wait(self, seconds: float) -> bool:
        """Return whether devpi's view has ended, within that time."""
        return self._work is not None and self._work.wait(seconds)

    def answer(self) -> Any:
        """Return what the view has answered, or no page where upstream has not; raises devpi's refusals."""
        response = self._response()
        if response is None:
            return unknown_page(self.context, self.request, self.content_type, self._silence)
        rest_on(response, self._facts)
        return response

    def busy(self) -> Any:
        """Return an answer on which nobody goes on to another index, see `busy.unknown_page`."""
        return unknown_page_when_busy(self.context, self.request, self.content_type)

    def page(self) -> bytes:
        """Return the view's page. Raises InfrastructureError when upstream has not answered."""
        response = self._response()
        if response is not None and response.status_int == 200:
            rest_on(response, self._facts)
            return bytes(response.body)
        if response is not None and response.status_int == 404:
            return bare_page(self.content_type, self._key[2])
        raise InfrastructureError(
            "upstream-silent", self._silence, next_step="Check the upstream server, and ask again."
        )

    @property
    def _silence(self) -> str:
        return f"The page of {self._key[2]} did not come from upstream."

    def _response(self) -> Any:
        """Return what devpi's view says; None when it has not ended, has failed, or speaks of what it does not know.

        Raises HTTPException, which is devpi's answer to a login.
        """
        if self._work is None or not self._work.wait(0):
            return None
        try:
            response = self._work.response()
        except HTTPException:
            raise
        except Exception:
            log.exception("no page of %s", self._key[2])
            return None
        silent = response.status_int == 502 or (response.status_int == 404 and self._unheard())
        return None if silent else response

    def _unheard(self) -> bool:
        """Return whether a mirror has not said that there is no such project: devpi's 404 is a time-out's, too."""
        mirrors = self.context.mirrors
        if mirrors is None or is_offline(self.request.registry):
            return False
        with self.context.keyfs.read_transaction():
            return bool(mirrors.unheard(mirrors.needed(*self._key, chained=True), self._key[2]))
