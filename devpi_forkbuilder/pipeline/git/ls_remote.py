"""`git ls-remote` as the person at the keyboard would run it: with their git configuration and credentials.

The pipeline's own git (`git.py`) is for servers and knows neither. Nothing is asked: processes have a session of their
own, so there is no terminal for a prompt; credential helpers, ssh agents and askpass programs work.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from devpi_forkbuilder.domain.pins.pins import redacted
from devpi_forkbuilder.domain.pins.urls import url_faults
from devpi_forkbuilder.errors import LimitsError, RefusedError, SourceError
from devpi_forkbuilder.pipeline.process import runner
from devpi_forkbuilder.pipeline.process.command import Command, Finished

TIMEOUT = 60.0
"""Seconds for one repository."""
LINE = re.compile(r"(?P<id>[0-9a-f]{40}|[0-9a-f]{64})\t(?P<name>\S+)")
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]+")
# What ties git to the repository around it (git-rev-parse(1), --local-env-vars): hooks and wrappers set these.
LOCAL = (
    *("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_COMMON_DIR", "GIT_OBJECT_DIRECTORY"),
    *("GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_NAMESPACE", "GIT_CONFIG", "GIT_SHALLOW_FILE", "GIT_GRAFT_FILE"),
)


def ls_remote(
    url: str,
    patterns: Iterable[str],
    environ: Mapping[str, str],
    *,
    cancelled: Callable[[], bool] = lambda: False,
    timeout: float = TIMEOUT,
) -> dict[str, str]:
    """The refs of `url` that match `patterns` (none: all), name to id; `NAME^{}` is what an annotated tag names.

    `environ` is the user's. Raises RefusedError (`url-refused`), SourceError (`repository-unreachable`),
    CancelledError, and InfrastructureError when there is no git.
    """
    faults = url_faults(url)
    if faults:
        raise RefusedError("url-refused", f"git is not run on {redacted(url)!r}: {faults[0][0]}.")
    command = Command(
        argv=("git", "ls-remote", "--quiet", "--", url, *patterns),
        env=user_environment(environ),
        cwd=Path("/"),  # of the folder it is called from, which may be a stranger's checkout, no configuration is read
        timeout=timeout,
        label="git ls-remote",
    )
    try:
        finished = runner.run_as_user(command, cancelled=cancelled)
    except LimitsError as error:
        raise SourceError("repository-unreachable", error.what, next_step=_fix(url)) from error
    if finished.returncode != 0:
        raise SourceError("repository-unreachable", said(finished, "git ls-remote"), next_step=_fix(url))
    return advertised(finished.stdout.decode("utf-8", "replace"))


def user_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The user's environment without what would tie git to a repository or make it ask on a terminal."""
    kept = {name: value for name, value in environ.items() if name not in LOCAL}
    return {**kept, "GIT_TERMINAL_PROMPT": "0"}


def advertised(output: str) -> dict[str, str]:
    """Names and ids in what `git ls-remote` prints."""
    found = (LINE.fullmatch(line) for line in output.splitlines())
    return {match["name"]: match["id"] for match in found if match}


def said(finished: Finished, command: str) -> str:
    """git's own words, which are for people; nothing is decided by them."""
    lines = [CONTROL.sub(" ", line).strip() for line in finished.tail.decode("utf-8", "replace").splitlines()]
    words = "; ".join(redacted(line) for line in lines[-3:] if line)
    return f"{command} ended with status {finished.returncode}" + (f" ({words})." if words else ".")


def _fix(url: str) -> str:
    return f"Try: git ls-remote {url}"
