"""Finished pages of pinned projects are given out again without pyramid, for as long as nothing was committed.

This is pyramid's execution policy (`Configurator.set_execution_policy`): it stands in front of all tweens, so a kept
page costs a look at devpi's serial and a dictionary. The tween says which answers may be kept, in the WSGI environment.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any

from pyramid.router import default_execution_policy

from devpi_forkbuilder.web.cache import Kept, PageCache
from devpi_forkbuilder.web.paths import SHORTCUT, SIMPLE

Environ = dict[str, Any]
Key = tuple[str, str, str]

KEEP = "forkbuilder.keep"
"""Set by the tween: this answer is a finished page of a pinned project."""
UNPINNED = "forkbuilder.unpinned"
"""True when the page has nothing to do with pins; set by the tween, and set for it when that is known already."""

log = logging.getLogger(__name__)


class KeptPages:
    """The execution policy. `serial` gives the number of the last commit to devpi's store."""

    def __init__(self, serial: Callable[[], int], cache: PageCache) -> None:
        self._serial = serial
        self._cache = cache

    def __call__(self, environ: Environ, router: Any) -> Any:
        """The response to a request: a kept one, or the router's; pyramid's contract."""
        key = _key(environ)
        if key is None:
            return default_execution_policy(environ, router)
        serial = self._serial()
        known, page = self._cache.get(serial, key)
        if page is not None:
            return KeptResponse(page, key[0])
        if known:
            environ[UNPINNED] = True
        response = default_execution_policy(environ, router)
        if not known:
            self._keep(serial, key, environ, response)
        return response

    def _keep(self, serial: int, key: Key, environ: Environ, response: Any) -> None:
        if environ.get(UNPINNED):
            self._cache.put(serial, key, None)
        elif environ.get(KEEP) and response.status_int == 200:
            self._cache.put(serial, key, Kept(response.body, tuple(response.headerlist)))


class KeptResponse:
    """A response as WSGI sees it."""

    def __init__(self, page: Kept, path: str) -> None:
        self._page = page
        self._path = path

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:  # noqa: ARG002  (WSGI)
        """Send it."""
        log.debug("GET %r: a kept page", self._path)
        start_response("200 OK", list(self._page.headers))
        return [self._page.body]


def _key(environ: Environ) -> Key | None:
    """What a kept page is filed under; None when the request cannot be for one.

    The User-Agent is part of it: it tells the interpreter for which a file must fit.
    """
    path: str = environ["PATH_INFO"]
    if not (SIMPLE.fullmatch(path) or SHORTCUT.fullmatch(path)) or environ["REQUEST_METHOD"] != "GET":
        return None
    if environ.get("QUERY_STRING") or "HTTP_X_DEVPI_ABSOLUTE_URLS" in environ:
        return None
    return path, environ.get("HTTP_ACCEPT", ""), environ.get("HTTP_USER_AGENT", "")
