"""What the HTTP API tells of a pin, as values; and which pins a user means by NAME or NAME==VERSION."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from packaging.utils import (
    InvalidSdistFilename,
    InvalidWheelFilename,
    canonicalize_name,
    parse_sdist_filename,
    parse_wheel_filename,
)
from packaging.version import InvalidVersion, Version

from devpi_forkbuilder.domain.requirements_files.freeze import FrozenRelease
from devpi_forkbuilder.errors import RefusedError

ENDED = frozenset({"built", "failed"})


class ClientError(RefusedError):
    """Something that the user of a command can do something about."""


@dataclass(frozen=True, slots=True)
class BuiltFile:
    """A file of a pin: its name, SHA-256 (hex), URL, size in bytes (None: not known)."""

    filename: str
    sha256: str
    url: str = ""
    size: int | None = None

    @property
    def version(self) -> Version | None:
        """The version in the file's name; None when it is neither a wheel nor a source distribution."""
        try:
            if self.filename.endswith(".whl"):
                return parse_wheel_filename(self.filename)[1]
            return parse_sdist_filename(self.filename)[1]
        except (InvalidWheelFilename, InvalidSdistFilename, InvalidVersion):
            return None


@dataclass(frozen=True, slots=True)
class ForkState:
    """One object of `GET .../+forks`; times in seconds since the epoch; `raw` is the object itself."""

    project: str
    version: str | None
    url: str
    commit: str
    state: str
    files: tuple[BuiltFile, ...]
    error: str
    queued_at: float | None
    started_at: float | None
    finished_at: float | None
    has_log: bool
    raw: Mapping[str, Any]

    @classmethod
    def read(cls, answer: Mapping[str, Any]) -> ForkState:
        """The state in an object of the API. Raises KeyError, TypeError and ValueError when it is none."""
        error = answer.get("error")
        return cls(
            project=str(answer["project"]),
            version=answer["version"],
            url=str(answer["url"]),
            commit=str(answer["commit"]),
            state=str(answer["state"]),
            files=tuple(map(_file, answer["files"])),
            error=f"{error['kind']}, while {error['stage']}: {error['message']}" if error else "",
            queued_at=answer.get("queued_at"),
            started_at=answer.get("started_at"),
            finished_at=answer.get("finished_at"),
            has_log=answer.get("log_url") is not None,
            raw=answer,
        )

    @property
    def remedy(self) -> tuple[str, ...]:
        """Lines of settings with which the server has seen it build."""
        return tuple(str(line) for line in (self.raw.get("error") or {}).get("remedy") or ())

    @property
    def shown(self) -> str:
        """The state, and the worker of another machine that is at it: `building on NAME`."""
        worker = self.raw.get("worker")
        return f"{self.state} on {worker}" if worker else self.state

    @property
    def name(self) -> str:
        """The normalized project name."""
        return canonicalize_name(self.project)

    @property
    def label(self) -> str:
        """How messages call the pin."""
        return f"{self.project}=={self.version}" if self.version else self.project

    @property
    def key(self) -> tuple[str, str | None, str]:
        """What tells two pins of an index apart."""
        return self.name, self.version, self.commit

    @property
    def ended(self) -> bool:
        """Whether no more comes without a new request."""
        return self.state in ENDED

    @property
    def outlook(self) -> str:
        """Its place in the queue, and about how long it will take; empty when the server says neither."""
        position, seconds = self.raw.get("queue_position"), self.raw.get("estimate")
        place = [f"{position} in the queue"] if isinstance(position, int) else []
        wait = [f"about {seconds:.0f} s"] if isinstance(seconds, (int, float)) else []
        return ", ".join([*place, *wait])

    @property
    def release(self) -> FrozenRelease | None:
        """The newest version among the files, with the hashes of all its files; None when there is no file."""
        files = self.newest
        if not files:
            return None
        return FrozenRelease(str(files[0].version), tuple(file.sha256 for file in files), self.project)

    @property
    def newest(self) -> tuple[BuiltFile, ...]:
        """The files of the newest version."""
        versions = [(file.version, file) for file in self.files]
        newest = max((version for version, _ in versions if version is not None), default=None)
        return tuple(file for version, file in versions if version is not None and version == newest)


def _file(answer: Mapping[str, Any]) -> BuiltFile:
    size = answer.get("size")
    return BuiltFile(
        filename=str(answer["filename"]),
        sha256=str(answer["sha256"]),
        url=str(answer.get("url") or ""),
        size=size if isinstance(size, int) else None,
    )


@dataclass(frozen=True, slots=True)
class Selector:
    """NAME or NAME==VERSION as a user gives it."""

    text: str
    name: str
    version: Version | None

    @classmethod
    def parse(cls, text: str) -> Selector:
        """The selector in `text`; raises ClientError."""
        name, equals, version = text.partition("==")
        try:
            return cls(text, canonicalize_name(name.strip()), Version(version) if equals else None)
        except InvalidVersion:
            what = f"{version!r} in {text!r} is not a version."
            raise ClientError("not-a-version", what, next_step="Write NAME or NAME==1.0.2.") from None

    def means(self, name: str, version: str | None) -> bool:
        """Whether it means the pin of this (normalized) name and version."""
        if name != self.name:
            return False
        return self.version is None or (version is not None and Version(version) == self.version)


def selected(states: Sequence[ForkState], wanted: Iterable[str]) -> tuple[ForkState, ...]:
    """The pins that are meant, in the index's order. Raises ClientError naming all that mean nothing."""
    selectors = [Selector.parse(text) for text in wanted]
    require([(state.name, state.version) for state in states], selectors)
    return tuple(state for state in states if any(one.means(state.name, state.version) for one in selectors))


def require(pinned: Sequence[tuple[str, str | None]], selectors: Iterable[Selector]) -> None:
    """Raises ClientError for selectors that mean none of the pinned names and versions."""
    missing = [one for one in selectors if not any(one.means(name, version) for name, version in pinned)]
    if missing:
        answer = ", ".join(one.text for one in missing)
        close = [name for one in missing for name in difflib.get_close_matches(one.name, {name for name, _ in pinned})]
        guess = f"Did you mean {', '.join(dict.fromkeys(close))}?" if close else "'devpi forks list' shows all pins."
        raise ClientError("not-pinned", f"The index does not pin {answer}.", next_step=guess)
