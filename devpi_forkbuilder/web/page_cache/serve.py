"""Kept pages are served without pyramid's tweens and views.

This is pyramid's execution policy (`Configurator.set_execution_policy`): it stands in front of all tweens, so a kept
page costs a look at devpi's serial and a dictionary. devpi's request log has such requests as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from pyramid.router import default_execution_policy
from webob.etag import ETagMatcher

from devpi_forkbuilder.devpi.request_log import log_request, server_headers
from devpi_forkbuilder.web.page_cache.cache import CachedPage, PageCache
from devpi_forkbuilder.web.page_cache.keys import page_key
from devpi_forkbuilder.web.traffic import Traffic

Environ = dict[str, Any]
OF_BODY = frozenset({"content-type", "content-length"})
LONGEST_MATCH = 4096


class KeptPages:
    """The execution policy: `pages` first, and pyramid's router for everything else.

    While `stopped`, everything goes to the router.
    """

    def __init__(
        self, xom: Any, pages: PageCache, stopped: Callable[[], bool] = lambda: False, traffic: Traffic | None = None
    ) -> None:
        self._traffic = traffic or Traffic()
        self._stopped = stopped
        self._xom = xom
        self._pages = pages

    def __call__(self, environ: Environ, router: Any) -> Any:
        """Return the response to a request; pyramid's contract."""
        key = page_key(environ)
        found = self._pages.find(key) if key is not None and not self._stopped() else None
        if found is None:
            return default_execution_policy(environ, router)
        page, serial = found
        if page.pinned:
            self._traffic.hit()
        return KeptResponse(page, serial, _has(environ, page), server_headers(self._xom))


def _has(environ: Environ, page: CachedPage) -> bool:
    """Return whether the client says that it has this very page."""
    said = environ.get("HTTP_IF_NONE_MATCH", "")
    return 0 < len(said) <= LONGEST_MATCH and (
        said.strip() == "*" or page.etag in ETagMatcher.parse(said, strong=False).etags
    )


class KeptResponse:
    """A response as WSGI sees it: the page, or 304 without a body."""

    def __init__(self, page: CachedPage, serial: int, modified_not: bool, more: list[tuple[str, str]]) -> None:
        self._body = b"" if modified_not else page.body
        self._status = "304 Not Modified" if modified_not else "200 OK"
        headers = [(name, value) for name, value in page.headers if not modified_not or name.lower() not in OF_BODY]
        length = [] if modified_not else [("Content-Length", str(len(page.body)))]
        self._headers = [*headers, *length, ("X-DEVPI-SERIAL", str(serial)), *more]
        self._serial = serial

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Send it."""
        headers = dict(self._headers)
        kind = headers.get("Content-Type", "")
        log_request(environ["REQUEST_METHOD"], environ["PATH_INFO"], self._status, self._serial, len(self._body), kind)
        start_response(self._status, self._headers)
        return [self._body]
