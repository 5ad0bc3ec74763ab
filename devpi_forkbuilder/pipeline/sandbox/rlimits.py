"""What one build may use."""

from __future__ import annotations

from dataclasses import dataclass

MEBIBYTE = 1024 * 1024
GIBIBYTE = 1024 * MEBIBYTE


@dataclass(frozen=True, slots=True)
class ResourceLimits:
    """Upper bounds; sizes in bytes, `cpu` in seconds of processor time.

    `cpu`, `memory` (address space), `file_size` and `open_files` hold for each process (getrlimit(2)), `processes`
    (threads count) for all processes of the build's user. `total_memory` is what they may have in use together, where
    the server may make control groups (`groups`); elsewhere `memory` times `processes` is the bound that is certain.
    `folder` is for the driver's watchdog, see `folder.folder_size`; `tmp` and `shared_memory` size the private /tmp and
    /dev/shm of the tier bwrap.
    """

    cpu: int = 3600
    memory: int = 4 * GIBIBYTE
    total_memory: int = 4 * GIBIBYTE
    processes: int = 512
    open_files: int = 4096
    file_size: int = 2 * GIBIBYTE
    folder: int = 4 * GIBIBYTE
    tmp: int = GIBIBYTE
    shared_memory: int = 256 * MEBIBYTE

    def resources(self) -> dict[str, int]:
        """The part that the kernel keeps, by the names of getrlimit(2) without `RLIMIT_`."""
        return {
            "CPU": self.cpu,
            "AS": self.memory,
            "NPROC": self.processes,
            "NOFILE": self.open_files,
            "FSIZE": self.file_size,
            "CORE": 0,
        }
