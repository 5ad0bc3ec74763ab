"""Placeholders written into devpi's simple pages, HTML (PEP 503) and JSON (PEP 691)."""

from __future__ import annotations

import json
import posixpath
from collections.abc import Sequence
from html import escape
from urllib.parse import quote

from devpi_forkbuilder.domain.placeholders import Placeholder

JSON = "application/vnd.pypi.simple.v1+json"
HTML = "text/html"
END = b"</body></html>"


def with_placeholders(body: bytes, content_type: str, page: str, placeholders: Sequence[Placeholder]) -> bytes:
    """The page `body`, served at path `page`, with links to the placeholders; links are relative, as devpi's are."""
    if not placeholders:
        return body
    links = [(placeholder.filename, relative(placeholder.path, page)) for placeholder in placeholders]
    return _json(body, links) if content_type == JSON else _html(body, links)


def relative(path: str, page: str) -> str:
    """`path` as a URL reference from `page` (both from the server's root), quoted."""
    folder = page if page.endswith("/") else posixpath.dirname(page)
    return quote(posixpath.relpath(path, folder or "/"), safe="/+")


def bare_page(content_type: str, project: str) -> bytes:
    """A complete page without files: what a stream ends with when devpi itself has no page to give."""
    if content_type == JSON:
        return json.dumps({"meta": {"api-version": "1.0"}, "name": project, "files": []}).encode()
    return f"<!DOCTYPE html><html><head><title>{escape(project)}</title></head><body>\n".encode() + END


def _html(body: bytes, links: list[tuple[str, str]]) -> bytes:
    head, end, rest = body.rpartition(END)
    if not end:
        head, rest = body, b""
    added = "".join(f'<a href="{escape(url)}">{escape(name)}</a><br>\n' for name, url in links)
    return head + added.encode() + END + rest


def _json(body: bytes, links: list[tuple[str, str]]) -> bytes:
    page = json.loads(body)
    page["files"].extend({"filename": name, "url": url, "hashes": {}} for name, url in links)
    return json.dumps(page).encode()
