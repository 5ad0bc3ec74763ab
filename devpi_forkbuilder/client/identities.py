"""Names and versions that requirements leave out, read from the repositories at the requirements' commits."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from devpi_forkbuilder.client.computed_names import Computed
from devpi_forkbuilder.client.parallel import in_parallel
from devpi_forkbuilder.client.resolve_refs import Resolved, repository_unreachable
from devpi_forkbuilder.domain.pins.pins import Fault
from devpi_forkbuilder.domain.pins.urls import Problem
from devpi_forkbuilder.domain.requirements_files.gitlines import GitLine
from devpi_forkbuilder.domain.requirements_files.project_identity import FILES, Identity, identity
from devpi_forkbuilder.domain.requirements_files.requirements import contradicting
from devpi_forkbuilder.errors import ForkbuilderError


class Read(Protocol):
    """How files of a repository are read."""

    def __call__(
        self, url: str, commit: str, paths: Iterable[str], *, cancelled: Callable[[], bool]
    ) -> Mapping[str, str]:
        """The texts of `paths` that are there. Raises ForkbuilderError, and CancelledError once `cancelled()`."""


Source = tuple[str, str, "str | None"]
"""URL, commit, subdirectory."""
Found = dict[Source, "Identity | Problem"]


def identify(lines: Sequence[GitLine], read: Read, compute: Computed | None = None) -> Resolved:
    """Give a name to requirements without one, and a version to those that another commit of their project contradicts.

    All must have a commit. A name that is written in no file of the repository is computed by `compute`, where there is
    one. A requirement whose name cannot be found is a fault; one whose version cannot be read stays as it is.
    """
    found: Found = {}
    nameless = [line for line in lines if line.nameless]
    _look(found, nameless, read)
    if compute is not None:
        _compute(found, nameless, compute)
    named = [_named(line, found) for line in lines]
    known = [line for line in named if isinstance(line, GitLine)]
    split = [line for line in contradicting(known) if line.marker is not None]
    _look(found, split, read)
    versioned = tuple(_versioned(line, found) if line in split else line for line in known)
    return Resolved(versioned, tuple(fault for faults in named if isinstance(faults, tuple) for fault in faults))


def _look(found: Found, lines: Iterable[GitLine], read: Read) -> None:
    sources = list(dict.fromkeys(_source(line) for line in lines if _source(line) not in found))
    answers = in_parallel(sources, lambda source, cancelled: _read_one(source, read, cancelled))
    found.update(zip(sources, answers, strict=True))


def _compute(found: Found, lines: Iterable[GitLine], compute: Computed) -> None:
    """Have the names computed that are not written down; what was read of their versions stays."""
    answers = ((source, found[source]) for source in dict.fromkeys(map(_source, lines)))
    missing = [source for source, answer in answers if isinstance(answer, Identity) and answer.name is None]
    computed = in_parallel(missing, lambda source, cancelled: _compute_one(source, compute, cancelled))
    found.update(zip(missing, computed, strict=True))


def _compute_one(source: Source, compute: Computed, cancelled: Callable[[], bool]) -> Identity | Problem:
    url, commit, folder = source
    try:
        return replace(compute(url, commit, folder, cancelled=cancelled), computed=True)
    except ForkbuilderError as error:
        reason = error.what.rstrip(".")
        return f"{_unwritten(source)}; it cannot be computed: {reason}", f"write NAME @ git+{url}@{commit}"


def _unwritten(source: Source) -> str:
    _, commit, folder = source
    where = f"{folder} of " if folder else ""
    return f"no project name, and none is written in {', '.join(FILES)} of {where}commit {commit[:7]}"


def _read_one(source: Source, read: Read, cancelled: Callable[[], bool]) -> Identity | Problem:
    url, commit, folder = source
    prefix = f"{folder}/" if folder else ""
    try:
        texts = read(url, commit, [f"{prefix}{name}" for name in FILES], cancelled=cancelled)
    except ForkbuilderError as error:
        return repository_unreachable(url, error)
    return identity({path.removeprefix(prefix): text for path, text in texts.items()})


def _source(line: GitLine) -> Source:
    return line.url, line.commit or "", line.subdirectory


def _named(line: GitLine, found: Found) -> GitLine | tuple[Fault, ...]:
    if not line.nameless:
        return line
    answer = found[_source(line)]
    if not isinstance(answer, Identity):
        return line.place.faults([answer])
    if answer.name is None:
        return line.place.faults([(_unwritten(_source(line)), f"write NAME @ git+{line.url}@{line.commit}")])
    origin = "computed by the build back end" if answer.computed else "as the repository says"
    note = f"no project name: {answer.name}, {origin} at commit {(line.commit or '')[:7]}"
    return replace(line, project=answer.name, notes=(*line.notes, note))


def _versioned(line: GitLine, found: Found) -> GitLine:
    answer = found[_source(line)]
    if not isinstance(answer, Identity) or answer.version is None:
        return line
    note = f"{line.project} has several commits: this one is version {answer.version}, as the repository says"
    return replace(line, version=answer.version, notes=(*line.notes, note))
