"""The circuit breaker: who failed again and again is left alone for a while."""

from __future__ import annotations

import threading

from devpi_forkbuilder.service.seams import Clock


class Breaker:
    """Opens after `limit` failures in a row; while it is open, one caller in `pause` seconds may try."""

    def __init__(self, clock: Clock, *, limit: int = 3, pause: float = 5.0) -> None:
        self._clock = clock
        self._limit = limit
        self._pause = pause
        self._lock = threading.Lock()
        self._failures = 0
        self._next_try = 0.0

    @property
    def open(self) -> bool:
        """Whether the latest `limit` attempts failed."""
        with self._lock:
            return self._failures >= self._limit

    def allows(self) -> bool:
        """Whether to try now. With an open breaker, yes is said to one caller, and then to nobody for a pause."""
        with self._lock:
            if self._failures < self._limit:
                return True
            now = self._clock.monotonic()
            if now < self._next_try:
                return False
            self._next_try = now + self._pause
            return True

    def succeeded(self) -> None:
        """An attempt went well."""
        with self._lock:
            self._failures = 0

    def failed(self) -> None:
        """An attempt did not."""
        with self._lock:
            self._failures += 1
            self._next_try = self._clock.monotonic() + self._pause
