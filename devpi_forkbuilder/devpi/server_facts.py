"""Figures of the server as a whole, for metrics: disks, replicas, and how far behind this one is."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from devpi_forkbuilder.pipeline.process.disk_space import existing

SILENT = 300.0
"""Seconds after which a replica that has not asked does not count any more."""


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """`disks`: free and whole bytes by what is on them (`server`, `forkbuilder`). `replicas`: how many follow.

    `lag_changes`: changes that this replica lacks, or on a primary the slowest of its replicas. `lag_seconds`: how long
    ago this replica had all changes; None on a primary.
    """

    disks: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    replicas: int = 0
    lag_changes: int | None = None
    lag_seconds: float | None = None


def server_facts(xom: Any, folder: Path) -> ServerFacts:
    """Return those of now; `folder` is --forkbuilder-dir."""
    disks = {}
    for name, place in (("server", Path(xom.config.server_path)), ("forkbuilder", folder)):
        usage = shutil.disk_usage(existing(place))
        disks[name] = (usage.free, usage.total)
    own = xom.keyfs.get_current_serial()
    if xom.is_replica():
        return ServerFacts(disks, 0, *_behind(getattr(xom, "replica_thread", None), own))
    now = time.time()
    following = [one for one in xom.polling_replicas.copy().values() if now - one.get("last-request", 0) < SILENT]
    lag = max((max(0, own - int(one["serial"])) for one in following), default=None)
    return ServerFacts(disks, len(following), lag)


def _behind(thread: Any, own: int) -> tuple[int | None, float | None]:
    if thread is None:
        return None, None
    known = thread.get_primary_serial()
    if known is None:
        return None, None
    if own >= known:
        return 0, 0.0
    since = thread.replica_metadata_in_sync_at or thread.started_at
    return known - own, None if since is None else max(0.0, time.time() - since)
