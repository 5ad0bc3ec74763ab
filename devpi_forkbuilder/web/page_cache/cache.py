"""Finished pages, kept for as long as what they were made from is as it was, in a bounded number of bytes.

A page is filed with its facts (`devpi.store_facts`) and is served only while all of them hold. So it is never older
than the last commit that could change it, on a replica and with several processes on one database as well.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

from cachetools import LRUCache

from devpi_forkbuilder.devpi.serial import LastSerial
from devpi_forkbuilder.devpi.store_facts import Facts, Remembered
from devpi_forkbuilder.domain.compat.targets import Client

MOST = 64 * 2**20
LARGEST = MOST // 16
OVERHEAD = 700
PER_KEY = 220
"""Bytes that Python takes for an entry, and for one of its keys beyond the text (measured with tracemalloc)."""
EVERYBODY = "*"


@dataclass(frozen=True, slots=True)
class PageKey:
    """What a page is filed under: the path, and what the answer depends on besides the store.

    `installer`: devpi's view makes the page for an installer. `client` is what the asking installer runs, or EVERYBODY
    for pages on which that makes no difference.
    """

    path: str
    json: bool
    installer: bool
    client: Client | str | None

    def for_everybody(self) -> PageKey:
        """Return the key of the same page where the client makes no difference."""
        return PageKey(self.path, self.json, self.installer, EVERYBODY)


@dataclass(frozen=True, slots=True)
class CachedPage:
    """A page as it goes out; `headers` are those of the response, in their order, without those of the server.

    `pinned`: it is that of a pinned project.
    """

    body: bytes
    etag: str
    headers: tuple[tuple[str, str], ...]
    pinned: bool = False


class PageCache:
    """Pages by key; the least recently used go first when there are too many bytes. Thread-safe."""

    def __init__(self, store: LastSerial, most: int = MOST) -> None:
        self._store = store
        self._most = most
        self._lock = threading.Lock()
        self._pages: LRUCache[PageKey, Remembered[CachedPage]] = LRUCache(most, getsizeof=_size)

    @property
    def size(self) -> int:
        """Bytes in use."""
        with self._lock:
            return int(self._pages.currsize)

    def find(self, key: PageKey) -> tuple[CachedPage, int] | None:
        """Return the page of `key` if it is good now, with the serial at which it is."""
        for one in (key.for_everybody(), key):
            with self._lock:
                page = self._pages.get(one)
            if page is not None:
                serial = self._store.read()
                if page.holds(self._store, serial):
                    return page.value, serial
                with self._lock:
                    if self._pages.get(one) is page:
                        del self._pages[one]
        return None

    def put(self, key: PageKey, page: CachedPage, facts: Facts) -> None:
        """Keep `page` while `facts` hold, unless it is large."""
        remembered = Remembered(page, facts)
        if _size(remembered) <= self._most // 16:
            with self._lock:
                self._pages[key] = remembered


def _size(page: Remembered[CachedPage]) -> int:
    headers = sum(len(name) + len(value) for name, value in page.value.headers)
    return OVERHEAD + len(page.value.body) + headers + sum(PER_KEY + len(key) for key in page.facts.keys)
