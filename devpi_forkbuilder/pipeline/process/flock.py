"""A lock that threads and processes share: a file."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from devpi_forkbuilder.pipeline.protocols import CancelledError

PAUSE = 0.05
"""Seconds between two tries to take a lock that another one holds."""


@contextmanager
def locked(path: Path, cancelled: Callable[[], bool] = lambda: False) -> Iterator[None]:
    """Hold the lock file `path` (flock(2)): between threads too, since each has opened it for itself.

    Raises OSError, and CancelledError when `cancelled` says so during the wait.
    """
    with path.open("ab") as stream:
        while True:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if cancelled():
                    raise CancelledError(f"waiting for {path.name}") from None
                time.sleep(PAUSE)
        yield
