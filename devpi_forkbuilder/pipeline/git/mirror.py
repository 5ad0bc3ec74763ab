"""Bare repositories kept between builds, one for each URL: a commit that was fetched once is never fetched again.

Repositories are not shared between URLs: objects of one host's private repository must not be reachable through
another's. In a mirror `refs/pins/COMMIT` says that the commit is there with its files, `refs/histories/COMMIT` that all
tags and its ancestors are too; git writes a reference only after it has checked that nothing is missing.
`refs/proven/COMMIT` says that a branch or tag of the URL led to it when that was looked at.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from devpi_forkbuilder.domain.pins.pins import Pin
from devpi_forkbuilder.errors import ForkbuilderError, InfrastructureError, RefusedError, SourceError
from devpi_forkbuilder.pipeline.git import fetch_errors, reachability
from devpi_forkbuilder.pipeline.git.archive_store import Sources
from devpi_forkbuilder.pipeline.git.bare_repo import UNFINISHED, Repository, Room
from devpi_forkbuilder.pipeline.git.client import Git
from devpi_forkbuilder.pipeline.git.reachability import EVERYTHING
from devpi_forkbuilder.pipeline.git.restore import restore
from devpi_forkbuilder.pipeline.process.command import MEBIBYTE
from devpi_forkbuilder.pipeline.process.flock import locked
from devpi_forkbuilder.pipeline.process.watch import TransferWatch
from devpi_forkbuilder.pipeline.protocols import LogSink

LOCK = ".lock"
"""The suffix of a mirror's lock file, whose time says when the mirror was last used."""
COMMITS = "-commits"
"""Ends the name of the repository that has the commits of all branches, without files."""


class Mirrors:
    """All mirrors of a server, below `root`. `fetches` counts the network fetches since the start.

    `allows` says whether policy lets this server talk to a URL; `room` says how much a fetch may bring; `sources` has
    what was built before, for when a repository gives it no more.
    """

    def __init__(
        self,
        root: Path,
        git: Git,
        *,
        allows: Callable[[str], bool] = lambda _url: True,
        room: Room | None = None,
        sources: Sources | None = None,
    ) -> None:
        self.root = root
        self.sources = sources
        self.git = git
        self.allows = allows
        self.room = room or Room()
        self.fetches = 0
        self._counting = threading.Lock()

    def fetch(
        self,
        pin: Pin,
        log: LogSink,
        cancelled: Callable[[], bool],
        history: bool = False,
        *,
        anywhere: bool = False,
    ) -> Path:
        """The mirror that has the commit of `pin`, fetched unless it is there already; raises as `Mirror.need`."""
        with self.opened(pin.url, pin.commit, TransferWatch(log, cancelled)) as mirror:
            mirror.need(pin.commit, history=history, anywhere=anywhere)
            return mirror.folder

    @contextlib.contextmanager
    def opened(self, url: str, commit: str, watch: TransferWatch) -> Iterator[Mirror]:
        """The mirror of `url`, held against all other threads and processes.

        Raises RefusedError (`url-refused`), InfrastructureError (`mirror-folder`), CancelledError while it waits.
        """
        if not self.allows(url):
            step = "The server's --forkbuilder-allow-url says which URLs it may talk to."
            raise RefusedError("url-refused", f"This server may not fetch from {url}.", next_step=step)
        name = hashlib.sha256(url.encode()).hexdigest()
        # A repository has ids of one length only (gitformat "SHA-256 repositories").
        folder = self.root / (name if len(commit) == 40 else f"{name}-sha256")
        try:
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            with locked(lock := folder.with_suffix(LOCK), watch.cancelled):
                os.utime(lock)
                yield Mirror(folder, url, self, watch)
        except OSError as error:
            what = f"The folder for git mirrors cannot be used: {error.strerror}."
            raise InfrastructureError("mirror-folder", what, next_step="Check the server's disk.") from error

    def count(self) -> None:
        """One more network fetch."""
        with self._counting:
            self.fetches += 1

    def check_space(self) -> None:
        """Raises InfrastructureError (`disk-full`) when there is too little space to fetch."""
        self.room.check_disk(self.root)


class Mirror:
    """The mirror of one URL while it is held."""

    def __init__(self, folder: Path, url: str, mirrors: Mirrors, watch: TransferWatch) -> None:
        self.folder = folder
        self.url = url
        self._mirrors = mirrors
        self._words = b""  # of the latest transfer that failed
        self._git = mirrors.git
        self._watch = watch
        self._files = Repository(folder, url, mirrors.git, watch, mirrors.room)
        self._commits = Repository(folder.with_name(f"{folder.name}{COMMITS}"), url, mirrors.git, watch, mirrors.room)

    def need(self, commit: str, *, history: bool = False, anywhere: bool = False) -> None:
        """Have `commit`, with all tags and ancestors when `history` is wanted; no network when it is there.

        `anywhere`: it need not be on a branch or tag. Raises RefusedError `commit-unreachable` when it has to be and is
        not; LimitsError `repository-too-large`; SourceError: `repository-missing`, `commit-missing`, `not-a-commit`,
        `credentials-refused`, `host-silent`, `host-unreachable`, `redirect-refused`, `repository-broken` and others of
        `refusal`.
        """
        if (self.folder / UNFINISHED).exists():
            self.discard()
        old = self.folder.exists()
        if not (old and self._has(commit, history)):
            self._obtain_or_restore(commit, history, old)
        self._check_type(commit)
        if not anywhere:
            self._prove(commit)

    def renew(self, commit: str, *, history: bool = False, anywhere: bool = False) -> None:
        """Throw the mirror away and fetch again: what it says it has is not there."""
        self._watch.log.say(f"the copy of {self.url} on this server is damaged: fetching it again")
        self.discard()
        self.need(commit, history=history, anywhere=anywhere)

    def read(self, *names: str, limit: int = 16 * MEBIBYTE) -> list[bytes | None]:
        """The content of each object (`COMMIT:path` or an id), None where there is none; `limit` in bytes for all.

        Raises LimitsError (`output-too-large`).
        """
        if not names:
            return []
        asked = "".join(f"{name}\n" for name in names).encode()
        answer = self.ask("cat-file", "--batch", stdin=asked, limit=limit)
        return list(_contents(answer))

    def ask(self, *arguments: str, stdin: bytes = b"", limit: int = 64 * MEBIBYTE) -> bytes:
        """What a git command prints about this mirror; raises SourceError (`repository-broken`) when it fails."""
        done = self._git.local(self.folder, *arguments, watch=self._watch, stdin=stdin, capture_limit=limit)
        if done.returncode != 0:
            raise fetch_errors.unclear(self.url)
        return done.stdout

    def discard(self) -> None:
        """Throw the mirror away."""
        self._files.discard()

    def proven(self, commit: str) -> bool:
        """Whether a branch or tag is known to have led to `commit`."""
        return self._files.types(f"refs/proven/{commit}")[0] is not None

    def restored(self, commit: str) -> bool:
        """Whether `commit` comes from this server's own archive: then it has no ancestors."""
        return self._files.types(f"refs/restored/{commit}")[0] is not None

    def _obtain_or_restore(self, commit: str, history: bool, old: bool) -> None:
        try:
            self._obtain_twice(commit, history, old)
        except SourceError as error:
            if self._mirrors.sources is None or not restore(self._mirrors.sources, self._files, commit):
                raise
            self._watch.log.say(f"{error.what} It was built before: its source is taken from this server's archive.")

    def _obtain_twice(self, commit: str, history: bool, old: bool) -> None:
        try:
            self._obtain(commit, history)
        except ForkbuilderError as error:
            self._mirrors.check_space()
            if not (old and fetch_errors.is_unclear(error)):
                raise
            self.discard()
            self._obtain(commit, history)

    def _obtain(self, commit: str, history: bool) -> None:
        self._check_repository()
        self._files.make(commit)
        exactly = f"+{commit}:refs/pins/{commit}"
        found = not history and self._fetch("--depth=1", refspecs=(exactly,))
        if not found:
            self._obtain_everything(commit, exactly if history else "")
        if history:
            self._files.name(f"refs/histories/{commit}", commit)

    def _obtain_everything(self, commit: str, exactly: str) -> None:
        """Every branch and tag; with `exactly` the commit too, which may be on neither (an unmerged proposal)."""
        deepen = ("--unshallow",) if (self.folder / "shallow").exists() else ()
        if exactly and self._fetch(*deepen, refspecs=(*EVERYTHING, exactly)):
            return
        deepen = ("--unshallow",) if (self.folder / "shallow").exists() else ()
        if not self._fetch(*deepen, refspecs=EVERYTHING):
            raise fetch_errors.unclear(self.url, self._words)
        if self._files.types(commit)[0] is None:
            raise fetch_errors.missing_commit(self.url, commit)
        self._files.name(f"refs/pins/{commit}", commit)

    def _fetch(self, *options: str, refspecs: tuple[str, ...]) -> bool:
        """Whether git fetched; raises when it did not and another way to ask would not help."""
        return self._fetch_into(self._files, *options, refspecs=refspecs)

    def _fetch_into(self, repository: Repository, *options: str, refspecs: tuple[str, ...]) -> bool:
        self._watch.log.say(f"git fetch {self.url}")
        self._mirrors.count()
        transfer = repository.fetch(*options, refspecs=refspecs)
        if transfer.finished.returncode == 0:
            return True
        fault = fetch_errors.certain(self.url, transfer)
        if fault is not None:
            raise fault
        self._words = transfer.finished.tail
        return False

    def _prove(self, commit: str) -> None:
        """Raises RefusedError (`commit-unreachable`) when no branch or tag of the URL leads to `commit`."""
        reference = f"refs/proven/{commit}"
        if not self.proven(commit):
            if not (self._on_branch(self._files, commit) or self._is_tip(commit) or self._has_descendant(commit)):
                raise fetch_errors.unreachable_commit(self.url, commit)
            self._files.name(reference, commit)

    def _on_branch(self, repository: Repository, commit: str) -> bool:
        return reachability.contains(self._git, repository.folder, commit, self._watch)

    def _is_tip(self, commit: str) -> bool:
        listed = reachability.listed(self._git, self.folder, self.url, self._watch)
        if listed.finished.returncode != 0:
            raise fetch_errors.certain(self.url, listed) or fetch_errors.unclear(self.url, listed.finished.tail)
        return commit in reachability.tips(listed.finished.stdout)

    def _has_descendant(self, commit: str) -> bool:
        """Whether it is on a branch or tag somewhere below the tip: the commits of all of them are fetched."""
        self._watch.log.say(f"looking for {commit} on the branches and tags of {self.url}")
        commits = self._commits
        for _ in range(2):  # a branch that made way for a folder of branches: only an empty repository takes them
            commits.make(commit)
            if self._fetch_into(commits, reachability.WITHOUT_FILES, refspecs=EVERYTHING):
                return self._on_branch(commits, commit)
            commits.discard()
        raise fetch_errors.unclear(self.url, self._words)

    def _check_repository(self) -> None:
        self._mirrors.check_space()
        parts = urlsplit(self.url)
        if parts.scheme == "file" and not Path(unquote(parts.path)).is_dir():
            raise fetch_errors.missing_repository(self.url)

    def _has(self, commit: str, history: bool) -> bool:
        reference = f"refs/{'histories' if history else 'pins'}/{commit}"
        return self._files.types(reference)[0] is not None

    def _check_type(self, commit: str) -> None:
        kind = self._files.types(commit)[0]
        if kind is None:
            raise fetch_errors.unclear(self.url)
        if kind != "commit":
            pointed = self._git.local(self.folder, "rev-parse", "--verify", f"{commit}^{{commit}}", watch=self._watch)
            target = pointed.stdout.decode().strip() if pointed.returncode == 0 else ""
            step = f"Pin the commit that it points to: {target}." if target else "Pin a commit."
            raise SourceError("not-a-commit", f"{commit} in {self.url} is a {kind}, not a commit.", next_step=step)


def _contents(answer: bytes) -> Iterator[bytes | None]:
    """The objects that `git cat-file --batch` printed: `ID TYPE SIZE`, content, line end; or `NAME missing`."""
    position = 0
    while position < len(answer):
        end = answer.index(b"\n", position)
        words = answer[position:end].rsplit(b" ", 2)
        if words[-1] == b"missing":
            yield None
            position = end + 1
        else:
            size = int(words[-1])
            yield answer[end + 1 : end + 1 + size]
            position = end + 2 + size
