"""Git LFS: files whose content is kept by another server; in the repository there are pointers only.

This server does not fetch them: where the content is, is said by the repository, and any host may be named. What it
does is to say so, instead of publishing a wheel with pointers in it.
Format: git-lfs "docs/spec.md", "The Pointer".
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from devpi_forkbuilder.errors import SourceError
from devpi_forkbuilder.pipeline.tree import FILE_MODES, Entry

FILTER = b"filter=lfs"
POINTER = b"version https://git-lfs.github.com/spec/"
LONGEST = 1024
"""A pointer has fewer bytes than this."""


def judge_pointers(root: Path, entries: Iterable[Entry]) -> None:
    """Raises SourceError (`lfs-missing`) when a file below `root` is a pointer and the attributes say so."""
    files = [entry for entry in entries if entry.mode in FILE_MODES]
    attributes = [entry for entry in files if entry.path.rpartition(b"/")[2] == b".gitattributes"]
    if not any(FILTER in _start(root, entry, 1024 * LONGEST) for entry in attributes):
        return
    small = (entry for entry in files if len(POINTER) < entry.size < LONGEST)
    pointers = [entry for entry in small if _start(root, entry, len(POINTER)) == POINTER]
    if pointers:
        what = f"{len(pointers)} files of the fork are kept in Git LFS, among them {pointers[0].shown}."
        step = "This server does not fetch from Git LFS: commit the files themselves, or remove them from the fork."
        raise SourceError("lfs-missing", what, next_step=step)


def _start(root: Path, entry: Entry, size: int) -> bytes:
    with (root / os.fsdecode(entry.path)).open("rb") as stream:
        return stream.read(size)
