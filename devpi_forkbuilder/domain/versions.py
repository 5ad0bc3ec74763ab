"""Versions of what is built: the stamp that says when and from which commit, and the placeholder's version.

The label is `<commit time, UTC, YYYYMMDDHHMMSS>.g<first 12 hex of the commit>`. The `g` keeps an all-digit
abbreviation from being read as a number (PEP 440, "Local version identifiers").
"""

from __future__ import annotations

from datetime import datetime, timezone

from packaging.version import Version

UNKNOWN = "9999"
"""The placeholder's version when neither the pin nor a build has said one: it must outrank any public file."""


def label(commit_time: int, commit: str) -> str:
    """The local version label for a commit; `commit_time` in seconds since the epoch."""
    moment = datetime.fromtimestamp(commit_time, tz=timezone.utc)
    return f"{moment:%Y%m%d%H%M%S}.g{commit[:12]}"


def stamp(version: Version, commit_time: int, commit: str) -> Version:
    """The stamped version. A version that has a local label already is returned as it is."""
    if version.local is not None:
        return version
    return Version(f"{version.public}+{label(commit_time, commit)}")


def satisfies_pin(built: Version, pinned: Version | None) -> bool:
    """Whether the version as built is the pinned one; a pin without a version accepts any."""
    return pinned is None or built == pinned


def placeholder(pinned: Version | None, commit: str, commit_time: int | None) -> Version:
    """The version of the placeholder for a failed pin: it outranks a public file of the same version."""
    base = pinned if pinned is not None else Version(UNKNOWN)
    if base.local is not None:
        return base
    if commit_time is None:
        return Version(f"{base.public}+0.g{commit[:12]}")
    return stamp(base, commit_time, commit)
