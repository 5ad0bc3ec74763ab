"""Everything that is tidied on a server, in the order in which it is looked at."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from devpi_forkbuilder.devpi.tidy.leftovers import LeftoverShelf
from devpi_forkbuilder.devpi.tidy.mirrored import MirroredShelf
from devpi_forkbuilder.devpi.tidy.superseded import SupersededShelf, pinned_commits
from devpi_forkbuilder.domain.tidy import KeepLimits, TidyKind, TidyPlan, TidyReport
from devpi_forkbuilder.pipeline.process.programs import uv_program
from devpi_forkbuilder.service.clock import SystemClock
from devpi_forkbuilder.service.tidy.daily import REPORT, DailyTidy, LastReport
from devpi_forkbuilder.service.tidy.engine import Shelf, TidyPass, free_bytes
from devpi_forkbuilder.service.tidy.folders import LogShelf, MirrorShelf, SourceShelf, WorkShelf
from devpi_forkbuilder.service.tidy.uv_cache import UvCacheShelf

WORK_PLACE = "work-place"
"""The file below --forkbuilder-dir that tells the command where running builds are."""


def shelves(
    xom: Any, folder: Path, uv: Callable[[], Path], works: tuple[Path, ...] = (), *, superseded: bool = False
) -> tuple[Shelf, ...]:
    """Return what there is to tidy on a server; `folder` is --forkbuilder-dir, `works` more folders for work folders.

    A replica has no builds, and its files come from the primary: devpi fetches all that are missing at each start, so
    only leftovers of transactions are its own. Releases are among it when `superseded` says so.
    """
    leftovers = LeftoverShelf(xom)
    if xom.is_replica():
        return (leftovers,)
    places = tuple(dict.fromkeys((folder / "work", *works, *_elsewhere(folder))))
    return (
        leftovers,
        *(WorkShelf(place) for place in places),
        LogShelf(folder / "logs", folder / "records.sqlite"),
        UvCacheShelf(folder / "uv-cache", uv),
        MirroredShelf(xom),
        MirrorShelf(folder / "mirrors", places),
        SourceShelf(folder / "sources", places, partial(pinned_commits, xom)),
        *((SupersededShelf(xom),) if superseded else ()),
    )


def _elsewhere(folder: Path) -> tuple[Path, ...]:
    """Where the server has its work folders when builds cannot get to its own folder (`WORK_PLACE`)."""
    try:
        return (Path((folder / WORK_PLACE).read_text(encoding="utf-8").strip()),)
    except (OSError, UnicodeDecodeError):
        return ()


def daily_tidy(xom: Any, folder: Path, plan: TidyPlan, interval: float, works: tuple[Path, ...]) -> DailyTidy:
    """Return a server's own passes, not started; `interval` in seconds, 0 for none. Releases go where `plan` limits
    them.
    """
    asked = plan.of_kind(TidyKind.SUPERSEDED) != KeepLimits()
    for work in works:
        with suppress(OSError):  # then the command takes mirrors for unused a little earlier
            (folder / WORK_PLACE).write_text(f"{work}\n", encoding="utf-8")
    clock = SystemClock()

    def uv() -> Path:
        return uv_program(os.environ.get("PATH", os.defpath))

    def make() -> TidyReport:
        return TidyPass(shelves(xom, folder, uv, works, superseded=asked), plan, clock).run()

    def short() -> bool:
        return any(free_bytes(place) < plan.free for place in (folder, Path(xom.config.server_path)))

    return DailyTidy(make, LastReport(folder / REPORT), clock, interval=interval, short=short)
