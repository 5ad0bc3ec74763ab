"""A project's simple page as an installer reads it: JSON (PEP 691) or HTML (PEP 503), into the files that it lists."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from html.parser import HTMLParser
from typing import Any
from urllib.parse import unquote, urldefrag, urljoin, urlsplit

JSON = "application/vnd.pypi.simple.v1+json"
ACCEPT = f"{JSON}, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1"
SHA256 = re.compile(r"[0-9a-f]{64}")
PLACEHOLDER = re.compile(r"/\+forks/[^/]+/[0-9a-f]{40,64}/failed/[^/]+/[^/]+\.whl")


@dataclass(frozen=True, slots=True)
class ListedFile:
    """A file on a page. `url` is absolute and without fragment, `sha256` in hex, empty when the page gives none.

    `requires_python` is a specifier set or empty; `metadata` says that PEP 658 metadata stand beside it.
    """

    filename: str
    url: str
    sha256: str = ""
    requires_python: str = ""
    metadata: bool = False
    yanked: bool = False

    @property
    def is_placeholder(self) -> bool:
        """Whether it stands for a fork that could not be built; its download says why."""
        return PLACEHOLDER.search(urlsplit(self.url).path) is not None


def read_page(body: bytes, content_type: str, url: str) -> tuple[ListedFile, ...]:
    """The files of the page at `url`. Raises ValueError when it is not a simple page."""
    if content_type.partition(";")[0].strip() == JSON:
        return _of_json(body, url)
    reader = _Links()
    reader.feed(body.decode("utf-8", "replace"))
    return tuple(_of_link(attributes, text, url) for attributes, text in reader.links)


def _of_json(body: bytes, url: str) -> tuple[ListedFile, ...]:
    try:
        page = json.loads(body)
        return tuple(_of_object(file, url) for file in page["files"])
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ValueError("the answer is not a simple page") from error


def _of_object(file: Mapping[str, Any], url: str) -> ListedFile:
    digest = str((file.get("hashes") or {}).get("sha256") or "").lower()
    return ListedFile(
        filename=str(file["filename"]),
        url=urldefrag(urljoin(url, str(file["url"]))).url,
        sha256=digest if SHA256.fullmatch(digest) else "",
        requires_python=str(file.get("requires-python") or ""),
        metadata=bool(file.get("core-metadata") or file.get("dist-info-metadata")),
        yanked=file.get("yanked") not in {None, False},
    )


def _of_link(attributes: Mapping[str, str | None], text: str, url: str) -> ListedFile:
    link, fragment = urldefrag(urljoin(url, attributes.get("href") or ""))
    kind, _, digest = fragment.partition("=")
    return ListedFile(
        filename=unquote(urlsplit(link).path.rpartition("/")[2]) or text.strip(),
        url=link,
        sha256=digest if kind == "sha256" and SHA256.fullmatch(digest) else "",
        requires_python=attributes.get("data-requires-python") or "",
        metadata="data-core-metadata" in attributes or "data-dist-info-metadata" in attributes,
        yanked="data-yanked" in attributes,
    )


class _Links(HTMLParser):
    """The `a` elements of a page, with their attributes and text."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[tuple[dict[str, str | None], str]] = []
        self._open = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a" and any(name == "href" for name, _ in attrs):
            self.links.append((dict(attrs), ""))
            self._open = True

    def handle_endtag(self, tag: str) -> None:
        self._open = self._open and tag != "a"

    def handle_data(self, data: str) -> None:
        if self._open:
            attributes, text = self.links[-1]
            self.links[-1] = (attributes, text + data)
