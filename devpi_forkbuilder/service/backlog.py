"""The queue: first come, first served, but never two of one group at a time."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Hashable
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Backlog(Generic[Item]):
    """A bounded queue for any number of takers.

    A taker gets the oldest item whose group nobody is at, so a busy group holds up nobody but itself.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._items: deque[tuple[Hashable, Item]] = deque()
        self._busy: set[Hashable] = set()
        self._closed = False
        self._moved = threading.Condition()

    @property
    def full(self) -> bool:
        """Whether there is no room for another item."""
        with self._moved:
            return len(self._items) >= self._limit

    @property
    def closed(self) -> bool:
        """Whether it takes no items any more."""
        with self._moved:
            return self._closed

    def put(self, group: Hashable, item: Item, *, front: bool = False) -> bool:
        """Queue `item`, or put it before all others; False when the backlog is closed, or there is no room at its end.

        What goes to the front is needed by, or was, something that was let in before: it needs no room.
        """
        with self._moved:
            if self._closed or (len(self._items) >= self._limit and not front):
                return False
            if front:
                self._items.appendleft((group, item))
            else:
                self._items.append((group, item))
            self._moved.notify_all()
            return True

    def take(self) -> tuple[Hashable, Item] | None:
        """Wait for an item whose group is free; its group is busy until `release`. None: the backlog is closed."""
        with self._moved:
            while not self._closed:
                for place, (group, item) in enumerate(self._items):
                    if group not in self._busy:
                        del self._items[place]
                        self._busy.add(group)
                        return group, item
                self._moved.wait()
            return None

    def release(self, group: Hashable) -> None:
        """The taker of `group`'s item is done with it."""
        with self._moved:
            self._busy.discard(group)
            self._moved.notify_all()

    def close(self) -> None:
        """Let the takers go; what is queued is dropped."""
        with self._moved:
            self._closed = True
            self._items.clear()
            self._moved.notify_all()

    def sizes(self) -> tuple[int, int]:
        """How many items are queued, and how many are taken and not released."""
        with self._moved:
            return len(self._items), len(self._busy)
