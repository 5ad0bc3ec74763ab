"""Which requests are for a project's simple page. The patterns are those of devpi-server's routes."""

from __future__ import annotations

import re
from dataclasses import dataclass

from packaging.utils import canonicalize_name

INDEX = r"/(?P<user>[^+/]+)/(?P<index>[^+/]+)"
SIMPLE = re.compile(INDEX + r"/\+(?P<form>simple|cached)/(?P<project>[^+/]+)/?")
SHORTCUT = re.compile(INDEX + r"/(?P<project>[^+/]+)/?")
CACHED = re.compile(INDEX + r"/\+cached(?P<rest>/.*)?")


@dataclass(frozen=True, slots=True)
class PageRequest:
    """A request for a simple page: index, project as asked for, and whether it may start a build."""

    user: str
    index: str
    project: str
    cached_only: bool

    @property
    def name(self) -> str:
        """The normalized project name (PEP 503)."""
        return canonicalize_name(self.project)


def page_request(path: str, by_installer: bool) -> PageRequest | None:
    """The simple page that `path` (decoded, without query) asks for, or None.

    devpi answers installers (by User-Agent) without `+simple` as well.
    """
    match = SIMPLE.fullmatch(path) or (SHORTCUT.fullmatch(path) if by_installer else None)
    if match is None:
        return None
    found = match.groupdict()
    return PageRequest(found["user"], found["index"], found["project"], found.get("form") == "cached")


def as_simple(path: str) -> str:
    """A `+cached` path as devpi knows it: `+simple`; other paths are returned as they are."""
    match = CACHED.fullmatch(path)
    if match is None:
        return path
    return f"/{match['user']}/{match['index']}/+simple{match['rest'] or ''}"
