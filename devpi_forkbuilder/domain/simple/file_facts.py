"""What simple pages say of a file beside its name, URL and hash, and what they say of the project.

PEP 658 and 714 (core metadata), PEP 700 (upload time, size, versions), PEP 740 (provenance), PEP 792 (project status).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import astuple, dataclass, field
from html.parser import HTMLParser
from typing import Any
from urllib.parse import unquote, urldefrag, urljoin, urlsplit

JSON = "application/vnd.pypi.simple.v1+json"
EPOCH = "1970-01-01T00:00:00Z"
"""The upload time of files that install nothing: no cooldown hides them, so installers print why."""
SHA256 = re.compile(r"[0-9a-f]{64}")
MOMENT = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d{1,9})?(?:Z|\+00:00)")
"""PEP 700: ISO 8601 in UTC with a Z. `+00:00` means the same and is written by some servers."""


@dataclass(frozen=True, slots=True)
class FileFacts:
    """What is known of one file.

    `sha256` is its own hash, `upload_time` as PEP 700 writes it, `size` in bytes. `core_metadata` is the sha256 of the
    metadata file, empty if it is announced without a hash, and None if it is not announced. Unknown texts are empty.
    """

    sha256: str = ""
    upload_time: str = ""
    size: int | None = None
    core_metadata: str | None = None
    provenance: str = ""


@dataclass(frozen=True, slots=True)
class PageFacts:
    """What an upstream's page says: of each file by its name, and of the project (PEP 792; empty: nothing)."""

    files: Mapping[str, FileFacts] = field(default_factory=dict)
    status: Mapping[str, str] = field(default_factory=dict)

    def of(self, filename: str, sha256: str) -> FileFacts | None:
        """What is known of this very file: none of another content under the same name."""
        found = self.files.get(filename)
        return found if found is not None and found.sha256 == sha256 else None

    def dumps(self) -> str:
        """As text that `loads` reads."""
        files = {name: astuple(facts) for name, facts in self.files.items()}
        return json.dumps({"files": files, "status": dict(self.status)}, separators=(",", ":"))

    @classmethod
    def loads(cls, text: str) -> PageFacts:
        """What `dumps` wrote. Raises ValueError, KeyError or TypeError for anything else."""
        found = json.loads(text)
        return cls({name: FileFacts(*values) for name, values in found["files"].items()}, found["status"])


def read_facts(text: str, content_type: str, url: str) -> PageFacts:
    """The facts on the page at `url`. Raises ValueError when it is not a simple page. Odd values are left out."""
    if content_type.partition(";")[0].strip() != JSON:
        return PageFacts(dict(_facts_of_links(text, url)))
    try:
        page = json.loads(text)
        files = {str(file["filename"]): _facts_of_object(file, url) for file in page["files"]}
        return PageFacts(files, _status(page.get("project-status")))
    except (TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ValueError("the answer is not a simple page") from error


def moment(value: object) -> str:
    """A time as PEP 700 writes it, in UTC; empty if it is none."""
    found = MOMENT.fullmatch(value) if isinstance(value, str) else None
    return f"{found[1]}{(found[2] or '')[:7]}Z" if found else ""


def _facts_of_object(file: Mapping[str, Any], url: str) -> FileFacts:
    size = file.get("size")
    return FileFacts(
        sha256=_digest(file.get("hashes")) or "",
        upload_time=moment(file.get("upload-time")),
        size=size if isinstance(size, int) and not isinstance(size, bool) and size >= 0 else None,
        core_metadata=_announced(file.get("core-metadata"), file.get("dist-info-metadata")),
        provenance=_link(file.get("provenance"), url),
    )


def _digest(value: object) -> str | None:
    digest = str(value.get("sha256") or "").lower() if isinstance(value, Mapping) else ""
    return digest if SHA256.fullmatch(digest) else None


def _announced(*values: object) -> str | None:
    """The first that says anything: a mapping of hashes, or true."""
    for value in values:
        if value is True or (isinstance(value, Mapping) and value):
            return _digest(value) or ""
        if value is False:
            return None
    return None


def _link(value: object, url: str) -> str:
    link = urljoin(url, value) if isinstance(value, str) and value else ""
    return link if urlsplit(link).scheme in {"http", "https"} else ""


def _status(value: object) -> dict[str, str]:
    known = value if isinstance(value, Mapping) else {}
    return {key: known[key] for key in ("status", "reason") if isinstance(known.get(key), str)}


def _facts_of_links(text: str, url: str) -> Iterable[tuple[str, FileFacts]]:
    reader = _Anchors()
    reader.feed(text)
    for found in reader.anchors:
        link, fragment = urldefrag(urljoin(url, found.get("href") or ""))
        kind, _, digest = fragment.partition("=")
        sha256 = digest.lower() if kind == "sha256" and SHA256.fullmatch(digest.lower()) else ""
        values = (found.get("data-core-metadata"), found.get("data-dist-info-metadata"))
        announced = next((value for value in values if value), None)
        yield (
            unquote(urlsplit(link).path.rpartition("/")[2]),
            FileFacts(
                sha256=sha256,
                core_metadata=None if announced is None else _digest_of_attribute(announced),
                provenance=_link(found.get("data-provenance"), url),
            ),
        )


def _digest_of_attribute(value: str) -> str:
    kind, _, digest = value.partition("=")
    return digest.lower() if kind == "sha256" and SHA256.fullmatch(digest.lower()) else ""


class _Anchors(HTMLParser):
    """The attributes of a page's links."""

    def __init__(self) -> None:
        super().__init__()
        self.anchors: list[dict[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a" and any(name == "href" for name, _ in attrs):
            self.anchors.append(dict(attrs))
