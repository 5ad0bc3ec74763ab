"""A pinned commit as files: a repository of its own in a fresh folder, with HEAD proven to be the commit.

The folder is for the build, which may write anything into it, `.git/config` too. So all that is needed of git is
asked here, and git is never run in that folder again by this server.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from devpi_forkbuilder.domain.pins.pins import Pin
from devpi_forkbuilder.errors import ForkbuilderError, InfrastructureError, LimitsError, SourceError
from devpi_forkbuilder.pipeline.checkout import lfs, scm_version, submodules
from devpi_forkbuilder.pipeline.checkout.archive_writer import Part
from devpi_forkbuilder.pipeline.checkout.submodules import Submodule
from devpi_forkbuilder.pipeline.git import fetch_errors, tree
from devpi_forkbuilder.pipeline.git.bare_repo import COMMON_OPTIONS, init_arguments
from devpi_forkbuilder.pipeline.git.mirror import Mirror, Mirrors
from devpi_forkbuilder.pipeline.git.tree import TreeCount, TreeEntry, TreeLimits
from devpi_forkbuilder.pipeline.process.command import MEBIBYTE, Finished
from devpi_forkbuilder.pipeline.process.deep_tree import remove
from devpi_forkbuilder.pipeline.process.watch import TransferWatch
from devpi_forkbuilder.pipeline.protocols import LogSink

LATEST = 253402300799
"""9999-12-31T23:59:59Z: what a version stamp can tell."""
LIMITS = TreeLimits()


@dataclass(frozen=True, slots=True)
class Checkout:
    """Files of a commit: the repository's `root`, the `project` in it, commit and tree ids, commit time in seconds.

    `untagged`: the project takes its version from tags, the commit has none that is of a version, and none that leads
    to it is of the pinned one. `restored`: the repository does not give the commit any more, and this server's archive
    did. `parts`: the whole and its submodules.
    """

    root: Path
    project: Path
    commit: str
    tree: str
    commit_time: int
    untagged: bool = False
    restored: bool = False
    parts: tuple[Part, ...] = ()


def checkout(
    mirrors: Mirrors,
    pin: Pin,
    into: Path,
    log: LogSink,
    cancelled: Callable[[], bool],
    limits: TreeLimits = LIMITS,
    *,
    anywhere: bool = False,
) -> Checkout:
    """Put the files of `pin` into the folder `into`, which is made; submodules too.

    `anywhere`: its commit, and those of submodules, need not be on a branch or tag of their repositories.
    Raises what `Mirror.need` raises, and SourceError (`subdirectory-missing`, `symlink-outside`, `submodule-refused`,
    `lfs-missing`, `lfs-failed`, `tree-odd`, `commit-time-odd`), LimitsError (`too-many-files`, `tree-too-large`,
    `path-too-long`, `too-many-submodules`, `submodules-too-deep`), InfrastructureError (`disk-full`), CancelledError.
    """
    work = _Work(mirrors, TransferWatch(log, cancelled), limits, pin, anywhere)
    commit, tree_id, seconds = work.place(pin.url, pin.commit, into, pin.subdirectory or "")
    work.judge_links_on_disk(into)
    project = into / pin.subdirectory if pin.subdirectory else into
    if not project.is_dir() or not _inside(project, into):
        what = f"There is no folder {pin.subdirectory} in {pin.url} at {pin.commit7}."
        raise SourceError("subdirectory-missing", what, next_step="Fix the pin's subdirectory.")
    return Checkout(into, project, commit, tree_id, seconds, work.untagged, work.restored, tuple(work.parts))


class _Work:
    """One checkout: what is counted over the repository and all its submodules."""

    def __init__(self, mirrors: Mirrors, watch: TransferWatch, limits: TreeLimits, pin: Pin, anywhere: bool) -> None:
        self.mirrors = mirrors
        self.git = mirrors.git
        self.watch = watch
        self.limits = limits
        self.scheme = urlsplit(pin.url).scheme
        self.release = pin.release
        self.anywhere = anywhere
        self.tally = TreeCount()
        self.links: list[Path] = []
        self.untagged = False
        self.restored = False
        self.parts: list[Part] = []

    def place(
        self, url: str, commit: str, into: Path, folder: str = "", depth: int = 0, prefix: str = ""
    ) -> tuple[str, str, int]:
        """Put `commit` of `url` and its submodules into `into`; commit id, tree id, commit time in seconds."""
        if depth > self.limits.depth:
            what = f"Submodules are nested more than {self.limits.depth} deep."
            raise LimitsError("submodules-too-deep", what, next_step="Leave some out of the fork.")
        with self.mirrors.opened(url, commit, self.watch) as mirror:
            mirror.need(commit, anywhere=self.anywhere)
            try:
                known, modules, entries = self._copy(mirror, commit, into, None if depth else folder)
            except ForkbuilderError as error:
                if not fetch_errors.is_unclear(error):
                    raise
                self._check_space(into)
                self._empty(into)
                mirror.renew(commit, anywhere=self.anywhere)
                known, modules, entries = self._copy(mirror, commit, into, None if depth else folder)
            self.restored |= mirror.restored(commit)
        self.parts.append(Part(url, commit, known[1], prefix, tuple(entries)))
        for module in modules:
            self._place_submodule(module, into, depth, f"{prefix}/{module.path}" if prefix else module.path)
        return known

    def judge_links_on_disk(self, root: Path) -> None:
        """Raises SourceError (`symlink-outside`) for a link that leaves `root` by way of other links."""
        for link in self.links:
            if not _inside(link, root):
                raise tree.outside(os.fsencode(link.relative_to(root)))

    def _copy(
        self, mirror: Mirror, commit: str, into: Path, folder: str | None
    ) -> tuple[tuple[str, str, int], list[Submodule], list[TreeEntry]]:
        tags = folder is not None and scm_version.wants_history(_build_files(mirror, commit, folder))
        if tags:
            mirror.need(commit, history=True, anywhere=self.anywhere)
        entries, tally = self._judge_tree(mirror, commit)
        modules = list(self._modules(mirror, commit, entries))
        known = self._fill(mirror, commit, into, tags)
        if tags:
            self.untagged = self._is_untagged(into, commit)
        self.tally = tally
        self.links += [into / os.fsdecode(entry.path) for entry in entries if entry.mode == tree.SYMLINK]
        pointers = lfs.find_pointers(into, entries)
        if pointers:
            store = self.mirrors.sources.lfs(mirror.url) if self.mirrors.sources is not None else None
            place = lfs.LfsEndpoint(into, mirror.url, commit, store)
            lfs.fill(self.git, place, pointers, self.watch, self.limits.total_bytes)
        return known, modules, entries

    def _is_untagged(self, root: Path, commit: str) -> bool:
        own, leading = (self._local(root, "tag", option, commit).stdout for option in ("--points-at", "--merged"))
        return not scm_version.versions_of(own) and self.release not in scm_version.versions_of(leading)

    def _judge_tree(self, mirror: Mirror, commit: str) -> tuple[list[TreeEntry], TreeCount]:
        limit = self.limits.listing_bytes
        try:
            listing = mirror.ask("ls-tree", "-r", "-z", "-l", "--full-tree", commit, limit=limit)
        except LimitsError as error:
            raise (tree.too_many_files(self.limits) if error.reference == "output-too-large" else error) from None
        try:
            entries = list(tree.read_listing(listing))
        except ValueError:
            raise fetch_errors.unclear(mirror.url) from None
        tally = tree.count_entries(entries, self.tally, self.limits)
        links = [entry for entry in entries if entry.mode == tree.SYMLINK]
        targets = mirror.read(*(entry.object_id for entry in links), limit=limit)
        tree.judge_links({entry.path: target or b"/" for entry, target in zip(links, targets, strict=True)})
        return entries, tally

    def _modules(self, mirror: Mirror, commit: str, entries: list[TreeEntry]) -> Iterator[Submodule]:
        if not any(entry.mode == tree.GITLINK for entry in entries):
            return
        declared: dict[str, str] = {}
        if any(entry.path == b".gitmodules" and entry.mode in tree.FILE_MODES for entry in entries):
            where = f"--blob={commit}:.gitmodules"
            found = self._local(mirror.folder, "config", "--no-includes", "-z", where, "--list")
            if found.returncode != 0:
                raise submodules.unreadable(mirror.url)
            declared = submodules.read_declared(found.stdout)
        for link in submodules.undeclared(entries, declared):
            self.watch.log.say(f"{link.shown} is a link to a commit that .gitmodules gives no URL for: left empty")
        yield from submodules.find(entries, declared, mirror.url, self.scheme)

    def _fill(self, mirror: Mirror, commit: str, into: Path, tags: bool) -> tuple[str, str, int]:
        into.mkdir(parents=True, exist_ok=True)
        wanted = (commit, "+refs/tags/*:refs/tags/*") if tags else (commit,)
        depth = () if tags and not mirror.restored(commit) else ("--depth=1",)
        source = str(mirror.folder.resolve())
        self._must(mirror.url, into, *init_arguments(commit, bare=False))
        # The mirror's objects were checked when they came.
        self._must(
            mirror.url, into, "fetch", *COMMON_OPTIONS, "--quiet", *depth, "--", source, *wanted, local_copy=True
        )
        self._must(mirror.url, into, "checkout", "--quiet", "--detach", "--force", commit)
        words = self._must(mirror.url, into, "log", "-1", "--no-show-signature", "--format=%H %T %ct").stdout.split()
        head, tree_id, seconds = (*(word.decode() for word in words), "", "", "")[:3]
        if head != commit:
            raise fetch_errors.unclear(mirror.url)
        if not seconds.isdecimal() or not 0 <= int(seconds) <= LATEST:
            raise SourceError(
                "commit-time-odd",
                f"Commit {commit[:12]} has an invalid date.",
                next_step="Amend it (git commit --amend --date=now) and pin the new commit.",
            )
        return head, tree_id, int(seconds)

    def _place_submodule(self, module: Submodule, into: Path, depth: int, prefix: str) -> None:
        self.watch.log.say(
            f"submodule {tree.shown_path(os.fsencode(module.path))} from {module.url} at {module.commit}"
        )
        place = into / module.path
        # git makes an empty folder for it; anything else would be a way to write elsewhere.
        if place.is_symlink() or not place.is_dir() or place.resolve() != into.resolve() / module.path:
            raise SourceError("submodule-refused", "The place of a submodule is not a folder of the repository.")
        self.place(module.url, module.commit, place, depth=depth + 1, prefix=prefix)

    def _must(self, url: str, folder: Path, *arguments: str, local_copy: bool = False) -> Finished:
        done = self._local(folder, *arguments, local_copy=local_copy)
        if done.returncode != 0:
            raise fetch_errors.unclear(url)
        return done

    def _local(self, folder: Path, *arguments: str, local_copy: bool = False) -> Finished:
        if not local_copy:
            return self.git.local(folder, *arguments, watch=self.watch)
        settings = ("fetch.fsckObjects=false",)
        return self.git.local(folder, *arguments, watch=self.watch, protocols=("file",), settings=settings)

    def _empty(self, into: Path) -> None:
        remove(into)

    def _check_space(self, into: Path) -> None:
        self.mirrors.check_space()
        if into.exists() and shutil.disk_usage(into).free < MEBIBYTE:
            what = "The disk for builds is full."
            raise InfrastructureError("disk-full", what, next_step="Free space in the folder of --forkbuilder-dir.")


def _build_files(mirror: Mirror, commit: str, folder: str) -> dict[str, bytes]:
    prefix = f"{folder}/" if folder else ""
    contents = mirror.read(*(f"{commit}:{prefix}{name}" for name in scm_version.FILES))
    return {name: content for name, content in zip(scm_version.FILES, contents, strict=True) if content is not None}


def _inside(path: Path, root: Path) -> bool:
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(root))
