"""A bare repository on this server for one URL, and the fetches into it."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from devpi_forkbuilder.errors import InfrastructureError, LimitsError
from devpi_forkbuilder.pipeline.git import fetch_errors
from devpi_forkbuilder.pipeline.git.client import FILE, Git, Transfer
from devpi_forkbuilder.pipeline.process.command import MEBIBYTE, Finished
from devpi_forkbuilder.pipeline.process.deep_tree import remove
from devpi_forkbuilder.pipeline.process.watch import TransferWatch

UNFINISHED = "forkbuilder-unfinished"
COMMON_OPTIONS = ("--no-tags", "--no-recurse-submodules", "--no-write-fetch-head", "--no-auto-maintenance", "--force")
LOOK = 1.0
"""Seconds between two looks at what a running fetch has brought."""


class Room:
    """How much a fetch may bring: `largest` bytes for one repository, and `floor` bytes of the disk stay free."""

    def __init__(self, largest: int = 8192 * MEBIBYTE, floor: int = 64 * MEBIBYTE) -> None:
        self.largest = largest
        self.floor = floor

    def check_disk(self, folder: Path) -> None:
        """Raises InfrastructureError (`disk-full`) when there is too little space to fetch."""
        if shutil.disk_usage(folder).free < self.floor:
            what = "The disk for git mirrors is full."
            raise InfrastructureError("disk-full", what, next_step="Free space in the folder of --forkbuilder-dir.")

    def check(self, repository: Path, url: str) -> None:
        """Raises that, or LimitsError (`repository-too-large`)."""
        self.check_disk(repository)
        if _packed(repository) > self.largest:
            what = f"What {url} sends is larger than {self.largest // MEBIBYTE} MiB."
            raise LimitsError("repository-too-large", what, next_step="Pin a smaller repository.")


class Repository:
    """The repository in `folder`, for objects of `url`; the caller keeps others away from it."""

    def __init__(self, folder: Path, url: str, git: Git, watch: TransferWatch, room: Room) -> None:
        self.folder = folder
        self.url = url
        self.git = git
        self.watch = watch
        self.room = room

    def make(self, commit: str) -> None:
        """Have a repository for ids such as `commit`. What a crash or a fetch ended by force left is thrown away."""
        if (self.folder / UNFINISHED).exists():
            self.discard()
        if self.folder.exists():
            return
        self.folder.mkdir(mode=0o700)
        (self.folder / UNFINISHED).touch()
        if self.local(*init_arguments(commit, bare=True)).returncode != 0:
            raise InfrastructureError("mirror-folder", "git could not make a repository on this server.")
        (self.folder / UNFINISHED).unlink()

    def discard(self) -> None:
        """Throw the repository away."""
        remove(self.folder)

    def local(self, *arguments: str, stdin: bytes = b"") -> Finished:
        """Run git in it, without network."""
        return self.git.local(self.folder, *arguments, watch=self.watch, stdin=stdin)

    def fetch(self, *options: str, refspecs: tuple[str, ...]) -> Transfer:
        """Fetch `refspecs`; raises what `Room.check` and `Git.network` raise."""
        # The mark outlives a crash and a fetch that was ended by force; both leave locks and halves of packs behind.
        mark = self.folder / UNFINISHED
        mark.touch()
        remove_cut_packs(self.folder)  # of an earlier version of this program
        # A checkout of continuous integration is often shallow itself; its own end of history is taken over then.
        local = ("--update-shallow",) if urlsplit(self.url).scheme == FILE else ()
        arguments = ("fetch", *COMMON_OPTIONS, *local, *options, "--", self.url, *refspecs)
        try:
            transfer = self.git.network(self.folder, self.url, *arguments, watch=self._guarded())
            self.room.check(self.folder, self.url)
        except LimitsError:
            self.discard()
            raise
        if transfer.finished.returncode != 0:
            remove_cut_packs(self.folder)
        mark.unlink()
        return transfer

    def name(self, reference: str, commit: str) -> None:
        """Make `reference` name `commit`, which is there; raises SourceError (`repository-broken`)."""
        if self.local("update-ref", reference, commit).returncode != 0:
            raise fetch_errors.unclear(self.url)

    def types(self, *names: str) -> list[str | None]:
        """The type of each object, None where there is none."""
        asked = "".join(f"{name}\n" for name in names).encode()
        answer = self.local("cat-file", "--batch-check=%(objecttype)", stdin=asked).stdout
        found = [line.decode() if line in OBJECT_TYPES else None for line in answer.splitlines()]
        return found or [None] * len(names)

    def _guarded(self) -> TransferWatch:
        """The watch, which also ends a fetch that brings too much."""
        return TransferWatch(
            self.watch.log, _every(LOOK, lambda: self.room.check(self.folder, self.url), self.watch.cancelled)
        )


OBJECT_TYPES = (b"commit", b"tag", b"tree", b"blob")


def init_arguments(commit: str, *, bare: bool) -> tuple[str, ...]:
    """Arguments that make a repository for ids such as `commit`, without the templates of whoever installed git."""
    length = "sha1" if len(commit) == 40 else "sha256"
    return ("init", "--quiet", "--template=", f"--object-format={length}", *(["--bare"] if bare else []))


def remove_cut_packs(repository: Path) -> None:
    """Remove what transfers that were cut short have left: git keeps their halves (`tmp_pack_*`) until a `gc`.

    The caller keeps others away from the repository.
    """
    with contextlib.suppress(FileNotFoundError), os.scandir(repository / "objects" / "pack") as files:
        for file in files:
            if file.name.startswith("tmp_"):
                with contextlib.suppress(OSError):
                    Path(file.path).unlink()


def _every(seconds: float, look: Callable[[], None], cancelled: Callable[[], bool]) -> Callable[[], bool]:
    """`cancelled`, which looks each time that `seconds` have gone by."""
    last = time.monotonic()

    def asked() -> bool:
        nonlocal last
        now = time.monotonic()
        if now - last >= seconds:
            last = now
            look()
        return cancelled()

    return asked


def _packed(repository: Path) -> int:
    """Bytes of its packs, those that are arriving too (`fetch.unpackLimit=1`: nothing arrives in another way)."""
    total = 0
    with contextlib.suppress(FileNotFoundError), os.scandir(repository / "objects" / "pack") as files:
        for file in files:
            with contextlib.suppress(FileNotFoundError):
                total += file.stat(follow_symlinks=False).st_size
    return total
