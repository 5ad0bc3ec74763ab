"""What a build leaves: files, and what is known about where they come from."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Artefact:
    """A checked file in a folder that no build can write to; `size` in bytes, `sha256` in hex.

    `metadata` is the file's core metadata, each field (lower case, `_` for `-`) to its value or list of values;
    `pure` says that a wheel serves every interpreter and platform (and is True for a source distribution).
    """

    path: Path
    filename: str
    sha256: str
    size: int
    version: str
    pure: bool
    metadata: dict[str, str | list[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Built:
    """All files of one build (the wheel first), the commit's time (seconds since the epoch) and its provenance.

    `provenance` has only what may be published: tools and versions, tree id, sandbox tier. No secret, no local path.
    """

    artefacts: tuple[Artefact, ...]
    commit_time: int
    provenance: dict[str, str]
