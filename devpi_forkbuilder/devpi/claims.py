"""Several devpi processes on one database (`--requests-only`): one of them at a time works on an order.

PostgreSQL's advisory locks (its manual, "Explicit Locking") belong to a connection, so what a process held is free as
soon as it has died. On SQLite there is one process that builds, and nothing to settle.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import astuple
from typing import Any

from devpi_forkbuilder.domain.orders import OrderKey
from devpi_forkbuilder.errors import InfrastructureError
from devpi_forkbuilder.pipeline.seams import CancelledError

POSTGRESQL = "devpi_postgresql"
LOOK = 0.2
"""Seconds between two looks at a lock that another process has: the build that it waits for takes longer."""


class Claims:
    """The `Claim` of the service."""

    def __init__(self, xom: Any) -> None:
        storage = xom.keyfs._storage
        self._storage = storage if type(storage).__module__.startswith(POSTGRESQL) else None
        self._never = threading.Event()

    @contextmanager
    def __call__(self, key: OrderKey, cancelled: Callable[[], bool]) -> Iterator[None]:
        """Have the order of `key` and of all its group for oneself. Raises InfrastructureError, CancelledError."""
        if self._storage is None:
            yield
            return
        connection = _connected(self._storage)
        try:
            number = number_of(key)
            while not _taken(connection, number):
                if cancelled():
                    raise CancelledError
                self._never.wait(LOOK)
            yield
        finally:
            connection.close()  # and with it the lock


def number_of(key: OrderKey) -> int:
    """The lock of a key's group: 64 bits with a sign."""
    digest = hashlib.sha256("\0".join(astuple(key.group)).encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


def _connected(storage: Any) -> Any:
    try:
        return storage.get_connection(closing=False)
    except Exception as error:  # noqa: BLE001 - whatever the driver raises; its text may hold the password
        raise _unusable(error) from None


def _taken(connection: Any, number: int) -> bool:
    try:
        ((taken,),) = connection._sqlconn.run("SELECT pg_try_advisory_lock(:number)", number=number)
    except Exception as error:  # noqa: BLE001 - as above
        raise _unusable(error) from None
    return bool(taken)


def _unusable(error: Exception) -> InfrastructureError:
    what = f"The database cannot be asked who builds ({type(error).__name__})."
    return InfrastructureError("database-unusable", what, next_step="See to the PostgreSQL server.")
