"""Git LFS: files whose content is kept by another server; in the repository there are pointers only.

The content is fetched by `git lfs` from the pinned repository's own LFS server, whatever the repository's `.lfsconfig`
says: a fork must not name a host for this server to talk to. What arrives has to have the pointer's digest.
Formats: git-lfs "docs/spec.md", "The Pointer"; "docs/api/server-discovery.md"; git-lfs-config(5).
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from devpi_forkbuilder.errors import LimitsError, SourceError
from devpi_forkbuilder.pipeline.git.client import Git
from devpi_forkbuilder.pipeline.git.tree import FILE_MODES, TreeEntry
from devpi_forkbuilder.pipeline.process.atomic_write import placed
from devpi_forkbuilder.pipeline.process.deep_tree import remove
from devpi_forkbuilder.pipeline.process.environment import search_path
from devpi_forkbuilder.pipeline.process.watch import TransferWatch

FILTER = b"filter=lfs"
POINTER = b"version https://git-lfs.github.com/spec/"
LINES = re.compile(rb"oid sha256:([0-9a-f]{64})\nsize ([0-9]{1,15})\n")
LONGEST = 1024
"""A pointer has fewer bytes than this."""
PROGRAM = "git-lfs"


@dataclass(frozen=True, slots=True)
class Pointer:
    """A file of the checkout that stands for content with this SHA-256 (hex) and size in bytes."""

    entry: TreeEntry
    digest: str
    size: int


@dataclass(frozen=True, slots=True)
class LfsEndpoint:
    """A checkout of `commit` of `url` in the folder `root`; `store` is a folder that keeps content, if there is one."""

    root: Path
    url: str
    commit: str
    store: Path | None


def find_pointers(root: Path, entries: Iterable[TreeEntry]) -> list[Pointer]:
    """The pointers among the files below `root`; none unless the attributes say that there are some."""
    files = [entry for entry in entries if entry.mode in FILE_MODES]
    attributes = [entry for entry in files if entry.path.rpartition(b"/")[2] == b".gitattributes"]
    if not any(FILTER in _start(root, entry, 1024 * LONGEST) for entry in attributes):
        return []
    small = (entry for entry in files if len(POINTER) < entry.size < LONGEST)
    texts = ((entry, _start(root, entry, LONGEST)) for entry in small)
    found = ((entry, LINES.search(text)) for entry, text in texts if text.startswith(POINTER))
    return [Pointer(entry, lines[1].decode(), int(lines[2])) for entry, lines in found if lines is not None]


def fill(git: Git, place: LfsEndpoint, pointers: list[Pointer], watch: TransferWatch, limit: int) -> None:
    """Put the content of `pointers` in their places; `limit` bytes in all.

    Raises SourceError (`lfs-missing`: git-lfs is not installed; `lfs-failed`), LimitsError (`tree-too-large`) and what
    `Git.network` raises.
    """
    if sum(pointer.size for pointer in pointers) > limit:
        what = f"The commit's files in Git LFS have more than {limit} bytes in all."
        raise LimitsError("tree-too-large", what, next_step="Keep large files out of the fork.")
    lacking = [pointer for pointer in pointers if not _is_kept(place.store, pointer)]
    objects = place.root / ".git" / "lfs"
    try:
        if lacking:
            _fetch(git, place, lacking, watch)
        for pointer in pointers:
            kept = place.store is not None and _is_kept(place.store, pointer)
            source = place.store / pointer.digest if kept and place.store is not None else _fetched(objects, pointer)
            _put(source, place, pointer)
    finally:
        remove(objects)


def endpoint(url: str) -> str:
    """The LFS server of a repository, as git-lfs finds it without configuration."""
    if not url.startswith(("http://", "https://")):
        return url
    base = url.rstrip("/")
    return f"{base}/info/lfs" if base.endswith(".git") else f"{base}.git/info/lfs"


def _fetch(git: Git, place: LfsEndpoint, lacking: list[Pointer], watch: TransferWatch) -> None:
    if shutil.which(PROGRAM, path=search_path(git.base)) is None:
        what = f"{len(lacking)} files of the fork are kept in Git LFS, among them {lacking[0].entry.shown}."
        step = "Install git-lfs on this server, or commit the files themselves."
        raise SourceError("lfs-missing", what, next_step=step)
    watch.log.say(f"git lfs fetch {place.url}: {len(lacking)} files")
    settings = (
        f"lfs.url={endpoint(place.url)}",
        f"remote.pin.url={place.url}",
        "lfs.fetchinclude=",
        "lfs.fetchexclude=",
    )
    options = [part for setting in settings for part in ("-c", setting)]
    done = git.network(place.root, place.url, *options, "lfs", "fetch", "pin", place.commit, watch=watch)
    if done.finished.returncode:
        what = f"Git LFS does not give the files of {place.url} at {place.commit}."
        step = "See whether 'git lfs pull' works in a fresh clone; the log has its words."
        raise SourceError("lfs-failed", what, next_step=step, retryable=True)


def _fetched(objects: Path, pointer: Pointer) -> Path:
    """Where git-lfs puts content."""
    return objects / "objects" / pointer.digest[:2] / pointer.digest[2:4] / pointer.digest


def _is_kept(store: Path | None, pointer: Pointer) -> bool:
    return store is not None and (store / pointer.digest).is_file()


def _put(source: Path, place: LfsEndpoint, pointer: Pointer) -> None:
    target = place.root / os.fsdecode(pointer.entry.path)
    if not source.is_file() or _digest(source) != pointer.digest:
        what = f"Git LFS gave other content for {pointer.entry.shown} than the commit names."
        raise SourceError("lfs-failed", what, next_step="Push the file to Git LFS again.")
    mode = target.stat().st_mode
    shutil.copyfile(source, target)
    target.chmod(mode)
    if place.store is not None and source.parent != place.store:
        place.store.mkdir(mode=0o700, parents=True, exist_ok=True)
        with placed(place.store / pointer.digest) as part:
            shutil.copyfile(source, part)


def _digest(path: Path) -> str:
    hasher = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            hasher.update(block)
    return hasher.hexdigest()


def _start(root: Path, entry: TreeEntry, size: int) -> bytes:
    with (root / os.fsdecode(entry.path)).open("rb") as stream:
        return stream.read(size)
