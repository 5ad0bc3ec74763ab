"""The folder of build logs: which file is whose, its last lines, and what nobody knows any more."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import quote

from devpi_forkbuilder.domain.pins.orders import OrderKey
from devpi_forkbuilder.errors import InfrastructureError
from devpi_forkbuilder.service.seams import OpenLog, RunLog

SUFFIX = ".log"


class Logs:
    """Log files below `root`, named by paths relative to it: `user/index/project/commit[~version][-python].log`."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def name(self, key: OrderKey) -> str:
        """The file for `key`."""
        version, python = f"~{key.version}" if key.version else "", f"-{key.python}" if key.python else ""
        return "/".join(map(_safe, (*key.index.split("/"), key.project, f"{key.commit}{version}{python}{SUFFIX}")))

    def start(self, name: str, open_log: OpenLog) -> RunLog:
        """The file, new and open; its folder is made. Raises InfrastructureError when it cannot be."""
        path = self._root / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            return open_log(path)
        except OSError as error:
            raise InfrastructureError(
                "logs-unusable",
                f"The build log cannot be written: {error}.",
                next_step=f"Check the space and permissions of {self._root}.",
            ) from error

    def find(self, name: str) -> Path | None:
        """The file, if there is one."""
        path = self._root / name
        return path if name and path.is_file() else None

    def names(self) -> tuple[str, ...]:
        """All files that are there."""
        return tuple(path.relative_to(self._root).as_posix() for path in self._root.rglob(f"*{SUFFIX}"))

    def remove(self, names: Iterable[str]) -> None:
        """Remove files; one that is gone already is not a fault. Raises OSError."""
        for name in names:
            (self._root / name).unlink(missing_ok=True)


def tail(path: Path, n_bytes: int) -> bytes:
    """The last whole lines of a file that may be growing, `n_bytes` at most; part of a line when it is longer."""
    if n_bytes <= 0:
        return b""
    with path.open("rb") as file:
        before = file.seek(0, os.SEEK_END) - n_bytes - 1
        if before < 0:
            file.seek(0)
            return file.read(n_bytes)
        file.seek(before)
        data = file.read(n_bytes + 1)
    _, _, whole = data.partition(b"\n")
    return whole or data[1:]


def _safe(part: str) -> str:
    """`part` as the name of a file or folder: a request may say anything, so nothing may leave the folder of logs."""
    quoted = quote(part, safe="") or "%00"  # an empty part would make the path absolute
    return quoted.replace(".", "%2E") if quoted.startswith(".") else quoted
