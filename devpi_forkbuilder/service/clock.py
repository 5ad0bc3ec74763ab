"""The clock of the machine."""

from __future__ import annotations

import time


class SystemClock:
    """The `Clock` for servers."""

    def now(self) -> float:
        """Seconds since the epoch."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds since some fixed moment."""
        return time.monotonic()
