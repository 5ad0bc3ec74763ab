"""What the templates show of a pin: its state as the API has it, with links, words and moments."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from devpi_forkbuilder.devpi.lookup import Pinned
from devpi_forkbuilder.devpi.releases import ReleaseFile
from devpi_forkbuilder.devpi.simple.fact_store import Pinning
from devpi_forkbuilder.domain.pins.pins import Pin
from devpi_forkbuilder.domain.pins.repository_links import RepositoryLinks, readable_repository, repository_links
from devpi_forkbuilder.domain.states import SECONDS
from devpi_forkbuilder.service.records import Record
from devpi_forkbuilder.web.html import sentences

ORDER = ("failed", "publishing", "checking", "building", "fetching", "queued", "wanted", "built")
"""The order of rows: first what somebody has to look at, then what goes on."""
ACTIVE = frozenset({"queued", "fetching", "building", "checking", "publishing"})
CPYTHON = re.compile(r"cp(\d)(\d+)")
PYPY = re.compile(r"pp(\d)(\d+)")
BAR = 100.0
"""The width of a bar of times, in units of its picture."""


@dataclass(frozen=True, slots=True)
class Cell:
    """What there is of a pin for a target: a word for its style, and a sentence."""

    state: str
    text: str


@dataclass(frozen=True, slots=True)
class BarPart:
    """A part of a bar: the stage, its seconds as text, where it begins and how wide it is, of `BAR`."""

    name: str
    text: str
    start: float
    width: float


@dataclass(frozen=True, slots=True)
class File:
    """A published file."""

    name: str
    url: str
    size: str
    tags: str
    requires_python: str


@dataclass(frozen=True, slots=True)
class Earlier:
    """A commit that was pinned before."""

    commit: str
    url: str | None
    at: str
    ago: str
    who: str


@dataclass(frozen=True, slots=True)
class PinRow:
    """A pin. Rows that look alike are equal: `state`, the object of the API, says nothing more about that.

    Moments are in UTC, as `<time datetime>` has them.
    """

    name: str
    anchor: str
    pin: Pin
    state: Mapping[str, Any] = field(compare=False)
    word: str
    sentence: str
    error: str
    links: RepositoryLinks
    repository: str
    path: str
    cells: tuple[tuple[str, Cell], ...]
    files: tuple[File, ...]
    install: str
    bar: tuple[BarPart, ...]
    total: str
    at: str
    ago: str
    pinned_at: str
    pinned_ago: str
    pinned_by: str
    earlier: tuple[Earlier, ...]
    again: str

    def cell(self, target: str) -> Cell | None:
        """What there is for a target."""
        return dict(self.cells).get(target)

    @property
    def active(self) -> bool:
        """Whether it changes by itself."""
        return self.word in ACTIVE


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a pin beside its files: the records of all its targets, and the history of its project."""

    records: Sequence[Record]
    history: Sequence[Pinning]
    now: float
    link: Callable[[str], str]


def row_of(one: Pinned, state: Mapping[str, Any], path: str, known: Known) -> PinRow:
    """The row of a pin; `path` is that of its page below the server's root."""
    pin, now = one.pin, known.now
    own = next((entry for entry in known.history if entry.commit == pin.commit), None)
    at = state["finished_at"] or state["started_at"] or state["queued_at"] or (own.at if own is not None else None)
    bar = bar_of(state["seconds"])
    return PinRow(
        name=pin.name,
        anchor=f"{pin.name}-{pin.version or ''}-{pin.commit[:12]}",
        pin=pin,
        state=state,
        word=state["state"],
        sentence=sentences.sentence(state, now),
        error=(state["error"] or {}).get("message", ""),
        links=repository_links(pin.url, pin.commit),
        repository=readable_repository(pin.url),
        path=known.link(path),
        cells=_cells(one.files, known.records),
        files=tuple(_file(file, known.link) for file in one.files),
        install=install_line(one.files),
        bar=bar,
        total=sentences.duration(sum(value or 0 for value in state["seconds"].values())) if bar else "",
        at=sentences.iso_moment(at),
        ago=sentences.ago(now - at) if at is not None else "",
        pinned_at=sentences.iso_moment(own.at) if own is not None else "",
        pinned_ago=sentences.ago(now - own.at) if own is not None else "",
        pinned_by=own.who if own is not None else "",
        earlier=_earlier(one, known),
        again=known.link(f"/{one.order.index}/+forks/{pin.name}/again"),
    )


def sort_key(row: PinRow) -> tuple[int, str]:
    """Failed first, then what goes on, then by name."""
    return ORDER.index(row.word), row.anchor


def install_line(files: Iterable[ReleaseFile]) -> str:
    """The line of a requirements file for the newest of these files, with the hash of each file of that version."""
    by_version: dict[str, list[ReleaseFile]] = {}
    for file in files:
        by_version.setdefault(file.version, []).append(file)
    if not by_version:
        return ""
    version, own = list(by_version.items())[-1]
    name = own[0].path.split("/")[-1].partition("-")[0].replace("_", "-")
    return " ".join([f"{name}=={version}", *(f"--hash=sha256:{file.sha256}" for file in own)])


def bar_of(seconds: Mapping[str, float | None]) -> tuple[BarPart, ...]:
    """The parts of a bar for the API's `seconds`; none while nothing has been measured."""
    total = sum(value or 0.0 for value in seconds.values())
    parts: list[BarPart] = []
    start = 0.0
    for name in SECONDS.values():
        value = seconds.get(name) or 0.0
        if total and value:
            width = round(BAR * value / total, 2)
            parts.append(BarPart(name, sentences.duration(value), round(start, 2), width))
            start += width
    return tuple(parts)


def target_of(filename: str) -> str:
    """The column of a wheel: the interpreter that runs it, or `any`."""
    if not filename.endswith(".whl"):
        return "source"
    tag, abi, platform = filename.removesuffix(".whl").rsplit("-", 3)[1:]
    if abi == "none" and platform == "any":
        return "any"
    for pattern, prefix in ((CPYTHON, ""), (PYPY, "pypy")):
        if match := pattern.fullmatch(tag):
            return f"{prefix}{match[1]}.{match[2]}{'+' if abi == 'abi3' else ''}"
    return tag


def _cells(files: Iterable[ReleaseFile], records: Iterable[Record]) -> tuple[tuple[str, Cell], ...]:
    cells = {}
    for record in records:
        if record.key.python and record.state.value != "built":
            cells[record.key.python] = Cell(record.state.value, f"{record.state.value} for Python {record.key.python}")
    for file in files:
        cells[target_of(file.filename)] = Cell("built", file.filename)
    return tuple(cells.items())


def _file(file: ReleaseFile, link: Callable[[str], str]) -> File:
    tags = file.filename.removesuffix(".whl").rsplit("-", 3)[1:] if file.filename.endswith(".whl") else ["source"]
    url = f"{link('/' + file.path)}#sha256={file.sha256}"
    return File(file.filename, url, sentences.readable_size(file.size), " · ".join(tags), file.requires_python or "")


def _earlier(one: Pinned, known: Known) -> tuple[Earlier, ...]:
    found = [entry for entry in known.history if entry.commit != one.pin.commit]
    return tuple(
        Earlier(
            entry.commit,
            repository_links(one.pin.url, entry.commit).commit,
            sentences.iso_moment(entry.at),
            sentences.ago(known.now - entry.at),
            entry.who,
        )
        for entry in found[:10]
    )
