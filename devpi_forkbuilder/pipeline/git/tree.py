"""What a commit would put on the disk, judged before it does (pure).

A commit of a few hundred bytes can name ten thousand million files, and a link in it can name any file of the server:
both are seen in the listing of its tree.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from devpi_forkbuilder.errors import LimitsError, SourceError
from devpi_forkbuilder.pipeline.process.command import MEBIBYTE

FILE_MODES = (b"100644", b"100755", b"100664")
SYMLINK = b"120000"
GITLINK = b"160000"
LONGEST_TARGET = 4096


@dataclass(frozen=True, slots=True)
class TreeLimits:
    """The most that a checkout may hold, submodules included; `total_bytes` of content, `path_bytes` of one path.

    `submodules` in all, `depth` of submodules in submodules, `listing_bytes` of git's own listing.
    """

    files: int = 100_000
    total_bytes: int = 1024 * MEBIBYTE
    path_bytes: int = 1024
    submodules: int = 100
    depth: int = 4
    listing_bytes: int = 48 * MEBIBYTE


@dataclass(frozen=True, slots=True)
class TreeEntry:
    """One line of `git ls-tree -r -z -l`: mode, object id, size in bytes (0 for a gitlink), path."""

    mode: bytes
    object_id: str
    size: int
    path: bytes

    @property
    def shown(self) -> str:
        """The path as it may stand in a message."""
        return shown_path(self.path)


@dataclass(frozen=True, slots=True)
class TreeCount:
    """What has been counted so far."""

    files: int = 0
    total_bytes: int = 0
    submodules: int = 0


def shown_path(path: bytes) -> str:
    """A path from a hostile tree as it may stand in a message: ASCII, quoted, short."""
    return ascii(path[:100].decode("utf-8", "replace"))


def read_listing(listing: bytes) -> Iterator[TreeEntry]:
    """The entries of `git ls-tree -r -z -l`; raises ValueError where it says `BAD` for the size of a lost object."""
    for line in listing.split(b"\0"):
        if line:
            head, _, path = line.partition(b"\t")
            mode, _, object_id, size = head.split()
            yield TreeEntry(mode, object_id.decode(), int(size) if size != b"-" else 0, path)


def count_entries(entries: Iterable[TreeEntry], before: TreeCount, limits: TreeLimits) -> TreeCount:
    """`before` with `entries` added.

    Raises LimitsError (`too-many-files`, `tree-too-large`, `path-too-long`, `too-many-submodules`) at the first entry
    that is too much, and SourceError (`tree-odd`) for a kind of entry that git does not make.
    """
    files, total, submodules = before.files, before.total_bytes, before.submodules
    for entry in entries:
        files += 1
        total += entry.size
        submodules += entry.mode == GITLINK
        if files > limits.files:
            raise too_many_files(limits)
        if total > limits.total_bytes:
            what = f"The commit's files have more than {limits.total_bytes} bytes in all."
            raise LimitsError("tree-too-large", what, next_step="Keep large files out of the fork.")
        if len(entry.path) > limits.path_bytes or (entry.mode == SYMLINK and entry.size > LONGEST_TARGET):
            what = f"A path in the commit is too long ({limits.path_bytes} bytes are allowed): {entry.shown}..."
            raise LimitsError("path-too-long", what, next_step="Rename it in the fork.")
        if submodules > limits.submodules:
            what = f"The commit has more than {limits.submodules} submodules."
            raise LimitsError("too-many-submodules", what, next_step="Leave some out of the fork.")
        if entry.mode not in (*FILE_MODES, SYMLINK, GITLINK):
            raise SourceError("tree-odd", f"{entry.shown} has the mode {entry.mode.decode()}, which git does not make.")
    return TreeCount(files, total, submodules)


def too_many_files(limits: TreeLimits) -> LimitsError:
    """More files than a checkout may have, or than can be listed."""
    what = f"The commit has more than {limits.files} files, or paths that are very long."
    return LimitsError("too-many-files", what, next_step="Pin a smaller repository, or remove files from the fork.")


def judge_links(targets: Mapping[bytes, bytes]) -> None:
    """Raises SourceError (`symlink-outside`) for a link that leaves the tree; `targets` is by the links' paths.

    The judgement is of text: a link through another link is looked at again on the disk.
    """
    for path, target in targets.items():
        end = posixpath.normpath(posixpath.join(posixpath.dirname(path), target))
        if target.startswith(b"/") or b"\0" in target or end == b".." or end.startswith(b"../"):
            raise outside(path)


def outside(path: bytes) -> SourceError:
    """A link that names a file of the server."""
    step = "Remove the link from the fork, or make it a relative one to a file of the repository."
    return SourceError(
        "symlink-outside", f"The symbolic link {shown_path(path)} leaves the repository.", next_step=step
    )
