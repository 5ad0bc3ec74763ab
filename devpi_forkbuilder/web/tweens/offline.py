"""A server without network says at once, and in words that installers print, what is not in its cache.

devpi's own answers to that are 502, which installers try again for seconds, and pages on which a file is missing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from pyramid.response import Response

from devpi_forkbuilder.devpi.offline import MirrorContents, is_offline
from devpi_forkbuilder.devpi.requests import by_installer, may_read
from devpi_forkbuilder.domain.compat.choice import release_of
from devpi_forkbuilder.domain.simple.file_facts import EPOCH
from devpi_forkbuilder.domain.simple.offline import YANKED, HiddenFile, absent_file, absent_project
from devpi_forkbuilder.web.page_cache.finished import rest_on
from devpi_forkbuilder.web.pages import JSON, relative, with_files
from devpi_forkbuilder.web.paths import INDEX, PageRequest, page_request

Handler = Callable[[Any], Any]
FILE = re.compile(INDEX + r"/\+[ef]/(?P<rest>.+)")
LINK = re.compile(r"<a\s[^>]*>([^<]+)</a>")


def tween_offline(handler: Handler, registry: Any) -> Handler:
    """The tween; pyramid's contract. On a server with network it is not there."""
    if not is_offline(registry):
        return handler
    xom = registry["xom"]
    mirror_contents = MirrorContents(xom)

    def answer(request: Any) -> Any:
        asked = page_request(request.path_info, by_installer(request)) if request.method in {"GET", "HEAD"} else None
        if asked is not None:
            return _page(xom.keyfs, mirror_contents, handler, request, asked)
        found = FILE.fullmatch(request.path_info) if request.method in {"GET", "HEAD"} else None
        if found is not None:
            with xom.keyfs.read_transaction():
                user, index = found["user"], found["index"]
                lacks = mirror_contents.lacks(user, index, request.path_info.strip("/")) and may_read(
                    request, user, index
                )
            if lacks:
                return _absent(absent_file(found["rest"].rpartition("/")[2]))
        return handler(request)

    return answer


def _page(keyfs: Any, mirror_contents: MirrorContents, handler: Handler, request: Any, asked: PageRequest) -> Any:
    with keyfs.read_transaction():
        if not may_read(request, asked.user, asked.index):
            links = None
        else:
            try:
                links = mirror_contents.links(asked.user, asked.index, asked.name)
            except LookupError:
                return _absent(absent_project(asked.project))
    response = handler(request)
    if links and response.status_int == 200:
        body, page = response.body, request.path_info
        files = [_listed(file, page) for file in unavailable(links, _names(body, response.content_type))]
        response.body = with_files(body, response.content_type, files)
        rest_on(response, None)  # which files are here changes without a commit
    return response


def unavailable(links: tuple[HiddenFile, ...], cached: set[str]) -> list[HiddenFile]:
    """The files of versions of which nothing is `cached`: of the others an installer must see only what is here."""
    here = {release_of(name) for name in cached}
    return [file for file in links if file.filename not in cached and release_of(file.filename) not in {*here, None}]


def _listed(file: HiddenFile, page: str) -> dict[str, Any]:
    """A file for the page. It is yanked (PEP 592): only requests for exactly this version get it."""
    entry: dict[str, Any] = {
        "filename": file.filename,
        "url": relative(file.path, page),
        "yanked": YANKED,
        "upload-time": EPOCH,
    }
    entry["hashes"] = {"sha256": file.sha256} if file.sha256 else {}
    return {**entry, "requires-python": file.requires_python} if file.requires_python else entry


def _names(body: bytes, content_type: str) -> set[str]:
    if content_type == JSON:
        return {file["filename"] for file in json.loads(body)["files"]}
    return set(LINK.findall(body.decode("utf-8", "replace")))


def _absent(phrase: str) -> Any:
    """424, which nobody tries again, with a phrase that pip prints of downloads and uv of everything."""
    step = "On a machine with network, devpi-forkbuilder warm puts it into the cache."
    response = Response(f"{phrase}.\n{step}\n", content_type="text/plain", charset="utf-8")
    response.status = f"424 {phrase}"
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.cache_control = "no-store"
    return response
