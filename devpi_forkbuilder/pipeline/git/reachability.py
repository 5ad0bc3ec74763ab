"""Whether a commit is on a branch or tag of the repository that it is pinned in.

Hosts keep the objects of a repository and of all its forks in one store and give any of them by its id, under the URL
of each: that a commit came from a URL says nothing about who made it. What counts is that a branch or a tag of that
URL leads to it; proposals (`refs/pull/*`, `refs/merge-requests/*`) do not count, since strangers make them.

The cheapest proof is taken: the newest commit of a branch or tag is in the listing of references. For an older one
the commits of all branches and tags are fetched without any file (`--filter=tree:0`, partial-clone(5)) into a
repository of their own beside the mirror, which is brought up to date the next time.
"""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlsplit

from devpi_forkbuilder.pipeline.git.client import FILE, Git, Transfer
from devpi_forkbuilder.pipeline.process.watch import TransferWatch

EVERYTHING = ("+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*")
LINE = re.compile(rb"([0-9a-f]{40}|[0-9a-f]{64})\t(refs/(?:heads|tags)/\S+|HEAD)")
WITHOUT_FILES = "--filter=tree:0"


def tips(listing: bytes) -> frozenset[str]:
    """The ids of branches, tags and HEAD, and of what annotated tags name, in what `git ls-remote` prints."""
    return frozenset(match[1].decode() for line in listing.splitlines() if (match := LINE.fullmatch(line)))


def listed(git: Git, folder: Path, url: str, watch: TransferWatch) -> Transfer:
    """The branches and tags of `url`, and the HEAD of a repository on this machine: read `tips` of its output.

    In a checkout HEAD may be on no branch (continuous integration, a bisection); only its owner can put it somewhere.
    """
    local = urlsplit(url).scheme == FILE
    asked = ("--", url, "HEAD", "refs/heads/*", "refs/tags/*") if local else ("--heads", "--tags", "--", url)
    return git.network(folder, url, "ls-remote", *asked, watch=watch, capture=True)


def contains(git: Git, folder: Path, commit: str, watch: TransferWatch) -> bool:
    """Whether a branch or tag in the repository `folder`, or what it comes from, is `commit`; no network is used."""
    asked = ("for-each-ref", "--count=1", "--format=%(refname)", f"--contains={commit}", "refs/heads", "refs/tags")
    done = git.local(folder, *asked, watch=watch)
    return done.returncode == 0 and bool(done.stdout.strip())
