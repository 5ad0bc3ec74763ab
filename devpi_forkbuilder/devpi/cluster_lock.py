"""Several devpi processes on one store (`--requests-only`): one of them at a time works on an order.

Where the store is PostgreSQL, advisory locks (its manual, "Explicit Locking") say who does; elsewhere processes share a
server directory, and locks on a file in it (fcntl(2), "Open file description locks"). Either belongs to what was
opened for it, so what a process held is free as soon as it has died, and threads exclude each other, too.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import astuple
from pathlib import Path
from typing import Any, Protocol

from devpi_forkbuilder.domain.pins.orders import OrderKey
from devpi_forkbuilder.errors import InfrastructureError
from devpi_forkbuilder.pipeline.protocols import CancelledError

POSTGRESQL = "devpi_postgresql"
FILE = ".forkbuilder-claims"
LOOK = 0.2
"""Seconds between two looks at a lock that another process has: the build that it waits for takes longer."""


class Lock(Protocol):
    """A lock that ends with `close`."""

    def taken(self) -> bool:
        """Whether it could be taken, without waiting. Raises InfrastructureError."""

    def close(self) -> None:
        """Let it go."""


class ClusterLocks:
    """The `Claim` of the service."""

    def __init__(self, xom: Any) -> None:
        storage = xom.keyfs._storage
        self._storage = storage if type(storage).__module__.startswith(POSTGRESQL) else None
        self._file = Path(xom.config.server_path, FILE)
        self._never = threading.Event()

    @contextmanager
    def __call__(self, key: OrderKey, cancelled: Callable[[], bool]) -> Iterator[None]:
        """Have the order of `key` and of all its group for oneself. Raises InfrastructureError, CancelledError."""
        with closing(self._lock(number_of(key))) as lock:
            while not lock.taken():
                if cancelled():
                    raise CancelledError
                self._never.wait(LOOK)
            yield

    def _lock(self, number: int) -> Lock:
        return FileLock(self._file, number) if self._storage is None else AdvisoryLock(self._storage, number)


def number_of(key: OrderKey) -> int:
    """The lock of a key's group: 63 bits."""
    digest = hashlib.sha256("\0".join(astuple(key.group)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


class FileLock:
    """A lock on one byte of a file. The file stays empty: what is locked need not be there."""

    def __init__(self, path: Path, number: int) -> None:
        try:
            self._opened = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise _unlockable(path, error) from error
        self._path = path
        self._wanted = struct.pack("hhqqi", fcntl.F_WRLCK, os.SEEK_SET, number, 1, 0)

    def taken(self) -> bool:
        """Whether it could be taken, without waiting. Raises InfrastructureError."""
        try:
            fcntl.fcntl(self._opened, fcntl.F_OFD_SETLK, self._wanted)
        except BlockingIOError:
            return False
        except OSError as error:
            raise _unlockable(self._path, error) from error
        return True

    def close(self) -> None:
        """Let it go."""
        os.close(self._opened)


class AdvisoryLock:
    """A lock of a connection to PostgreSQL."""

    def __init__(self, storage: Any, number: int) -> None:
        self._number = number
        try:
            self._connection = storage.get_connection(closing=False)
        except Exception as error:  # noqa: BLE001 - whatever the driver raises; its text may hold the password
            raise _unusable(error) from None

    def taken(self) -> bool:
        """Whether it could be taken, without waiting. Raises InfrastructureError."""
        try:
            ((taken,),) = self._connection._sqlconn.run("SELECT pg_try_advisory_lock(:number)", number=self._number)
        except Exception as error:  # noqa: BLE001 - as above
            raise _unusable(error) from None
        return bool(taken)

    def close(self) -> None:
        """Let it go, with its connection."""
        self._connection.close()


def _unlockable(path: Path, error: OSError) -> InfrastructureError:
    what = f"{path} cannot be locked ({error.strerror}), so builds cannot be coordinated."
    return InfrastructureError("claims-unusable", what, next_step="Let the server write to its server directory.")


def _unusable(error: Exception) -> InfrastructureError:
    what = f"The database cannot be asked which process builds ({type(error).__name__})."
    return InfrastructureError("database-unusable", what, next_step="Check the PostgreSQL server.")
