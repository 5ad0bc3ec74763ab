"""What a build may touch in the tiers that share the machine's file system: a Landlock part of the launcher's plan."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from devpi_forkbuilder.pipeline.sandbox import system


def landlock(writable: tuple[Path, ...], readable: tuple[Path, ...], *, minimum: int, network: bool) -> dict[str, Any]:
    """Rules by which only the system and `readable` can be read and only `writable` can be written.

    `minimum` is the lowest Landlock version that will do; 0: none at all will do.
    """
    system_paths = system.SYSTEM + system.SETTINGS + system.ACCOUNTS + (system.NAMING if network else ()) + ("/proc",)
    return {
        "read": [*system_paths, *map(str, readable)],
        "write": [str(path) for path in writable],
        "devices": list(system.DEVICES),
        "minimum": minimum,
        "network": network,
    }
