"""A project's simple page in JSON (PEP 691, with the keys of PEP 658, 700, 740 and 792)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from devpi_forkbuilder.domain.simple.file_facts import FileFacts

PLAIN, SIZES, PROVENANCE, STATUS = "1.0", "1.1", "1.3", "1.4"
"""API versions: without further duties, with all sizes and versions (PEP 700), and what came after that."""


def described(
    filename: str,
    url: str,
    digest: tuple[str, str],
    *,
    facts: FileFacts | None,
    announces: bool,
    requires_python: str | None = None,
    yanked: str | bool | None = None,
) -> dict[str, Any]:
    """A file as the page has it. `digest` is the hash's name and value, empty if there is none.

    `announces` says that the file's core metadata is available here (PEP 658).
    """
    kind, value = digest
    file: dict[str, Any] = {"filename": filename, "url": url, "hashes": {kind: value} if value else {}}
    if announces:
        known = facts.core_metadata if facts is not None else None
        file["core-metadata"] = {"sha256": known} if known else True
    if requires_python is not None:
        file["requires-python"] = requires_python
    if yanked is not None and yanked is not False:
        file["yanked"] = yanked
    if facts is not None:
        if facts.size is not None:
            file["size"] = facts.size
        if facts.upload_time:
            file["upload-time"] = facts.upload_time
        if facts.provenance:
            file["provenance"] = facts.provenance
    return file


def json_page(
    project: str, files: Sequence[Mapping[str, Any]], versions: Iterable[str], status: Mapping[str, str]
) -> bytes:
    """The page, at the highest API version of which it has everything that is mandatory."""
    page: dict[str, Any] = {"meta": {"api-version": _api_version(files, status)}, "name": project}
    if status:
        page["project-status"] = dict(status)
    page["files"] = list(files)
    page["versions"] = list(dict.fromkeys(versions))
    return json.dumps(page, separators=(",", ":")).encode()


def with_more(body: bytes, files: Sequence[Mapping[str, Any]]) -> bytes:
    """The page with further files. Without a size they take its API version back."""
    page = json.loads(body)
    page["files"].extend(files)
    if any("size" not in file for file in files):
        page["meta"] = {**page.get("meta", {}), "api-version": PLAIN}
    return json.dumps(page).encode()


def _api_version(files: Sequence[Mapping[str, Any]], status: Mapping[str, str]) -> str:
    if any("size" not in file for file in files):
        return PLAIN
    if status:
        return STATUS
    return PROVENANCE if any("provenance" in file for file in files) else SIZES
