"""Branches, tags and abbreviated commits to full commits: what to ask a repository for, and what its answer means.

A name may be short (`v1.0`, `main`), or begin with `heads/`, `tags/` or `refs/` (gitrevisions(7)). git itself and pip
disagree on which of a tag and a branch of one name is meant; here it has to be said.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping

from devpi_forkbuilder.domain.pins.urls import Problem

HEAD = "HEAD"
PEELED = "^{}"
ABBREVIATED = re.compile(r"[0-9a-f]{4,63}")
Refs = Mapping[str, str]
"""Full names to ids, as `git ls-remote` tells them."""


def names(ref: str | None) -> tuple[str, ...]:
    """The full names that `ref` may stand for; None is the default branch."""
    if ref is None or ref == HEAD:
        return (HEAD,)
    if ref.startswith("refs/"):
        return (ref,)
    return (f"refs/tags/{ref}", f"refs/heads/{ref}", f"refs/{ref}")


def patterns(ref: str | None) -> tuple[str, ...]:
    """What to ask `git ls-remote` for; the peeled name gives the commit of an annotated tag."""
    return tuple(pattern for name in names(ref) for pattern in (name, f"{name}{PEELED}"))


def commit_of(ref: str | None, refs: Refs) -> str | Problem | None:
    """The commit that `ref` names among `refs`, a problem when two answer to it, None when none does."""
    found = {name: refs.get(f"{name}{PEELED}", refs[name]) for name in names(ref) if name in refs}
    if len(set(found.values())) > 1:
        return f"{ref!r} is {' and '.join(found)}, which differ", f"write @{next(iter(found))} or another full name"
    return next(iter(found.values()), None)


def completed(ref: str | None, refs: Refs) -> str | Problem:
    """The commit that the abbreviated id `ref` begins, or why there is none; `refs` are all branches and tags."""
    if ref is None or ref == HEAD:
        return "the repository has no default branch", "write a commit, tag or branch after an @"
    ids = {refs.get(f"{name}{PEELED}", commit) for name, commit in refs.items() if not name.endswith(PEELED)}
    starting = sorted(commit for commit in ids if commit.startswith(ref.lower()))
    if ABBREVIATED.fullmatch(ref.lower()) and len(starting) == 1:
        return starting[0]
    if ABBREVIATED.fullmatch(ref.lower()):
        what = (
            "is the beginning of several commits"
            if starting
            else "is neither a branch nor a tag, nor the beginning of a commit that one has"
        )
        return f"{ref!r} {what}", "write all 40 digits ('git rev-parse' in a clone prints them)"
    return f"the repository has no branch or tag {ref!r}", _guess(ref, refs)


def _guess(ref: str, refs: Refs) -> str:
    short = {re.sub(r"^refs/(?:heads|tags)/", "", name) for name in refs if not name.endswith(PEELED)} - {HEAD}
    close = difflib.get_close_matches(ref, sorted(short), n=1)
    return f"did you mean {close[0]!r}?" if close else "write a commit, tag or branch of the repository"
