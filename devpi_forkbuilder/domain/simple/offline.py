"""What a server without network says of what it does not have; every phrase has the same words in it."""

from __future__ import annotations

import re
from dataclasses import dataclass

NOT_CACHED = "not-cached"
"""The stage in the path of a placeholder for a fork that was not built before the server went offline."""
WORDS = "is not in the offline cache"
YANKED = f"its file {WORDS}"


@dataclass(frozen=True, slots=True)
class HiddenFile:
    """A file that a mirror's page lists and that is not cached.

    `path` is its path below the server's root; `sha256` (hex) and `requires_python` are empty where not known.
    """

    filename: str
    path: str
    sha256: str = ""
    requires_python: str = ""


def absent(what: str, why: str) -> str:
    """`WHAT is not in the offline cache: WHY`, fit for a status line: one line of ASCII, not too long."""
    return re.sub(r"[^\x20-\x7e]+", " ", f"{what[:200]} {WORDS}: {why}")[:500]


def absent_fork(what: str) -> str:
    """The phrase for a pin that is not built; `what` is project, version and commit."""
    return absent(what, "it was not built before this server went offline")


def absent_project(project: str) -> str:
    """The phrase for a project that no mirror has a page of."""
    return absent(project, "nobody asked for it before this server went offline")


def absent_file(filename: str) -> str:
    """The phrase for a file whose bytes are not here."""
    return absent(filename, "it was not fetched before this server went offline")
