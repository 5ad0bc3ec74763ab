"""News of state changes, for whoever polls with patience: a counter, and threads that wait for it to move."""

from __future__ import annotations

import threading

Watch = tuple[str, str]
"""An index (`user/name`) and a project."""


class Changes:
    """Counts changes; a waiter that watches one project is woken by that project's changes only.

    Waiting is on the machine's own clock. Ask for the token first, look at the state, then wait: nothing is missed.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._count = 0
        self._latest: dict[Watch, int] = {}
        self._waiting: dict[Watch | None, set[threading.Event]] = {}
        self._closed = False

    @property
    def closed(self) -> bool:
        """Whether the server stops: no change comes any more."""
        with self._lock:
            return self._closed

    def token(self) -> int:
        """The number of the latest change of all."""
        with self._lock:
            return self._count

    def since(self, token: int, index: str) -> frozenset[str]:
        """The projects of `index` that changed after the change `token`."""
        with self._lock:
            return frozenset(name for (at, name), number in self._latest.items() if at == index and number > token)

    def announce(self, index: str, project: str) -> None:
        """A build of `project` changed its state."""
        watch = (index, project)
        with self._lock:
            self._count += 1
            self._latest[watch] = self._count
            self._wake(watch)
            self._wake(None)

    def wait(self, token: int, timeout: float, watch: Watch | None = None) -> int:
        """The number of a change after `token`, at once or within `timeout` seconds; `token` itself if there is none.

        With `watch`, only that project's changes count.
        """
        with self._lock:
            if self._closed or self._number(watch) > token:
                return max(token, self._number(watch))
            event = threading.Event()
            self._waiting.setdefault(watch, set()).add(event)
        event.wait(timeout)
        with self._lock:
            self._leave(watch, event)
            return max(token, self._number(watch))

    def waiting(self) -> int:
        """How many threads wait now."""
        with self._lock:
            return sum(len(events) for events in self._waiting.values())

    def close(self) -> None:
        """Wakes everybody; later calls of `wait` return at once."""
        with self._lock:
            self._closed = True
            for watch in self._waiting:
                self._wake(watch)

    def _number(self, watch: Watch | None) -> int:
        return self._count if watch is None else self._latest.get(watch, 0)

    def _wake(self, watch: Watch | None) -> None:
        for event in self._waiting.get(watch, ()):
            event.set()

    def _leave(self, watch: Watch | None, event: threading.Event) -> None:
        self._waiting[watch].discard(event)
        if not self._waiting[watch]:
            del self._waiting[watch]
