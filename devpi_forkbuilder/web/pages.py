"""Placeholders written into devpi's simple pages, HTML (PEP 503) and JSON (PEP 691)."""

from __future__ import annotations

import json
import posixpath
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any
from urllib.parse import quote

from devpi_forkbuilder.domain.simple.file_facts import EPOCH
from devpi_forkbuilder.domain.simple.json_page import with_more
from devpi_forkbuilder.domain.simple.placeholders import Placeholder

JSON = "application/vnd.pypi.simple.v1+json"
HTML = "text/html"
END = b"</body></html>"


def with_placeholders(body: bytes, content_type: str, page: str, placeholders: Sequence[Placeholder]) -> bytes:
    """The page `body`, served at path `page`, with links to the placeholders; links are relative, as devpi's are."""
    files = [
        {"filename": one.filename, "url": relative(one.path, page), "hashes": {}, "upload-time": EPOCH}
        for one in placeholders
    ]
    return with_files(body, content_type, files)


def with_files(body: bytes, content_type: str, files: Sequence[Mapping[str, Any]]) -> bytes:
    """The page `body` with further files, each as JSON pages have it (PEP 691)."""
    if not files:
        return body
    return with_more(body, files) if content_type == JSON else _html(body, files)


def relative(path: str, page: str) -> str:
    """`path` as a URL reference from `page` (both from the server's root), quoted."""
    folder = page if page.endswith("/") else posixpath.dirname(page)
    return quote(posixpath.relpath(path, folder or "/"), safe="/+")


def bare_page(content_type: str, project: str) -> bytes:
    """A complete page without files: what a stream ends with when devpi itself has no page to give."""
    if content_type == JSON:
        return json.dumps({"meta": {"api-version": "1.0"}, "name": project, "files": []}).encode()
    return f"<!DOCTYPE html><html><head><title>{escape(project)}</title></head><body>\n".encode() + END


def _html(body: bytes, files: Sequence[Mapping[str, Any]]) -> bytes:
    head, end, rest = body.rpartition(END)
    if not end:
        head, rest = body, b""
    added = "".join(_link(file) for file in files)
    return head + added.encode() + END + rest


def _link(file: Mapping[str, Any]) -> str:
    """A file as HTML pages have it (PEP 503, PEP 592)."""
    fragment = "".join(f"#{kind}={digest}" for kind, digest in list(file["hashes"].items())[:1])
    attributes = "".join(f' data-{key}="{escape(file[key])}"' for key in ("requires-python", "yanked") if key in file)
    return f'<a href="{escape(file["url"])}{escape(fragment)}"{attributes}>{escape(file["filename"])}</a><br>\n'
