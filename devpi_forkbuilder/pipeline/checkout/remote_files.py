"""A few files of a repository at a commit, fetched as the person at the keyboard would fetch them.

Only what is asked for is transferred where the host can filter (git-rev-list(1), `--filter=blob:none`); nothing is
checked out and nothing of the repository is run.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from devpi_forkbuilder.domain.pins.pins import COMMIT, redacted
from devpi_forkbuilder.domain.pins.urls import url_faults
from devpi_forkbuilder.errors import LimitsError, RefusedError, SourceError
from devpi_forkbuilder.pipeline.git.ls_remote import said, user_environment
from devpi_forkbuilder.pipeline.process import runner
from devpi_forkbuilder.pipeline.process.command import MEBIBYTE, Command, Finished

TIMEOUT = 300.0
"""Seconds for one command; a host that cannot filter sends a whole commit."""
REFS = ("+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*")
REGULAR = frozenset({"100644", "100755"})


def read_remote_files(
    url: str,
    commit: str,
    paths: Iterable[str],
    environ: Mapping[str, str],
    *,
    cancelled: Callable[[], bool] = lambda: False,
    timeout: float = TIMEOUT,
) -> dict[str, str]:
    """The texts of those of `paths` that are regular files of at most 1 MiB in `commit` of the repository `url`.

    `environ` is the user's. Raises RefusedError (`url-refused`), SourceError (`commit-unreadable`), CancelledError, and
    InfrastructureError when there is no git.
    """
    faults = url_faults(url)
    if faults or not COMMIT.fullmatch(commit):
        what = faults[0][0] if faults else "the commit is not a full id"
        raise RefusedError("url-refused", f"git is not run on {redacted(url)!r}: {what}.")
    with tempfile.TemporaryDirectory(prefix="forks-") as folder:
        git = _Git(Path(folder), user_environment(environ), cancelled, timeout)
        git.run(
            "init", "--quiet", "--bare", "--template=", f"--object-format={'sha1' if len(commit) == 40 else 'sha256'}"
        )
        git.run("config", "remote.origin.url", url)
        git.run("config", "remote.origin.promisor", "true")
        git.run("config", "remote.origin.partialclonefilter", "blob:none")
        common = ("fetch", "--quiet", "--no-tags", "--filter=blob:none")
        if git.finished(*common, "--depth=1", "origin", commit).returncode != 0:  # some hosts give refs only
            git.run(*common, "origin", *REFS)
        if git.finished("cat-file", "-e", f"{commit}^{{commit}}").returncode != 0:
            what = f"No branch or tag of {redacted(url)} has commit {commit[:7]}."
            raise SourceError("commit-unreadable", what, next_step="Push it, or name another commit.")
        return dict(git.texts(commit, paths))


class _Git:
    def __init__(self, folder: Path, environ: Mapping[str, str], cancelled: Callable[[], bool], timeout: float) -> None:
        self._folder = folder
        self._environ = environ
        self._cancelled = cancelled
        self._timeout = timeout

    def texts(self, commit: str, paths: Iterable[str]) -> Iterable[tuple[str, str]]:
        """Path and text of each regular file among `paths`."""
        listed = self.run("ls-tree", "-z", commit, "--", *paths).decode("utf-8", "replace")
        for entry in listed.split("\0"):
            meta, tab, path = entry.partition("\t")
            mode, *_, blob = meta.split() if tab else ("", "")
            if mode in REGULAR and int(self.run("cat-file", "-s", blob)) <= MEBIBYTE:
                yield path, self.run("cat-file", "blob", blob).decode("utf-8", "replace")

    def run(self, *arguments: str) -> bytes:
        """The command's output. Raises SourceError when it fails."""
        finished = self.finished(*arguments)
        if finished.returncode != 0:
            raise SourceError("commit-unreadable", said(finished, f"git {arguments[0]}"), next_step="Name the project.")
        return finished.stdout

    def finished(self, *arguments: str) -> Finished:
        command = Command(
            argv=("git", *arguments), env=self._environ, cwd=self._folder, timeout=self._timeout, label="git fetch"
        )
        try:
            return runner.run_as_user(command, cancelled=self._cancelled)
        except LimitsError as error:
            raise SourceError("commit-unreadable", error.what, next_step="Name the project.") from error
