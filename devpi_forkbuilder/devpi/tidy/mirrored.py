"""Files that mirrors such as `root/pypi` have cached: devpi keeps them for ever, and fetches again what is gone.

A file goes without a change of the index: its link, hash and metadata stay (as in devpi's `del_versiondata` of
mirrors), and the next request brings it back, with the same hash or not at all. What upstream no longer has stays.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from devpi_forkbuilder.devpi.names import MIRROR, SEVEN
from devpi_forkbuilder.domain.tidy import Stored, TidyKind

GRACE = 3600.0
"""Seconds for which a file that came or was read stays."""
PATIENCE = 10.0
THERE = frozenset({200, 206})
OFFLINE, RECENT, GONE = "offline mode", "just used", "not upstream any more"


class MirroredShelf:
    """The cached files of all mirrors of a server that is not a replica."""

    kind = TidyKind.MIRRORED

    def __init__(self, xom: Any, now: Callable[[], float] = time.time) -> None:
        self.place = Path(xom.config.server_path)
        self._xom = xom
        self._now = now
        self._offline = bool(getattr(xom.config.args, "offline_mode", False))

    def stored(self) -> Iterator[Stored]:
        """All files of mirrors whose bytes are here."""
        keyfs = self._xom.keyfs
        keys = [keyfs.get_key(name) for name in ("STAGEFILE", "PYPIFILE_NOMD5")]
        with keyfs.read_transaction() as tx:
            mirrors = self._mirrors()
            for item in tx.iter_relpaths_at(keys, tx.at_serial):
                if item.value is None or "/".join(item.relpath.split("/", 2)[:2]) not in mirrors:
                    continue
                entry = self._xom.filestore.get_file_entry_from_key(
                    keyfs.get_key_instance(item.keyname, item.relpath), meta=item.value
                )
                size = entry.file_size()
                if size is not None:
                    used = _used(entry)
                    yield Stored(item.relpath, size, used, self._needed(used))

    def remove(self, stored: Stored) -> str:
        """See `Shelf.remove`."""
        with self._xom.keyfs.read_transaction():
            entry = self._xom.filestore.get_file_entry(stored.name)
            stage = self._xom.model.getstage("/".join(stored.name.split("/", 2)[:2]))
            if entry is None or stage is None or not entry.file_exists():
                return ""
            if needed := self._needed(_used(entry)):
                return needed
            url = entry.url
        if not url or not _is_upstream(stage, url):
            return GONE
        with self._xom.keyfs.filestore_transaction():
            entry.file_delete(**({"is_last_of_hash": False} if SEVEN else {}))
        return ""

    def _mirrors(self) -> frozenset[str]:
        users = [(user.name, user.get().get("indexes", {})) for user in self._xom.model.get_userlist()]
        return frozenset(
            f"{user}/{name}" for user, found in users for name, ix in found.items() if ix.get("type") == MIRROR
        )

    def _needed(self, used: float | None) -> str:
        if self._offline:
            return OFFLINE
        return RECENT if used is not None and self._now() - used < GRACE else ""


def _used(entry: Any) -> float | None:
    """When a file was last read or written; None where files are in a database. Most systems note a day's first
    reading only (mount(8), relatime), those that are mounted with noatime the writing."""
    path = entry.file_os_path()
    if not path:
        return None
    try:
        found = Path(path).stat()
    except OSError:
        return None
    return max(found.st_atime, found.st_mtime)


def _is_upstream(mirror: Any, url: str) -> bool:
    """Whether upstream still gives the file: its first byte is asked for. A silent upstream does not."""
    with ExitStack() as stack:
        headers = {"Range": "bytes=0-0", "Accept-Encoding": "identity"}
        response = mirror.http.stream(stack, "GET", url, allow_redirects=True, timeout=PATIENCE, extra_headers=headers)
        return response.status_code in THERE
