"""Keeping a request open while its builds run.

An installer always gets a complete page: an answer that was cut off would be taken for a page without files by some. A
caching devpi never gets a placeholder, which it would keep: when the answer has begun already, it is cut off, which
counts as a failure there, and nothing of it is kept.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from time import monotonic
from typing import Any

from pyramid.threadlocal import RequestContext

from devpi_forkbuilder.devpi.requests import caching_devpi
from devpi_forkbuilder.errors import InfrastructureError
from devpi_forkbuilder.web.context import Context
from devpi_forkbuilder.web.miss.outcome import Miss, placeholders_of, unfinished
from devpi_forkbuilder.web.pages import JSON, bare_page, with_placeholders
from devpi_forkbuilder.web.waiting.stream import WaitingPage

log = logging.getLogger(__name__)


class HeldPage(WaitingPage):
    """A page that waits for builds. `ended` makes it when they have ended or the time is up, `busy` without a seat."""

    def __init__(
        self,
        context: Context,
        request: Any,
        misses: list[Miss],
        *,
        ended: Callable[[], Any],
        busy: Callable[[], Any],
    ) -> None:
        super().__init__(context, request)
        self._misses = misses
        self._ended = ended
        self._busy = busy

    def wait(self, seconds: float) -> bool:
        """Return whether all builds have ended, within that time."""
        deadline = monotonic() + seconds
        return all(miss.flight.wait(max(0.0, deadline - monotonic())) for miss in self._misses)

    def answer(self) -> Any:
        """Return devpi's page, with a placeholder for what was not built."""
        return self._ended()

    def busy(self) -> Any:
        """Return devpi's page, with placeholders that say so."""
        return self._busy()

    def page(self) -> bytes:
        """Return the page. Raises InfrastructureError for a caching devpi when there is none that it may keep."""
        body = self._body()
        if body is not None:
            return body
        project = self._misses[0].pinned.pin.name
        if caching_devpi(self.request) and self.content_type == JSON:
            what = f"There is no page of {project} that a caching devpi may keep: its answer is cut off."
            raise InfrastructureError("page-cut-off", what, next_step="See why the fork is not built, and ask again.")
        # in front of HTML that was cut off, a proxy may make a complete page without files of it
        placeholders = placeholders_of(self._misses) or unfinished(self._misses)
        bare = bare_page(self.content_type, project)
        return with_placeholders(bare, self.content_type, self.request.path_info, placeholders)

    def _body(self) -> bytes | None:
        try:
            with RequestContext(self.request):
                response = self.answer()
                if response.status_int == 200:
                    return bytes(response.body)
                log.warning("%r answered %s at the end of a held request", self.request.path_info, response.status)
        except Exception:
            log.exception("no page at the end of the held request %r", self.request.path_info)
        return None
