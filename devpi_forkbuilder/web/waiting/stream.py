"""An answer that begins before its page is there: a newline every few seconds, and the page at the end.

White space before JSON and before `<!DOCTYPE html>` is legal, and each newline restarts the client's read time-out.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from time import monotonic
from typing import Any

from pyramid.response import Response

from devpi_forkbuilder.devpi.requests import wants_json
from devpi_forkbuilder.web.context import Context, Waiting
from devpi_forkbuilder.web.pages import HTML, JSON
from devpi_forkbuilder.web.waiting.seats import Seat


class Stream:
    """The body of such an answer (WSGI: an iterable with `close`).

    The server closes it at its end, and when the client has left; then its seat is given back.
    """

    def __init__(
        self, wait: Callable[[float], bool], page: Callable[[], bytes], waiting: Waiting, deadline: float
    ) -> None:
        self._wait = wait
        self._page = page
        self._waiting = waiting
        self._deadline = deadline
        self._seat: Seat | None = None

    def take_over(self, seat: Seat) -> None:
        """Have the request's seat from now on."""
        self._seat = seat

    def __iter__(self) -> Iterator[bytes]:
        yield b"\n"
        while not self._wait(self._patience()) and monotonic() < self._deadline:
            yield b"\n"
        yield self._page()

    def close(self) -> None:
        """The answer is over."""
        seat, self._seat = self._seat, None
        if seat is not None:
            seat.leave()

    def _patience(self) -> float:
        return max(0.0, min(self._waiting.beat, self._deadline - monotonic()))


class WaitingPage(ABC):
    """A `Waiter` for a simple page, which is streamed when it takes longer than the hold."""

    def __init__(self, context: Context, request: Any) -> None:
        self.context = context
        self.request = request
        self.content_type = JSON if wants_json(request) else HTML
        self._deadline = monotonic() + context.waiting.limit

    @property
    def hold(self) -> float:
        """Seconds to wait before anything is sent."""
        return min(self.context.waiting.hold, self.context.waiting.limit)

    def begin(self, seat: Seat) -> None:  # noqa: B027 - a default: what is waited for has begun already
        """Start what is waited for."""

    @abstractmethod
    def wait(self, seconds: float) -> bool:
        """Return whether it has ended, within that time."""

    @abstractmethod
    def answer(self) -> Any:
        """Return the ordinary answer."""

    @abstractmethod
    def busy(self) -> Any:
        """Return the answer when no seat is free."""

    @abstractmethod
    def page(self) -> bytes:
        """Return the body after the newlines, whether or not it has ended. An exception cuts the answer off."""

    def late(self) -> Any:
        """Return an answer that begins now."""
        stream = Stream(self.wait, self.page, self.context.waiting, self._deadline)
        response = Response(app_iter=stream, content_type=self.content_type, vary={"Accept", "User-Agent"})
        response.headers["X-Accel-Buffering"] = "no"
        response.cache_control = "no-store"
        return response
