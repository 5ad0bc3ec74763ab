"""pip requirements files as values: read whole, includes and all, and printed back as they were.

Reading never fails: what is wrong with a git requirement is collected. `pins_of` judges, and raises everything at once.
Lines that have nothing to do with git are left alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from packaging.version import Version

from devpi_forkbuilder.domain.pins.pins import NAME, Fault, Pin, PinsRefusedError, redacted
from devpi_forkbuilder.domain.requirements_files.gitlines import GitLine, LinePlace, repository_name
from devpi_forkbuilder.domain.requirements_files.gitsyntax import read_git_line
from devpi_forkbuilder.domain.requirements_files.includes import Include, read_include, same_file
from devpi_forkbuilder.domain.requirements_files.lines import Logical, logical_lines

IncludeText = Callable[[str, str], str]
"""(name, from) to the text of an included file: its name, joined to the folder of the file `from` that names it.
Line ends must be as they are in the file (`newline=""`). May raise OSError or UnicodeError."""


@dataclass(frozen=True, slots=True)
class Line:
    """One logical line: `number` (from 1), `text` with its line ends, and the git requirement or include in it."""

    number: int
    text: str
    git: GitLine | None = None
    include: Include | None = None


@dataclass(frozen=True, slots=True)
class RequirementsFile:
    """One file. `str()` gives its text, unchanged; `constraint` says that it was reached by `-c`."""

    name: str
    lines: tuple[Line, ...]
    faults: tuple[Fault, ...] = ()
    constraint: bool = False

    def __str__(self) -> str:
        return "".join(line.text for line in self.lines)

    @property
    def git_lines(self) -> tuple[GitLine, ...]:
        """The git requirements of this file alone, in order."""
        return tuple(line.git for line in self.lines if line.git is not None)


@dataclass(frozen=True, slots=True)
class Requirements:
    """All git requirements of a file and of what it includes, and the faults of those that could not be read.

    `files` are the requirements files in the order in which they are first named; empty for a lock file.
    """

    git_lines: tuple[GitLine, ...] = ()
    faults: tuple[Fault, ...] = ()
    files: tuple[RequirementsFile, ...] = ()


def read_requirements(
    text: str, name: str, include: IncludeText, environ: Mapping[str, str] | None = None
) -> Requirements:
    """The requirements in `text`, the file `name`, and in all files it includes, each read once.

    `environ` gives the values of `${NAME}`; a git line that uses another one is a fault.
    """
    files: list[RequirementsFile] = []
    unreadable: list[Fault] = []
    seen = {same_file(name)}
    waiting = [(text, name, False)]
    while waiting:
        file = read_file(*waiting.pop(), environ=environ or {})
        files.append(file)
        nested = []
        for place, found in _includes(file):
            if found.name in seen:
                continue
            seen.add(found.name)
            try:
                nested.append((include(found.name, file.name), found.name, file.constraint or found.constraint))
            except (OSError, UnicodeError) as error:
                unreadable += place.faults([(_unreadable(found.name, error), "fix or remove the include")])
        waiting += reversed(nested)
    git_lines = tuple(line for file in files for line in file.git_lines)
    return Requirements(git_lines, (*(fault for file in files for fault in file.faults), *unreadable), tuple(files))


def read_file(text: str, name: str, constraint: bool = False, *, environ: Mapping[str, str]) -> RequirementsFile:
    """One file, its includes not followed."""
    read = [_line(logical, name, environ) for logical in logical_lines(text)]
    faults = tuple(fault for _, faults in read for fault in faults)
    return RequirementsFile(name, tuple(line for line, _ in read), faults, constraint)


def pins_of(requirements: Requirements) -> tuple[Pin, ...]:
    """The pins of all git requirements, one for each project and version.

    Raises PinsRefusedError with every fault: those of reading, requirements without a name or a full commit, and two
    commits (or subdirectories) for one project and version.
    """
    lines = requirements.git_lines
    faults = [*requirements.faults, *unsettled(lines)]
    pinned = {line: line.pin(line.commit) for line in lines if line.commit is not None and not line.nameless}
    faults += _conflicts(pinned)
    if faults:
        raise PinsRefusedError(faults)
    return tuple({(pin.name, pin.release): pin for pin in reversed(pinned.values())}.values())[::-1]


RESOLVER = "'devpi forks pin -r {file}'"
"""The command that asks repositories."""


def unsettled(lines: Iterable[GitLine], resolver: str = RESOLVER) -> list[Fault]:
    """Names and commits that repositories have to be asked for; `resolver` is what does so (`{file}` is its file)."""
    found = []
    for line in lines:
        how = resolver.format(file=line.place.file or "FILE")
        found += [_unnamed(line, how)] if line.nameless else []
        found += [_unpinned(line, how)] if line.commit is None else []
    return found


def unnamed(lines: Iterable[GitLine], resolver: str = RESOLVER) -> list[Fault]:
    """A fault for each requirement whose name only the repository knows."""
    return [_unnamed(line, resolver.format(file=line.place.file or "FILE")) for line in lines if line.nameless]


def contradicting(lines: Iterable[GitLine]) -> tuple[GitLine, ...]:
    """The requirements without a version that name a commit other than another one of their project does."""
    first: dict[tuple[str, Version | None], GitLine] = {}
    found: dict[GitLine, None] = {}
    for line in lines:
        if line.nameless or line.version is not None:
            continue
        other = first.setdefault((line.name, None), line)
        if (other.commit, other.subdirectory) != (line.commit, line.subdirectory):
            found.update({other: None, line: None})
    return tuple(found)


def _line(logical: Logical, file: str, environ: Mapping[str, str]) -> tuple[Line, tuple[Fault, ...]]:
    place = LinePlace(file, logical.number, logical.last, logical.text, logical.span)
    found = read_git_line(logical.text, place, environ, logical.comment)
    if isinstance(found, tuple):
        return Line(logical.number, logical.raw), found
    include = read_include(logical.text, file, environ) if found is None else None
    return Line(logical.number, logical.raw, found, include), ()


def _includes(file: RequirementsFile) -> Iterator[tuple[LinePlace, Include]]:
    for line in file.lines:
        if line.include is not None:
            yield LinePlace(file.name, line.number, line.number, line.text.strip()), line.include


def _unreadable(name: str, error: OSError | UnicodeError) -> str:
    why = (error.strerror or "") if isinstance(error, OSError) else "it is not UTF-8 text"
    return f"{name} cannot be read" + (f" ({why})" if why else "")


def _unnamed(line: GitLine, resolver: str) -> Fault:
    guess = repository_name(line.url)
    folder = f"&subdirectory={line.subdirectory}" if line.subdirectory else ""
    fix = (
        f"add #egg={guess if NAME.fullmatch(guess) else 'NAME'} (the name the project is published under){folder}; "
        f"{resolver} reads it from the repository"
    )
    return line.place.faults([("no project name", fix)])[0]


def _unpinned(line: GitLine, resolver: str) -> Fault:
    place, ref = line.place, line.ref or ""
    resolve = f"{resolver} resolves it to a full commit"
    if not ref:
        problem, fix = "no commit: the default branch may move", resolve
    elif all(digit in "0123456789abcdefABCDEF" for digit in ref) and 4 <= len(ref) < 64:
        problem, fix = f"{ref!r} is not a full commit id", f"write all 40 (or 64) hex digits; {resolve}"
    else:
        problem, fix = f"{redacted(ref)!r} is a branch or tag, which can move", resolve
    return place.faults([(problem, fix)])[0]


def _conflicts(pinned: Mapping[GitLine, Pin]) -> Iterator[Fault]:
    first: dict[tuple[str, Version | None], GitLine] = {}
    for line, pin in pinned.items():
        other = first.setdefault((pin.name, pin.release), line)
        if (pinned[other].commit, pinned[other].subdirectory) != (pin.commit, pin.subdirectory):
            what = f"{pin.project} {pin.version or '(no version)'}"
            where = f"{other.place.file}:{other.place.line}" if other.place.file else f"line {other.place.line}"
            problem = f"{what} has another commit or subdirectory in {where}"
            yield line.place.faults([(problem, _either(line, pin))])[0]


def _either(line: GitLine, pin: Pin) -> str:
    """What to write where one project has two commits: an index tells two pins of a project apart by version only."""
    if line.marker is None:
        return "keep one of the two"
    return (
        "an index tells two commits of a project apart by their versions: give each line the version of its commit, "
        f"here git+{pin.url}@{pin.commit7}...#egg={pin.project}==VERSION ; {line.marker}; "
        "if both have the same version, change it in one of the two branches"
    )
