"""Strong validators (RFC 9110, 8.8.3) for pages, and the one place from which pages are filed in the cache.

An ETag is the hash of the body that this client would get, so it differs between HTML and JSON and between users with
different rights, and nobody learns from a 304 what he may not read. A page with a placeholder, or one that is sent
while a build runs, says `no-store` and has none.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any

from pyramid.response import Response

from devpi_forkbuilder.devpi.requests import by_installer
from devpi_forkbuilder.web.context import REGISTRY, Context
from devpi_forkbuilder.web.page_cache.cache import LARGEST, CachedPage, PageKey
from devpi_forkbuilder.web.page_cache.finished import finished, forbids_storing
from devpi_forkbuilder.web.page_cache.keys import page_key
from devpi_forkbuilder.web.pages import JSON
from devpi_forkbuilder.web.paths import INDEX, page_request

LISTS = re.compile(rf"{INDEX}/\+(?:simple|cached)/?")
DEVPI = "devpi-"
"""How the User-Agent of a devpi server begins. Told that a list of projects is as it was, a replica or a mirror takes
the projects that it has fetched for all that there are (devpi-server 6.20, MirrorStage._update_projects)."""
METADATA = re.compile(rf"{INDEX}/\+f/.+\.metadata")
REPEATED = ("Cache-Control", "Vary", "X-DEVPI-SERIAL")
"""What a 304 says again besides its ETag, without which uv ignores it (RFC 9110, 15.4.5)."""
OF_SERVER = frozenset({"x-devpi-serial", "content-length"})


def etag_of(body: bytes, content_type: str) -> str:
    """Return the entity tag of a body, without quotes."""
    return hashlib.blake2b(body, digest_size=16, key=content_type.encode()[:64]).hexdigest()


def tween_pages(handler: Any, registry: Any) -> Any:
    """Pyramid's contract; outside all tweens that change a page."""
    context: Context = registry[REGISTRY]

    def answer(request: Any) -> Any:
        key = page_key(request.environ)
        validated = request.method == "GET" and (key is not None or _has_validators(request))
        response = handler(request)
        if not validated or response.status_int != 200 or forbids_storing(response):
            return response
        body = _body(response)
        if body is None:
            return response
        _validate(response, body)
        if key is not None:
            _keep(context, key, response, body)
        return _not_modified(request, response) or response

    return answer


def _has_validators(request: Any) -> bool:
    path = request.path_info
    if LISTS.fullmatch(path):
        return not (request.user_agent or "").startswith(DEVPI)
    return bool(page_request(path, by_installer(request)) or METADATA.fullmatch(path))


def _body(response: Any) -> bytes | None:
    """Return the body of a response that is not large; the response keeps its body in any case."""
    if (response.content_length or 0) > LARGEST:
        return None
    parts: list[bytes] = []
    rest: Iterator[bytes] = iter(response.app_iter)
    length = 0
    for part in rest:
        parts.append(part)
        length += len(part)
        if length > LARGEST:
            response.app_iter = _Rest(response.app_iter, chain(parts, rest))
            return None
    _close(response.app_iter)
    body = b"".join(parts)
    response.body = body
    return body


class _Rest:
    """A body that was read in part."""

    def __init__(self, whole: Any, parts: Iterable[bytes]) -> None:
        self._whole = whole
        self._parts = parts

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._parts)

    def close(self) -> None:
        """WSGI: the answer is over."""
        _close(self._whole)


def _close(app_iter: Any) -> None:
    if hasattr(app_iter, "close"):
        app_iter.close()


def _validate(response: Any, body: bytes) -> None:
    note = finished(response)
    if response.content_type == JSON and note is not None and note.for_everybody:
        response.vary = {"Accept"}
    response.etag = etag_of(body, response.content_type or "")


def _keep(context: Context, key: PageKey, response: Any, body: bytes) -> None:
    note = finished(response)
    if note is None:
        return
    headers = tuple((name, value) for name, value in response.headerlist if name.lower() not in OF_SERVER)
    page = CachedPage(body, response.etag, headers, note.pinned)
    context.pages.put(key.for_everybody() if note.for_everybody else key, page, note.facts)


def _not_modified(request: Any, response: Any) -> Any:
    if response.etag not in request.if_none_match:
        return None
    answer = Response(status=304)
    for name in ("Content-Type", "Content-Length"):
        answer.headers.pop(name, None)
    answer.etag = response.etag
    for name in REPEATED:
        if name in response.headers:
            answer.headers[name] = response.headers[name]
    return answer
