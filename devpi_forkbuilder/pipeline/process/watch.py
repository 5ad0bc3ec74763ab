"""What follows a command while it runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from devpi_forkbuilder.pipeline.protocols import LogSink


@dataclass(frozen=True, slots=True)
class TransferWatch:
    """Who follows a command: where its output goes, and whether it should end."""

    log: LogSink
    cancelled: Callable[[], bool]
