"""uv's cache of build requirements: uv removes it itself, and waits until no running uv uses it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from devpi_forkbuilder.domain.tidy import Stored, TidyKind
from devpi_forkbuilder.errors import ForkbuilderError, LimitsError
from devpi_forkbuilder.pipeline.process.command import Command
from devpi_forkbuilder.pipeline.process.programs import SilentWatch
from devpi_forkbuilder.pipeline.process.runner import run
from devpi_forkbuilder.service.tidy.engine import IN_USE
from devpi_forkbuilder.service.tidy.folders import size_of

PATIENCE = 120.0
"""Seconds that uv may wait for others that use the cache, and take to remove it."""


class UvCacheShelf:
    """The cache as one: uv has no limit of its own, and knows nothing of what was used last. `uv` finds the program."""

    kind = TidyKind.UV_CACHE

    def __init__(self, folder: Path, uv: Callable[[], Path], patience: float = PATIENCE) -> None:
        self.place = folder
        self._uv = uv
        self._patience = patience

    def stored(self) -> Iterator[Stored]:
        """The cache, if there is one."""
        size = size_of(self.place)
        if size > 2**16:  # what uv leaves of an empty one
            yield Stored(self.place.name, size)

    def remove(self, stored: Stored) -> str:  # noqa: ARG002  (the protocol's)
        """See `Shelf.remove`. uv's own lock keeps it from what another uv works with (`uv cache clean`)."""
        env = {"UV_CACHE_DIR": str(self.place), "UV_NO_CONFIG": "1", "NO_COLOR": "1", "LC_ALL": "C.UTF-8"}
        command = Command((str(self._uv()), "cache", "clean"), env, Path("/"), self._patience, "uv cache clean")
        silence = SilentWatch()
        try:
            done = run(command, log=silence, cancelled=silence.cancelled)
        except LimitsError:
            return IN_USE
        if done.returncode:
            words = done.tail.decode("utf-8", "replace").strip().splitlines()
            what = f"uv could not clear {self.place}: {words[-1] if words else 'it said nothing'}."
            raise ForkbuilderError("uv-cache-unusable", what)
        return ""
