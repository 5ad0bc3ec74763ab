"""The queue: first come, first served, but never two of one group at a time, and what nobody asked for comes last."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Hashable
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Backlog(Generic[Item]):
    """A bounded queue for any number of takers.

    A taker gets the oldest item whose group nobody is at, so a busy group holds up nobody but itself. Spare items are
    for takers that would have nothing to do.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._items: deque[tuple[Hashable, Item]] = deque()
        self._spare: deque[tuple[Hashable, Item]] = deque()
        self._unasked: set[Hashable] = set()
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

    def put(self, group: Hashable, item: Item, *, front: bool = False, spare: bool = False) -> bool:
        """Queue `item`, or put it before all others; False when the backlog is closed, or there is no room at its end.

        What goes to the front is needed by, or was, something that was let in before: it needs no room.
        """
        with self._moved:
            if self._closed or (len(self._items) >= self._limit and not front):
                return False
            if front:
                self._items.appendleft((group, item))
            elif spare:
                self._spare.append((group, item))
                self._unasked.add(group)
            else:
                self._items.append((group, item))
            self._moved.notify_all()
            return True

    def promote(self, group: Hashable) -> None:
        """Somebody asks for what was put as spare: if it is queued still, it is in turn now."""
        with self._moved:
            self._unasked.discard(group)
            wanted = [entry for entry in self._spare if entry[0] == group]
            for entry in wanted:
                self._spare.remove(entry)
                self._items.append(entry)

    def position(self, group: Hashable) -> int:
        """The place of a group's first item among those that wait, from 1; 0 when none of it waits."""
        with self._moved:
            groups = [one for one, _ in (*self._items, *self._spare)]
            return groups.index(group) + 1 if group in groups else 0

    def waiting(self) -> list[tuple[Item, bool, bool]]:
        """All items in turn; whether each is spare, and whether its group is busy."""
        with self._moved:
            both = [(entry, False) for entry in self._items] + [(entry, True) for entry in self._spare]
            return [(item, spare, group in self._busy) for (group, item), spare in both]

    def room(self, takers: int, most: int) -> int:
        """How many spare items may be put: none while another waits for one of the `takers`, and `most` at a time.

        Those that are taken and that nobody has asked for yet count as well.
        """
        with self._moved:
            waits = len(self._items) + len(self._busy) > takers
            return 0 if waits else max(0, most - len(self._unasked))

    def take(self) -> tuple[Hashable, Item] | None:
        """Wait for an item whose group is free; its group is busy until `release`. None: the backlog is closed."""
        with self._moved:
            while not self._closed:
                for queue in (self._items, self._spare):
                    if (taken := self._first(queue)) is not None:
                        return taken
                self._moved.wait()
            return None

    def _first(self, queue: deque[tuple[Hashable, Item]]) -> tuple[Hashable, Item] | None:
        for place, (group, item) in enumerate(queue):
            if group not in self._busy:
                del queue[place]
                self._busy.add(group)
                return group, item
        return None

    def release(self, group: Hashable) -> None:
        """The taker of `group`'s item is done with it."""
        with self._moved:
            self._busy.discard(group)
            self._unasked.discard(group)
            self._moved.notify_all()

    def close(self) -> None:
        """Let the takers go; what is queued is dropped."""
        with self._moved:
            self._closed = True
            self._items.clear()
            self._spare.clear()
            self._moved.notify_all()

    def sizes(self) -> tuple[int, int]:
        """How many items are queued, and how many are taken and not released."""
        with self._moved:
            return len(self._items) + len(self._spare), len(self._busy)
