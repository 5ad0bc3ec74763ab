"""The facts of files stored here: when they were published, their size, and the hash of their core metadata."""

from __future__ import annotations

import calendar
import hashlib
import logging
import re
import threading
import time
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from devpi_server import filestore

from devpi_forkbuilder.devpi.file_log import WHAT
from devpi_forkbuilder.devpi.names import SEVEN, Rel
from devpi_forkbuilder.domain.pins.settings import UploadTime
from devpi_forkbuilder.domain.simple.file_facts import FileFacts

log = logging.getLogger(__name__)

MOST = 50_000
"""Files in memory, about 300 bytes each."""


@dataclass(frozen=True, slots=True)
class Moments:
    """When a file was published here, its commit pinned, and its commit made; seconds since the epoch."""

    published: float | None = None
    pinned: float | None = None
    commit: float | None = None

    def upload_time(self, policy: UploadTime) -> str:
        """The upload time (PEP 700) by an index's policy; what is not known gives way to the time of publication."""
        chosen = {UploadTime.PINNED: self.pinned, UploadTime.COMMIT: self.commit}.get(policy)
        seconds = self.published if chosen is None else chosen
        return "" if seconds is None else time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


@dataclass(frozen=True, slots=True)
class PublishedFile:
    """What is known of a stored file; `size` and `core_metadata` are None on a replica that has not got it yet."""

    moments: Moments
    size: int | None
    core_metadata: str | None

    def facts(self, policy: UploadTime) -> FileFacts:
        """As a page tells it."""
        return FileFacts("", self.moments.upload_time(policy), self.size, self.core_metadata)


class PublishedFacts:
    """Reads each stored file once; a path with its hash never means other bytes. May be used by several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: OrderedDict[str, PublishedFile] = OrderedDict()

    def of(self, stage: Any, project: str, link: Any, policy: UploadTime) -> FileFacts | None:
        """The facts of a simple link of a stage, in the current transaction."""
        with self._lock:
            known = self._known.get(link.href)
        if known is None:
            found = _of_version(stage, project, link.version)
            with self._lock:
                self._known.update({href: file for href, file in found.items() if file.size is not None})
                while len(self._known) > MOST:
                    self._known.popitem(last=False)
            known = found.get(link.href)
        return known.facts(policy) if known is not None else None


def _of_version(stage: Any, project: str, version: str) -> dict[str, PublishedFile]:
    """The files of a release, by the links that simple pages have."""
    links = stage.get_linkstore_perstage(project, version).get_links(rel=Rel.ReleaseFile)
    return {_href(link): _published(link) for link in links}


def _href(link: Any) -> str:
    """The reference of a simple link: the hash that is in the path."""
    spec = link.best_available_hash_spec if SEVEN else link._hash_spec
    return f"{link.relpath}#{spec}" if spec else str(link.relpath)


def _published(link: Any) -> PublishedFile:
    logs = link.get_logs()
    builds = [entry for entry in logs if entry.get("what") == WHAT]
    moments = Moments(
        published=min((_seconds(entry["when"]) for entry in logs if entry.get("when")), default=None),
        pinned=_number(builds[0], "pinned_at") if builds else None,
        commit=_number(builds[0], "commit_time") if builds else None,
    )
    entry = link.entry
    if entry is None or not entry.file_exists():
        return PublishedFile(moments, None, None)
    return PublishedFile(moments, entry.file_size(), _metadata_hash(entry))


def _seconds(when: Any) -> float:
    """devpi's log has a time as year, month, day, hour, minute and second, in UTC; from version 7 on as ISO 8601."""
    if isinstance(when, str):
        return float(calendar.timegm(time.strptime(when, "%Y-%m-%dT%H:%M:%SZ")))
    return float(calendar.timegm(tuple(when)))


def _number(entry: Mapping[str, Any], key: str) -> float | None:
    try:
        return float(entry[key])
    except (KeyError, TypeError, ValueError):
        return None


def _metadata_hash(entry: Any) -> str | None:
    """The sha256 of what devpi answers for `FILE.metadata`; None where that would be an error."""
    if not entry.basename.endswith(".whl"):
        return None
    try:
        with entry.file_open_read() as file:
            content = _core_metadata(file, entry)
    except Exception:  # noqa: BLE001 - an upload may be anything; a broken wheel must not break its project's page
        log.warning("%s has no readable core metadata", entry.relpath)
        return None
    return None if content is None else hashlib.sha256(content).hexdigest()


def _core_metadata(file: Any, entry: Any) -> bytes | None:
    """What devpi reads from the wheel. devpi-server 6.20.2 has no function for it: there the only METADATA is taken."""
    if hasattr(filestore, "get_core_metadata"):
        found: bytes | None = filestore.get_core_metadata(file, entry.project, entry.version, basename=entry.basename)
        return found
    with zipfile.ZipFile(file) as archive:
        names = [name for name in archive.namelist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", name)]
        return archive.read(names[0]) if len(names) == 1 else None
