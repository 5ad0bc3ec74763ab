"""How many requests may wait at once: a request that waits occupies a thread of the server."""

from __future__ import annotations

import threading
from collections import Counter
from time import monotonic

from devpi_forkbuilder.service.durations import Durations


class Seat:
    """One place. It is free again when all who share it have left: the answer, and the work that it began.

    Work that runs in a thread of its own goes on when its client leaves, so it keeps the seat until it ends.
    """

    def __init__(self, seats: Seats, address: str) -> None:
        self._seats = seats
        self._address = address
        self._lock = threading.Lock()
        self._sharing = 1
        self._since = monotonic()

    def share(self) -> None:
        """Add one who will leave."""
        with self._lock:
            self._sharing += 1

    def leave(self) -> None:
        """Leave; each who shares the seat does so once."""
        with self._lock:
            self._sharing -= 1
            last = self._sharing == 0
        if last:
            self._seats.held.observe(monotonic() - self._since)
            self._seats.free(self._address)


class Seats:
    """A bounded number of places that are taken without waiting; half of them at most by one address. Thread-safe."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.held = Durations()
        self._taken = 0
        self._by_address: Counter[str] = Counter()
        self._changed = threading.Condition()

    @property
    def taken(self) -> int:
        """How many are in use."""
        return self._taken

    @property
    def limit_of_one(self) -> int:
        """How many one address may have."""
        return max(1, self.limit // 2)

    def take(self, address: str = "", *, spare: int = 0) -> Seat | None:
        """Take a place for a client address; None when there is none. Empty: it is not known who asks.

        `spare` places are left to others.
        """
        with self._changed:
            if self._taken >= self.limit - spare or (address and self._by_address[address] >= self.limit_of_one):
                return None
            self._taken += 1
            if address:
                self._by_address[address] += 1
        return Seat(self, address)

    def free(self, address: str) -> None:
        """Give a place back; for `Seat` only."""
        with self._changed:
            self._taken -= 1
            if address:
                self._by_address[address] -= 1
                if not self._by_address[address]:
                    del self._by_address[address]
            self._changed.notify_all()

    def wait_until_empty(self, timeout: float) -> bool:
        """Wait until all places are free, `timeout` seconds at most; whether that is so."""
        with self._changed:
            return self._changed.wait_for(lambda: self._taken == 0, timeout)
