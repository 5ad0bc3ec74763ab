"""Finished pages, kept for as long as nothing at all was committed to devpi's store.

A page is filed under the store's serial as it was *before* the page was made, and given out only while the serial is
still that one. So a page is never older than the last commit, on a replica and with several processes on one database
as well.
"""

from __future__ import annotations

import threading
from collections.abc import Hashable
from dataclasses import dataclass

MOST = 10_000
LARGEST = 256 * 1024


@dataclass(frozen=True, slots=True)
class Kept:
    """A page as it goes out; `headers` are those of the response, in their order."""

    body: bytes
    headers: tuple[tuple[str, str], ...]


class PageCache:
    """Pages by key, for one serial at a time: a commit empties it. May be used by several threads."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._serial = -1
        self._pages: dict[Hashable, Kept | None] = {}

    def get(self, serial: int, key: Hashable) -> tuple[bool, Kept | None]:
        """Whether something is known of `key` at `serial`, and the page; None: it has nothing to do with pins."""
        with self._lock:
            if serial != self._serial or key not in self._pages:
                return False, None
            return True, self._pages[key]

    def put(self, serial: int, key: Hashable, page: Kept | None) -> None:
        """Remember what was found for `key`, asked for at `serial`."""
        if page is not None and len(page.body) > LARGEST:
            return
        with self._lock:
            if serial > self._serial:
                self._serial, self._pages = serial, {}
            if serial == self._serial and len(self._pages) < self._most:
                self._pages[key] = page
