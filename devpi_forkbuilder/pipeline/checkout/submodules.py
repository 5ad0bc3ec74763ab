"""Submodules as `.gitmodules` declares them, and the URLs they may come from (pure; gitmodules(5))."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

from devpi_forkbuilder.domain.pins.urls import url_faults
from devpi_forkbuilder.errors import SourceError
from devpi_forkbuilder.pipeline.git.tree import GITLINK, TreeEntry, shown_path

SCHEMES = {
    "https": ("https", "ssh"),
    "ssh": ("ssh", "https"),
    "http": ("http", "https", "ssh"),
    "file": ("file", "https", "ssh", "http"),
}
"""By the scheme of the pin: where its submodules may come from. A pin never opens the server's own files by one."""
SCP = re.compile(r"(?:([A-Za-z0-9_.-]+)@)?([A-Za-z0-9][A-Za-z0-9.-]*):(?!//)/*(.+)")
PATH = re.compile(r"[^\x00-\x1f\x7f]+")


@dataclass(frozen=True, slots=True)
class Submodule:
    """A commit of another repository at a path (POSIX, relative) of this one."""

    path: str
    url: str
    commit: str


def read_declared(output: bytes) -> dict[str, str]:
    """Path to URL, from `git config -z --list`: `submodule.NAME.path`, a line end, the value; other keys are left."""
    values: dict[str, dict[str, str]] = {}
    for item in output.decode("utf-8", "surrogateescape").split("\0"):
        key, newline, value = item.partition("\n")
        name, _, what = key.rpartition(".")
        if newline and name.startswith("submodule."):
            values.setdefault(name, {})[what] = value
    return {both["path"]: both["url"] for both in values.values() if {"path", "url"} <= both.keys()}


def undeclared(entries: Iterable[TreeEntry], declared: dict[str, str]) -> Iterator[TreeEntry]:
    """Return the gitlinks that `.gitmodules` gives no URL for: git leaves an empty folder in their place."""
    return (entry for entry in entries if entry.mode == GITLINK and _path(entry) not in declared)


def find(entries: Iterable[TreeEntry], declared: dict[str, str], parent: str, scheme: str) -> Iterator[Submodule]:
    """Yield the declared submodules among `entries` of the repository `parent`; `scheme` is that of the pin.

    Raises SourceError (`submodule-refused`) for one whose path or URL may not be used.
    """
    for entry in entries:
        if entry.mode == GITLINK and (path := _path(entry)) in declared:
            if not PATH.fullmatch(path):
                raise _refused(entry.path, "its path has control characters")
            url = resolve_url(parent, declared[path])
            problem = _problem(url, scheme)
            if problem:
                raise _refused(entry.path, problem)
            yield Submodule(path, url, entry.object_id)


def resolve_url(parent: str, url: str) -> str:
    """`url` as git reads it: relative to `parent` when it begins with `./` or `../`, or in the form of scp."""
    if url.startswith(("./", "../")):
        return _relative(parent, url)
    short = SCP.fullmatch(url) if "://" not in url else None
    # `ext::COMMAND` and its like have two colons: they stay as they are, and are refused for their scheme.
    if short and not short[3].startswith(":"):
        login = f"{short[1]}@" if short[1] else ""
        return f"ssh://{login}{short[2]}/{short[3]}"
    return url


def _relative(parent: str, url: str) -> str:
    parts = urlsplit(parent)
    path = parts.path.rstrip("/").split("/")
    rest = url.split("/")
    while rest and rest[0] in (".", ".."):
        if rest.pop(0) == "..":
            path = path[:-1]
    return f"{parts.scheme}://{parts.netloc}{'/'.join([*path, *rest])}"


def unreadable(parent: str) -> SourceError:
    """Return the failure of a commit whose `.gitmodules` git cannot parse."""
    what = f"The .gitmodules of {parent} is not a git configuration file."
    return SourceError("submodule-refused", what, next_step="Fix .gitmodules in the fork, or remove it.")


def _path(entry: TreeEntry) -> str:
    return entry.path.decode("utf-8", "surrogateescape")


def _problem(url: str, scheme: str) -> str:
    faults = url_faults(url)
    if faults:
        return faults[0][0]
    its = urlsplit(url).scheme
    return "" if its in SCHEMES[scheme] else f"a pin with {scheme} may not lead to {its}"


def _refused(path: bytes, problem: str) -> SourceError:
    what = f"The submodule {shown_path(path)} cannot be fetched: {problem}."
    step = "Fix .gitmodules in the fork, or remove the submodule."
    return SourceError("submodule-refused", what, next_step=step)
