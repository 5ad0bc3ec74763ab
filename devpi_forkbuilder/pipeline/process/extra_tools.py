"""Folders with programs that the operator gives to builds, beside those of the system: a compiler, a Rust toolchain.

What is in them runs in every build, so whoever can write there decides what all forks become: nobody but root and the
server's own user may.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from devpi_forkbuilder.errors import InfrastructureError
from devpi_forkbuilder.pipeline.process.environment import SEARCH_PATH

OTHERS = stat.S_IWGRP | stat.S_IWOTH
OPTION = "--forkbuilder-tools"
PROGRAMS = "bin"


@dataclass(frozen=True, slots=True)
class ToolFolders:
    """Folders that every build may read, as they are called without symbolic links."""

    folders: tuple[Path, ...] = ()

    @classmethod
    def judged(cls, folders: Iterable[Path]) -> ToolFolders:
        """The folders, when only root and this process's user can change what is in them.

        Raises InfrastructureError, not retryable: `tools-missing`, `tools-exposed`.
        """
        return cls(tuple(_judged(folder) for folder in folders))

    @property
    def search_path(self) -> str:
        """`PATH` for builds: the programs of these folders (in `bin` where there is one), then the system's."""
        own = (folder / PROGRAMS if (folder / PROGRAMS).is_dir() else folder for folder in self.folders)
        return os.pathsep.join((*map(str, own), SEARCH_PATH))


def _judged(folder: Path) -> Path:
    try:
        real = folder.resolve(strict=True)
        if not real.is_dir() or os.pathsep in str(real):
            raise NotADirectoryError(0, "it is not a folder, or has a colon in its name")
        found = next(filter(_is_exposed, _parts(real)), None)
    except OSError as error:
        what = f"{folder} ({OPTION}) cannot be read: {error.strerror}."
        step = f"Fix {OPTION}, or install what it names."
        raise InfrastructureError("tools-missing", what, next_step=step, retryable=False) from error
    if found is not None:
        what = f"{found[0]} ({OPTION}) can be changed by others than root and the server's user."
        step = f"Run 'chmod go-w {found[0]}', or give it to root."
        raise InfrastructureError("tools-exposed", what, next_step=step, retryable=False)
    return real


def _parts(folder: Path) -> Iterator[tuple[str, os.stat_result, bool]]:
    """Path, status, and whether it is above `folder`: all that says what is in it. Raises OSError.

    Of symbolic links, it is the folder that they are in which counts; what they lead to is not in the box.
    """
    for above in folder.parents:
        yield str(above), above.lstat(), True
    yield str(folder), folder.lstat(), False
    inner = [str(folder)]
    while inner:
        with os.scandir(inner.pop()) as entries:
            for entry in entries:
                status = entry.stat(follow_symlinks=False)
                if stat.S_ISDIR(status.st_mode):
                    inner.append(entry.path)
                if not stat.S_ISLNK(status.st_mode):
                    yield entry.path, status, False


def _is_exposed(part: tuple[str, os.stat_result, bool]) -> bool:
    _, status, above = part
    # In a folder such as /tmp nobody can put something else in the place of what is another's (chmod(1), "sticky").
    shared = above and status.st_mode & stat.S_ISVTX
    return status.st_uid not in {0, os.geteuid()} or bool(status.st_mode & OTHERS and not shared)
