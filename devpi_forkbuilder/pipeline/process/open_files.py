"""The limit of open files of this process: each connection and each build takes some."""

from __future__ import annotations

import resource
from contextlib import suppress

WANTED = 65_536
ENOUGH = 2_048
"""For 512 connections, as `up` allows, builds, and what devpi itself opens."""


def raise_limit() -> int:
    """Raise the soft limit to the hard one, WANTED at most; return what it is then."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = WANTED if hard == resource.RLIM_INFINITY else min(hard, WANTED)
    if soft != resource.RLIM_INFINITY and soft < most:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def hard_limit() -> int | None:
    """Return how many files a process may open if it asks for as many; None: any number."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return None if hard == resource.RLIM_INFINITY else hard
