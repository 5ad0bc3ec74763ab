"""What a build may touch in the tiers that share the machine's file system: a Landlock part of the launcher's plan."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from devpi_forkbuilder.pipeline.sandbox import system_paths


def landlock(writable: tuple[Path, ...], readable: tuple[Path, ...], *, minimum: int, network: bool) -> dict[str, Any]:
    """Rules by which only the system and `readable` can be read and only `writable` can be written.

    `minimum` is the lowest Landlock version that will do; 0: none at all will do.
    """
    paths = (
        system_paths.SYSTEM
        + system_paths.SETTINGS
        + system_paths.ACCOUNTS
        + (system_paths.NAMING if network else ())
        + ("/proc",)
    )
    return {
        "read": [*paths, *map(str, readable)],
        "write": [str(path) for path in writable],
        "devices": list(system_paths.DEVICES),
        "minimum": minimum,
        "network": network,
    }
