"""Why a transfer from a git host failed, as an error for users (pure).

The status code of the last HTTP answer decides where there is one. What is left (ssh, connections that never were)
git tells in words alone, its exit status being 128 for all of it; those words are compared in the C locale, and what
they decide is at most which name the failure gets and whether it is tried again.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import urlsplit

from devpi_forkbuilder.errors import ForkbuilderError, RefusedError, SourceError
from devpi_forkbuilder.pipeline.git.client import Transfer

BROKEN = "repository-broken"
SILENT = (b"Operation too slow", b"timed out", b"Timeout")
UNREACHABLE = (
    b"Could not resolve host",
    b"Failed to connect",
    b"Couldn't connect",
    b"Connection refused",
    b"Connection reset",
    b"Connection closed",
    b"Network is unreachable",
    b"No route to host",
    b"Empty reply from server",
    b"SSL ",
    b"server certificate",
)
CUT = (b"RPC failed", b"early EOF", b"hung up unexpectedly", b"unexpected disconnect", b"remote: aborting due to")
LONGEST = 160
USER_INFO = re.compile(r"//[^/@\s]*@")
NO_LOGIN = (b"Permission denied", b"Too many authentication failures")
NO_HOST_KEY = (b"Host key verification failed",)
NO_REPOSITORY = (b"does not appear to be a git repository", b"epository not found", b"could not be found")
UNSOUND = (b"fsck error",)


def certain(url: str, transfer: Transfer) -> SourceError | None:
    """The failure of `transfer`, or None when it may be about the one commit that was asked for."""
    statuses = transfer.statuses
    if statuses and statuses[-1] >= 300:
        return _by_status(url, statuses[-1])
    words = transfer.finished.tail
    if any(part in words for part in CUT) and not any(part in words for part in (*UNSOUND, *SILENT)):
        return cut(url, words)
    return _by_words(url, words)


def unclear(url: str, words: bytes = b"") -> SourceError:
    """The failure of a transfer that has no better name: what came is not a repository, or a damaged one.

    It is retried: a login page or a proxy's error looks the same, and nothing says that the fork is to blame.
    """
    what = f"What {url} answered is not a sound git repository{quoted(words)}."
    step = "Try 'git clone' with this URL on the server; a proxy's page looks the same. It is tried again by itself."
    return SourceError(BROKEN, what, next_step=step, retryable=True)


def is_unclear(error: ForkbuilderError) -> bool:
    """Whether `error` may also be the fault of an older copy of the repository on this server."""
    return error.reference == BROKEN


def unreachable(url: str, how: str = "could not be reached") -> SourceError:
    """The host does not answer, or breaks off."""
    step = "Check the host, the network and the proxy; it is tried again by itself."
    return SourceError("host-unreachable", f"The git host {host(url)} {how}.", next_step=step, retryable=True)


def cut(url: str, words: bytes) -> SourceError:
    """The host answered and then broke the transfer off; its own words are quoted."""
    what = f"The git host {host(url)} broke the transfer off{quoted(words)}."
    step = "Try 'git clone' with this URL: the repository may be damaged there. It is tried again by itself."
    return SourceError("transfer-cut", what, next_step=step, retryable=True)


def quoted(words: bytes) -> str:
    """The last thing that the host said, or else git, as it may stand in a message; empty when nobody said anything."""
    lines = [line.strip() for line in words.decode("utf-8", "replace").replace("\r", "\n").splitlines()]
    for begin in ("remote:", "fatal:", "error:"):
        said = [line.removeprefix(begin).strip() for line in lines if line.startswith(begin)]
        if said and said[-1]:
            text = USER_INFO.sub("//", "".join(char for char in said[-1] if char.isascii() and char.isprintable()))
            return f": '{text[:LONGEST].rstrip('.')}'"
    return ""


def missing_repository(url: str) -> SourceError:
    """No repository under this URL."""
    step = "Check the URL; a private repository may also look missing to clients without credentials for it."
    return SourceError("repository-missing", f"There is no git repository at {url}.", next_step=step)


def missing_commit(url: str, commit: str) -> SourceError:
    """A sound repository without the commit."""
    what = f"The commit {commit} is not in {url}."
    step = "It may have been forced away or belong to another fork: push it to a branch, or pin a commit that is there."
    return SourceError("commit-missing", what, next_step=step)


def unreachable_commit(url: str, commit: str) -> RefusedError:
    """The host gives the commit, but no branch or tag of the repository leads to it."""
    what = f"The commit {commit} is on no branch or tag of {url}: it may be another fork's, served under this URL."
    step = "Push it to a branch of this repository, pin the fork it is from, or set fork_unreachable_commits=allow."
    return RefusedError("commit-unreachable", what, next_step=step)


def host(url: str) -> str:
    """The host of `url`, for messages."""
    return urlsplit(url).hostname or url


def _by_status(url: str, status: int) -> SourceError:
    if status in {401, 403}:
        return _no_login(url)
    if status in {404, 410}:
        return missing_repository(url)
    if status < 400:
        step = "Pin the URL that it redirects to: a redirect is followed only to a repository on the same host."
        return SourceError("redirect-refused", f"{url} redirects to another URL ({status}).", next_step=step)
    if status == 407:
        return unreachable(url, "cannot be reached: the proxy wants a login (407)")
    if status == 429 or status >= 500:
        return unreachable(url, f"answered {status}")
    what = f"The git host {host(url)} answered {status} for {url}."
    return SourceError("repository-refused", what, next_step="Check the URL, the credentials and the proxy.")


def _by_words(url: str, words: bytes) -> SourceError | None:
    for parts, fault in BY_WORDS:
        if any(part in words for part in parts):
            return fault(url)
    return None


def _unsafe(url: str) -> SourceError:
    what = f"The repository {url} has objects that could do harm when checked out."
    return SourceError("repository-unsafe", what, next_step="The log names them; remove them from the fork.")


def _silent(url: str) -> SourceError:
    what = f"The git host {host(url)} stopped answering."
    return SourceError("host-silent", what, next_step="It is tried again by itself.", retryable=True)


def _unknown_host_key(url: str) -> SourceError:
    step = "Add the host's key to the file that --forkbuilder-known-hosts names (ssh-keyscan prints it)."
    return SourceError("host-key-unknown", f"The ssh key of {host(url)} is unknown.", next_step=step)


def _no_login(url: str) -> SourceError:
    option = "--forkbuilder-ssh-key" if urlsplit(url).scheme == "ssh" else "--forkbuilder-credentials"
    step = f"Give the server credentials that may read it ({option}); some hosts say this of missing repositories too."
    return SourceError("credentials-refused", f"{host(url)} does not let this server read {url}.", next_step=step)


BY_WORDS: tuple[tuple[tuple[bytes, ...], Callable[[str], SourceError]], ...] = (
    (UNSOUND, _unsafe),
    (SILENT, _silent),
    (NO_HOST_KEY, _unknown_host_key),
    (NO_LOGIN, _no_login),
    (UNREACHABLE, unreachable),
    (NO_REPOSITORY, missing_repository),
)
"""What git, curl and ssh say, most telling first."""
