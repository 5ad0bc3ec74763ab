"""Writes the exact tree of a commit into an archive: what git has, not what a checkout made of it.

Equal trees give equal archives: members are sorted, belong to nobody and have one date.
"""

from __future__ import annotations

import gzip
import io
import os
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from devpi_forkbuilder.errors import SourceError
from devpi_forkbuilder.pipeline.git import fetch_errors, tree
from devpi_forkbuilder.pipeline.git.archive_store import ArchivedSource, Sources, Tag
from devpi_forkbuilder.pipeline.git.mirror import Mirror, Mirrors
from devpi_forkbuilder.pipeline.git.tree import TreeEntry
from devpi_forkbuilder.pipeline.process.atomic_write import disk, placed
from devpi_forkbuilder.pipeline.process.command import MEBIBYTE
from devpi_forkbuilder.pipeline.process.environment import EARLIEST
from devpi_forkbuilder.pipeline.process.watch import TransferWatch

MOST, LARGEST = 1000, 32 * MEBIBYTE
"""Objects, and bytes of them, that are in memory at once; a single object may be larger."""
TOP = 12
"""Digits of the tree id that name the folder at the top of an archive."""


@dataclass(frozen=True, slots=True)
class Part:
    """One repository of a checkout: URL, commit and tree, where it is in the whole (POSIX), its files and gitlinks."""

    url: str
    commit: str
    tree: str
    prefix: str
    entries: tuple[TreeEntry, ...]

    @property
    def modules(self) -> dict[str, str]:
        """The commits of its own submodules by path."""
        links = (entry for entry in self.entries if entry.mode == tree.GITLINK)
        return {os.fsdecode(entry.path): entry.object_id for entry in links}


def keep(
    sources: Sources, mirrors: Mirrors, parts: Sequence[Part], versions: dict[str, str], watch: TransferWatch
) -> None:
    """Keep a checkout's parts, the whole first; `versions` as in `Kept`.

    Raises what `Mirrors.opened` raises, SourceError (`repository-broken`), InfrastructureError (`disk-failed`).
    """
    whole = parts[0]
    with sources.held(whole.tree, watch.cancelled):
        _archive(sources.archive(whole.tree), mirrors, parts, watch)
    for part in parts:
        with mirrors.opened(part.url, part.commit, watch) as mirror:
            kept = _kept(mirror, part, whole.tree, versions if part is whole else {})
        sources.write(part.url, part.commit, kept)


def _archive(target: Path, mirrors: Mirrors, parts: Sequence[Part], watch: TransferWatch) -> None:
    if target.is_file():
        return
    with disk(target.name):
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with placed(target) as path, path.open("wb") as raw, gzip.GzipFile("", "wb", 6, raw, EARLIEST) as packed:
        _write(packed, mirrors, parts, parts[0].tree[:TOP], watch)


def _write(packed: gzip.GzipFile, mirrors: Mirrors, parts: Sequence[Part], top: str, watch: TransferWatch) -> None:
    options = {"format": tarfile.GNU_FORMAT, "encoding": "utf-8", "errors": "surrogateescape"}
    with tarfile.open(fileobj=packed, mode="w", **options) as archive:  # type: ignore[call-overload]  # as documented
        for part in parts:
            with mirrors.opened(part.url, part.commit, watch) as mirror:
                for entry, content in _contents(mirror, part.entries):
                    info = _info("/".join(filter(None, (top, part.prefix, os.fsdecode(entry.path)))), entry, content)
                    archive.addfile(info, io.BytesIO(content) if info.isreg() else None)


def _info(name: str, entry: TreeEntry, content: bytes) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.mtime = EARLIEST
    if entry.mode == tree.SYMLINK:
        info.type, info.linkname, info.mode = tarfile.SYMTYPE, os.fsdecode(content), 0o777
    else:
        info.size, info.mode = len(content), int(entry.mode, 8) & 0o777
    return info


def _contents(mirror: Mirror, entries: Iterable[TreeEntry]) -> Iterator[tuple[TreeEntry, bytes]]:
    files = sorted((entry for entry in entries if entry.mode != tree.GITLINK), key=lambda entry: entry.path)
    for batch in _batches(files):
        limit = sum(entry.size + 200 for entry in batch)
        contents = mirror.read(*(entry.object_id for entry in batch), limit=limit)
        for entry, content in zip(batch, contents, strict=True):
            if content is None:
                raise fetch_errors.unclear(mirror.url)
            yield entry, content


def _batches(entries: Iterable[TreeEntry]) -> Iterator[list[TreeEntry]]:
    batch: list[TreeEntry] = []
    size = 0
    for entry in entries:
        if batch and (len(batch) == MOST or size + entry.size > LARGEST):
            yield batch
            batch, size = [], 0
        batch.append(entry)
        size += entry.size
    if batch:
        yield batch


def _kept(mirror: Mirror, part: Part, archive: str, versions: dict[str, str]) -> ArchivedSource:
    (commit,) = mirror.read(part.commit)
    if commit is None:
        raise fetch_errors.unclear(mirror.url)
    return ArchivedSource(
        archive=archive,
        tree=part.tree,
        commit=commit,
        prefix=part.prefix,
        tags=tuple(_tags(mirror, part.commit)),
        modules=part.modules,
        proven=mirror.proven(part.commit),
        versions=versions,
    )


def _tags(mirror: Mirror, commit: str) -> Iterator[Tag]:
    wanted = "--format=%(objectname) %(objecttype) %(refname)"
    for line in mirror.ask("for-each-ref", f"--points-at={commit}", wanted, "refs/tags").decode().splitlines():
        name, kind, reference = line.split(" ", 2)
        if kind == "commit":
            yield Tag(reference, name)
        elif kind == "tag":
            (content,) = mirror.read(name)
            if content is None:
                raise SourceError(fetch_errors.BROKEN, f"A tag of {mirror.url} is damaged.")
            yield Tag(reference, name, content)
