"""Where users of builds can get to, and a place for work folders when they cannot get to the server's own."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Iterable
from pathlib import Path

from devpi_forkbuilder.errors import InfrastructureError

SYSTEM_PLACES = (Path("/var/lib"), Path("/var/tmp"), Path("/tmp"))  # noqa: S108  (a folder of root's own is made there)
NAME = "devpi-forkbuilder-builds"
MODE = 0o711
"""Others pass through, and do not look into it."""


def closed_part(path: Path, own: Path | None = None) -> Path | None:
    """Return the first folder on the way to `path` that others may not pass through; None when there is none.

    What is at or below `own` is this program's and can be opened.
    """
    real = path.resolve()
    way = (one for one in (*reversed(path.parents), *reversed(real.parents), real) if one.exists())
    foreign = (one for one in way if own is None or not one.is_relative_to(own))
    return next((one for one in foreign if not one.stat().st_mode & stat.S_IXOTH), None)


def passable(scratch: Path, places: Iterable[Path] = SYSTEM_PLACES) -> Path:
    """Return `scratch` where others can get to it, else a folder of root's own in one of `places`; only for root.

    Raises InfrastructureError (`folder-closed`) when none of them can be used.
    """
    if closed_part(scratch, scratch) is None:
        return scratch
    for place in places:
        with contextlib.suppress(OSError):
            folder = place / NAME
            folder.mkdir(mode=MODE, exist_ok=True)
            if _is_roots_own(folder):
                folder.chmod(MODE)
                return folder
    what = f"The user of a build cannot pass through {closed_part(scratch, scratch)}."
    step = "Let others pass (chmod o+x), or keep builds in another place: --forkbuilder-dir."
    raise InfrastructureError("folder-closed", what, next_step=step, retryable=False)


def discard_empty(scratch: Path) -> None:
    """Remove a folder that `passable` made and nobody uses."""
    if scratch.name == NAME:
        with contextlib.suppress(OSError):
            scratch.rmdir()


def work_place(scratch: Path, work: Path) -> Path:
    """Return the folder for work folders of the server that has `work`: in a place of the system each has its own."""
    if scratch.name != NAME:
        return work
    place = scratch / hashlib.sha256(os.fsencode(work)).hexdigest()[:16]
    place.mkdir(mode=MODE, exist_ok=True)
    return place


def open_copy(program: Path, place: Path) -> Path:
    """Return `program`, or a copy of it in `place` where others can run it. Raises OSError."""
    if closed_part(program) is None:
        return program
    copy, wanted = place / f"program-{program.name}", program.stat()
    with contextlib.suppress(FileNotFoundError):
        found = copy.stat()
        if (found.st_size, int(found.st_mtime)) == (wanted.st_size, int(wanted.st_mtime)):
            return copy
    with tempfile.NamedTemporaryFile(dir=place, delete=False) as file:
        shutil.copyfile(program, file.name)
    shutil.copystat(program, file.name)
    Path(file.name).chmod(0o755)
    Path(file.name).replace(copy)
    return copy


def _is_roots_own(folder: Path) -> bool:
    """Whether nobody else made it or can write to it, and programs in it can be started."""
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != 0 or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return False
    return not os.statvfs(folder).f_flag & os.ST_NOEXEC and closed_part(folder, folder) is None
