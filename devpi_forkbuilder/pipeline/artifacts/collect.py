"""Brings what a build made to where no build can reach it.

A process that outlives a check can change the file that was checked (CVE-2024-27297), so: end all processes of the
build, copy, then check and publish the copy. The output folder was the build's own; nothing in it is what it seems.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from devpi_forkbuilder.errors import ForkbuilderError, LimitsError, MismatchError
from devpi_forkbuilder.pipeline.artifacts.fault_list import NEXT_STEP, shown_values
from devpi_forkbuilder.pipeline.artifacts.zip_reader import BLOCK
from devpi_forkbuilder.pipeline.process.atomic_write import placed

FILENAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+!-]{0,249}")
MOST_ENTRIES = 100
SUFFIXES = (".whl", ".tar.gz")
IGNORED = (".gitignore",)
"""What uv leaves beside its wheels."""
KINDS = {".whl": "wheel", ".tar.gz": "sdist"}
# a link is not followed, and a pipe or device is opened without waiting for its other end
SAFELY = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def collect(folder: Path, into: Path, *, suffix: str, limit: int) -> tuple[Path, ...]:
    """Copies of the build's files that end in `suffix`, in `into`, in the order of their names.

    Call it when all processes of the build have ended; `into` is a folder that no build saw. `limit`: bytes that one
    file may have. Raises MismatchError (`artefact-not-a-file`, `artefact-name`, `artefact-unexpected`,
    `artefact-unreadable`), LimitsError (`artefact-too-large`, `too-many-artefacts`) and InfrastructureError when a copy
    cannot be written. Then no copy is left.
    """
    copies: list[Path] = []
    try:
        with _opened(folder) as source:
            for name in _wanted(_entries(source), suffix):
                target = into / name
                _copy(source, name, target, limit)
                copies.append(target)
    except ForkbuilderError:
        for copy in copies:
            copy.unlink(missing_ok=True)
        raise
    return tuple(copies)


def the_one(files: Sequence[Path], *, suffix: str) -> Path:
    """The only file in `files`, which `collect` gave for `suffix`.

    Raises MismatchError: `no-wheel`, `several-wheels`, `no-sdist`, `several-sdists`.
    """
    kind = KINDS[suffix]
    if not files:
        raise MismatchError(
            f"no-{kind}",
            f"The fork's build ended well but left no {kind} ({suffix}).",
            next_step="Look at the end of the log, and at build-backend in the fork's pyproject.toml.",
        )
    if len(files) > 1:
        there = ", ".join(shown_values(file.name) for file in files)
        raise MismatchError(
            f"several-{kind}s",
            f"The fork's build left {len(files)} {kind}s where one is expected: {there}.",
            next_step=f"Fix the fork's build so that it makes one {kind}; for a fork with several projects, pin each "
            "with &subdirectory=DIR.",
        )
    return files[0]


@contextmanager
def _opened(folder: Path) -> Iterator[int]:
    try:
        opened = os.open(folder, SAFELY | os.O_DIRECTORY)
    except OSError as error:
        raise MismatchError(
            "artefact-not-a-file", "The build replaced or removed its output folder.", next_step=NEXT_STEP
        ) from error
    try:
        yield opened
    finally:
        os.close(opened)


def _entries(folder: int) -> list[str]:
    names: list[str] = []
    with os.scandir(folder) as entries:
        for entry in entries:
            names.append(entry.name)
            if len(names) > MOST_ENTRIES:
                raise LimitsError(
                    "too-many-artefacts",
                    f"The build left more than {MOST_ENTRIES} files in its output folder.",
                    next_step=NEXT_STEP,
                )
    return sorted(names)


def _wanted(names: Iterable[str], suffix: str) -> list[str]:
    wanted: list[str] = []
    for name in names:
        if name in IGNORED:
            continue
        if not name.endswith(SUFFIXES):
            what = f"The build left {shown_values(name)} in its output folder, where only its results belong."
            raise MismatchError("artefact-unexpected", what, next_step=NEXT_STEP)
        if not FILENAME.fullmatch(name):
            what = f"The build made a file with the name {shown_values(name)}, which no index can have."
            raise MismatchError("artefact-name", what, next_step=NEXT_STEP)
        if name.endswith(suffix):
            wanted.append(name)
    return wanted


def _copy(folder: int, name: str, target: Path, limit: int) -> None:
    try:
        source = os.open(name, SAFELY, dir_fd=folder)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO, errno.ENODEV, errno.EOPNOTSUPP):
            raise _not_a_file(name) from error
        what = f"The build's file {name} cannot be read: {error.strerror}."
        raise MismatchError("artefact-unreadable", what, next_step=NEXT_STEP) from error
    try:
        status = os.fstat(source)
        if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
            raise _not_a_file(name)
        if status.st_size > limit:
            raise _too_large(name, limit)
        _write(source, name, target, limit)
    finally:
        os.close(source)


def _write(source: int, name: str, target: Path, limit: int) -> None:
    left = limit
    with placed(target) as part, part.open("xb") as copy:
        while block := os.read(source, BLOCK):
            left -= len(block)
            if left < 0:  # it grew since it was opened
                raise _too_large(name, limit)
            copy.write(block)


def _not_a_file(name: str) -> MismatchError:
    what = f"The build made {name} a link or a special file, or gave it a second name."
    return MismatchError("artefact-not-a-file", what, next_step=NEXT_STEP)


def _too_large(name: str, limit: int) -> LimitsError:
    what = f"The build's file {name} is larger than {limit} bytes."
    return LimitsError("artefact-too-large", what, next_step="Make it smaller, or ask for a higher limit.")
