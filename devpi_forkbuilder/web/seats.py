"""How many requests may be held at once: a held request occupies a thread of the server."""

from __future__ import annotations

import threading


class Seats:
    """A bounded number of places that are taken without waiting."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._taken = 0
        self._lock = threading.Lock()

    @property
    def taken(self) -> int:
        """How many are in use."""
        return self._taken

    def take(self) -> bool:
        """Take a place; False when there is none."""
        with self._lock:
            if self._taken >= self.limit:
                return False
            self._taken += 1
            return True

    def leave(self) -> None:
        """Give a place back."""
        with self._lock:
            self._taken -= 1
