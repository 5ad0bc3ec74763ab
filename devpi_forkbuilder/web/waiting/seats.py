"""How many requests may be held at once: a held request occupies a thread of the server."""

from __future__ import annotations

import threading


class Seats:
    """A bounded number of places that are taken without waiting."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._taken = 0
        self._changed = threading.Condition()

    @property
    def taken(self) -> int:
        """How many are in use."""
        return self._taken

    def take(self) -> bool:
        """Take a place; False when there is none."""
        with self._changed:
            if self._taken >= self.limit:
                return False
            self._taken += 1
            return True

    def leave(self) -> None:
        """Give a place back."""
        with self._changed:
            self._taken -= 1
            self._changed.notify_all()

    def wait_until_empty(self, timeout: float) -> bool:
        """Wait until nobody has a place, `timeout` seconds at most; whether that is so."""
        with self._changed:
            return self._changed.wait_for(lambda: self._taken == 0, timeout)
