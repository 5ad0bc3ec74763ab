"""One server for one server directory: devpi's database and files take no second writer."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import IO

from devpi_forkbuilder.errors import RefusedError

NAME = "lock"


class ServerLock:
    """The lock of a server directory, held until the process ends (flock(2)).

    It holds on one machine, for containers that share a volume too; network file systems may not keep it.
    """

    def __init__(self, server_path: Path, folder: Path) -> None:
        self._server_path = server_path
        self._path = folder / NAME
        self._file: IO[str] | None = None

    def take(self, address: str) -> None:
        """Take the lock unless it is held by us; `address` is shown to whoever comes second.

        Nothing is made where there is no folder yet: then nobody else serves it. Raises RefusedError
        (`server-running`).
        """
        if self._file is not None or not self._path.parent.is_dir():
            return
        file = self._path.open("a+", encoding="utf-8")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = " ".join(file.read().split())
            file.close()
            raise _running(self._server_path, holder) from None
        file.truncate(0)
        file.write(f"process {os.getpid()}, {address}\n")
        file.flush()
        self._file = file

    def release(self) -> None:
        """Let go of the lock; once more does no harm."""
        if self._file is not None:
            self._file.close()
            self._file = None


def _running(server_path: Path, holder: str) -> RefusedError:
    return RefusedError(
        "server-running",
        f"Another server runs on {server_path}{f' ({holder})' if holder else ''}.",
        next_step="Stop it, or give this one a directory of its own: --serverdir DIR",
    )
