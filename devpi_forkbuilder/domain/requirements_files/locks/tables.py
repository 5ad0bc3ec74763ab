"""What the readers share: parsed text as tables, and a requirement's line found again in the text.

Everything in a parsed file may be of any type; what is not of the expected one is taken as absent.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from devpi_forkbuilder.domain.pins.pins import Fault
from devpi_forkbuilder.domain.pins.urls import Problem
from devpi_forkbuilder.domain.requirements_files.archive_urls import read_archive_url
from devpi_forkbuilder.domain.requirements_files.gitlines import GitLine, LinePlace, Written, judged
from devpi_forkbuilder.domain.requirements_files.requirements import Requirements

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Table = Mapping[str, object]
Reader = Callable[[str, str], Requirements]
"""(text, file name) to requirements; never raises for what is in the text."""


@dataclass(slots=True)
class Gathered:
    """Git requirements and faults of one file, while it is read."""

    text: str
    file: str
    lines: list[GitLine] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)

    def place(self, shown: str, *needles: str) -> LinePlace:
        """Where the first of `needles` (its last line) is in the text; `shown` is what a message quotes."""
        found = next((at + len(needle) for needle in needles if needle and (at := self.text.find(needle)) >= 0), 0)
        number = self.text.count("\n", 0, found) + 1
        return LinePlace(self.file, number, number, shown)

    def take(self, written: Written, place: LinePlace, *problems: Problem) -> None:
        """Judge a requirement, of which the location may be an archive's URL, and keep it or its faults."""
        archive = read_archive_url(written.location.partition("#")[0])
        if archive is not None:
            notes = (*written.notes, archive.note)
            written = replace(written, location=archive.url, ref=archive.ref, notes=notes)
        self.keep(judged(written, place, problems))

    def keep(self, found: GitLine | tuple[Fault, ...] | None) -> None:
        """Keep a requirement or faults; the same requirement twice is kept once."""
        if isinstance(found, tuple):
            self.faults.extend(found)
        elif found is not None and found not in self.lines:
            self.lines.append(found)

    def done(self) -> Requirements:
        """All that was kept."""
        return Requirements(tuple(self.lines), tuple(self.faults))


def location(git: object, url: object) -> str | None:
    """The git URL, or the URL of an archive that a git host makes of a commit; None when there is neither."""
    archive = word(url)
    if archive is not None and read_archive_url(archive.partition("#")[0]) is None:
        archive = None
    return word(git) or archive


def toml(gathered: Gathered) -> Table:
    """The file as a table; a file that is not TOML is one fault and an empty table."""
    try:
        return tomllib.loads(gathered.text.removeprefix("\ufeff").replace("\r\n", "\n"))
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        gathered.faults.append(Fault(1, "", f"not a TOML file ({str(error)[:200]})", "write it again", gathered.file))
        return {}


def table(value: object) -> Table:
    """`value` if it is a table, else an empty one."""
    return value if isinstance(value, Mapping) else {}


def tables(value: object) -> Iterator[Table]:
    """The tables in a list, or the one table that stands for a list of one."""
    for item in value if isinstance(value, list) else [value]:
        if isinstance(item, Mapping):
            yield item


def word(value: object) -> str | None:
    """`value` if it is text with something in it, else None."""
    return value if isinstance(value, str) and value else None


def words(value: object) -> tuple[str, ...]:
    """The texts in a list."""
    return tuple(item for item in value if isinstance(item, str)) if isinstance(value, list) else ()
