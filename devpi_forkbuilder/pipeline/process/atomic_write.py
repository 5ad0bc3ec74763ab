"""Writes a file whole or not at all, and says so when the disk is at fault."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from devpi_forkbuilder.errors import InfrastructureError


@contextmanager
def disk(filename: str) -> Iterator[None]:
    """Raise InfrastructureError `disk-failed` for an OSError in the block, which works on `filename`."""
    try:
        yield
    except OSError as error:
        what = f"The server could not write {filename}: {error.strerror or 'input or output failed'}."
        raise InfrastructureError("disk-failed", what, next_step="Check the server's disk.") from error


@contextmanager
def placed(target: Path) -> Iterator[Path]:
    """A path to write to, which becomes `target` when the block ends well and is gone otherwise; raises as `disk`."""
    part = target.with_name(f".{target.name}.part")
    with disk(target.name):
        try:
            yield part
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)
