"""An answer that begins before its page is there: a newline every few seconds, and the page at the end.

White space before JSON and before `<!DOCTYPE html>` is legal, and each newline starts the asker's read time-out anew.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from time import monotonic
from typing import Any

from pyramid.response import Response

from devpi_forkbuilder.devpi.requests import wants_json
from devpi_forkbuilder.web.context import Context
from devpi_forkbuilder.web.pages import HTML, JSON


class HeldStream(ABC):
    """The body of such an answer (WSGI: an iterable with `close`); subclasses say what is waited for, and the page.

    Whoever makes one has taken a seat for it. The seat is left with the ordinary answer, when the stream ends, and when
    the asker has gone, for then the server closes the stream. What was waited for goes on.
    """

    def __init__(self, context: Context, request: Any) -> None:
        self.request = request
        self.content_type = JSON if wants_json(request) else HTML
        self._seats = context.seats
        self._waiting = context.waiting
        self._deadline = monotonic() + context.waiting.limit
        self._seated = True

    @abstractmethod
    def wait(self, seconds: float) -> bool:
        """Whether what is waited for has ended, within that time."""

    @abstractmethod
    def page(self) -> bytes:
        """The body after the newlines, whether or not it has ended. An exception cuts the answer off."""

    def answer(self, at_once: Callable[[], Any]) -> Any:
        """The ordinary answer, which `at_once` gives, if it ends within the hold; otherwise one that begins now."""
        held = False
        try:
            if self.wait(min(self._waiting.hold, self._waiting.limit)):
                return at_once()
            held = True
            return self._begun()
        finally:
            if not held:
                self.close()

    def __iter__(self) -> Iterator[bytes]:
        yield b"\n"
        while not self.wait(self._patience()) and monotonic() < self._deadline:
            yield b"\n"
        yield self.page()

    def close(self) -> None:
        """The answer is over."""
        if self._seated:
            self._seated = False
            self._seats.leave()

    def _begun(self) -> Any:
        response = Response(app_iter=self, content_type=self.content_type, vary={"Accept", "User-Agent"})
        response.headers["X-Accel-Buffering"] = "no"
        response.cache_control = "no-store"
        return response

    def _patience(self) -> float:
        return max(0.0, min(self._waiting.beat, self._deadline - monotonic()))
