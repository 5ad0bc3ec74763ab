"""From a WSGI request to the key of its page: the parsed client and format, never the text of a header."""

from __future__ import annotations

import threading
from typing import Any

from cachetools import LRUCache, cached

from devpi_forkbuilder.devpi.requests import Asker, asker_of
from devpi_forkbuilder.web.page_cache.cache import PageKey
from devpi_forkbuilder.web.paths import SHORTCUT, SIMPLE

LONGEST_PATH = 512
LONGEST_ACCEPT = 512
LONGEST_AGENT = 2048
"""Longer texts do not come from installers: their requests take the ordinary way."""
TEXTS = 2 * 2**20
"""Bytes of header texts whose meaning is remembered."""


@cached(LRUCache(TEXTS, getsizeof=lambda asker: asker.size), lock=threading.Lock())
def _asker(accept: str, agent: str) -> Asker:
    return asker_of(accept, agent)


def page_key(environ: dict[str, Any]) -> PageKey | None:
    """Return what the page that `environ` asks for is filed under; None when no kept page can answer it."""
    path: str = environ["PATH_INFO"]
    if environ["REQUEST_METHOD"] != "GET" or environ.get("QUERY_STRING") or "HTTP_X_DEVPI_ABSOLUTE_URLS" in environ:
        return None
    if len(path) > LONGEST_PATH or not (SIMPLE.fullmatch(path) or SHORTCUT.fullmatch(path)):
        return None
    accept, agent = environ.get("HTTP_ACCEPT", ""), environ.get("HTTP_USER_AGENT", "")
    if len(accept) > LONGEST_ACCEPT or len(agent) > LONGEST_AGENT:
        return None
    asker = _asker(accept, agent)
    return PageKey(path, asker.json, asker.installer, asker.client) if asker.json or asker.installer else None
