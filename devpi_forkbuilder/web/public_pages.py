"""The first page of a public project is waited for as those of forks are: newlines, a seat, a limit.

And a 404 is one only when every mirror has said so: a mirror that has not answered gives 503, which installers try
again, where 404 sends them to another index.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Any

from pyramid.httpexceptions import HTTPException, HTTPServiceUnavailable
from pyramid.threadlocal import RequestContext

from devpi_forkbuilder.devpi.mirrors import Fetch, MirrorPages, is_replicas
from devpi_forkbuilder.devpi.offline import is_offline
from devpi_forkbuilder.devpi.requests import by_installer, may_read, wants_json
from devpi_forkbuilder.errors import InfrastructureError
from devpi_forkbuilder.web.context import REGISTRY, Context
from devpi_forkbuilder.web.pages import bare_page
from devpi_forkbuilder.web.paths import PageRequest, page_request
from devpi_forkbuilder.web.waiting.seats import Seat
from devpi_forkbuilder.web.waiting.stream import WaitingPage
from devpi_forkbuilder.web.waiting.waiter import answer

Handler = Callable[[Any], Any]
RETRY_AFTER = 5
SILENT = 4.0
"""Seconds for which a replica waits for an answer: less than its time-out between two bytes (5)."""


def tween_public_pages(handler: Handler, registry: Any) -> Handler:
    """The tween; pyramid's contract. It stands over the one for misses. A server without network has none."""
    context: Context = registry[REGISTRY]
    mirrors = context.mirrors
    if mirrors is None or is_offline(registry):
        return handler

    def respond(request: Any) -> Any:
        asked = _page_asked_for(request)
        if asked is None:
            return handler(request)
        outline = context.outlines.of(asked.user, asked.index)
        if outline is None or not outline.mirrored:
            return handler(request)
        unheard = _unheard(context, mirrors, request, asked)
        if unheard:
            return _fetched(context, mirrors, handler, request, asked, unheard)
        return _honest(context, mirrors, handler(request), request, asked)

    return respond


class PublicPage(WaitingPage):
    """A page that waits for mirrors. It is cut off when there is none in the end: an empty one would be believed."""

    def __init__(
        self, context: Context, request: Any, asked: PageRequest, fetch: Callable[[], list[Fetch]], at_once: Handler
    ) -> None:
        super().__init__(context, request)
        self._asked = asked
        self._fetch = fetch
        self._fetches: list[Fetch] = []
        self._at_once = at_once

    @property
    def hold(self) -> float:
        """Seconds to wait before anything is sent."""
        return SILENT if is_replicas(self.request) else super().hold

    def begin(self, seat: Seat) -> None:  # noqa: ARG002 - fetches are shared by requests, and bounded by themselves
        """Start or join the fetches."""
        self._fetches = self._fetch()

    def wait(self, seconds: float) -> bool:
        """Return whether all mirrors have answered or failed, within that time."""
        deadline = monotonic() + seconds
        return all(fetch.wait(deadline - monotonic()) for fetch in self._fetches)

    def answer(self) -> Any:
        """Return devpi's page."""
        return self._at_once(self.request)

    def busy(self) -> Any:
        """Return devpi's own answer; its 404 is none."""
        return self._at_once(self.request)

    def late(self) -> Any:
        """Return an answer that begins now; a replica, which needs its serial first, is asked to come again."""
        return _unavailable(self._asked.project) if is_replicas(self.request) else super().late()

    def page(self) -> bytes:
        """Return devpi's page. Raises InfrastructureError when a mirror without which there is none did not answer."""
        with RequestContext(self.request):
            response = self.answer()
        if response.status_int == 200:
            return bytes(response.body)
        if response.status_int == 404:
            return bare_page(self.content_type, self._asked.name)
        failed = [fetch.error for fetch in self._fetches if fetch.error is not None]
        what = f"There is no page of {self._asked.name} now: its answer is cut off."
        raise failed[0] if failed else InfrastructureError("page-cut-off", what, next_step="Ask again.")


def _page_asked_for(request: Any) -> PageRequest | None:
    if request.method != "GET":
        return None
    installer = by_installer(request)
    redirected = not installer and not request.path_info.endswith("/") and not wants_json(request)
    return None if redirected else page_request(request.path_info, installer)


def _unheard(context: Context, mirrors: MirrorPages, request: Any, asked: PageRequest) -> tuple[str, ...]:
    """The mirrors that the page still lacks."""
    try:
        with context.keyfs.read_transaction():
            if not may_read(request, asked.user, asked.index):
                return ()
            needed = mirrors.needed(asked.user, asked.index, asked.name)
            return mirrors.unheard(needed, asked.name)
    except HTTPException:  # a login that is none: what is asked next answers to that
        return ()


def _fetched(
    context: Context, mirrors: MirrorPages, handler: Handler, request: Any, asked: PageRequest, unheard: tuple[str, ...]
) -> Any:
    """Wait in a seat for mirrors. Without a seat it is devpi's own affair, but its 404 is none."""

    def at_once(request: Any) -> Any:
        return _honest(context, mirrors, handler(request), request, asked)

    def fetch() -> list[Fetch]:
        return [fetch for name in unheard if (fetch := mirrors.fetch(name, asked.name)) is not None]

    page = PublicPage(context, request, asked, fetch, at_once)
    # uv asks for fifty pages at once: those of public projects must not make forks of the same client wait
    spare = (context.seats.limit + 1) // 2
    return answer(context, context.addresses.of(request.environ), page, page.hold, spare=spare)


def _honest(context: Context, mirrors: MirrorPages, response: Any, request: Any, asked: PageRequest) -> Any:
    """The response, unless it is a 404 that nobody can stand for."""
    if response.status_int == 404 and _unheard(context, mirrors, request, asked):
        return _unavailable(asked.project)
    return response


def _unavailable(project: str) -> Any:
    response = HTTPServiceUnavailable(f"The public index has not answered for {project} yet. Ask again.")
    response.retry_after = RETRY_AFTER
    return response
