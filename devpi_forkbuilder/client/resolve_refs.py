"""Git requirements to requirements with commits, by asking each repository once, several at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Protocol

from devpi_forkbuilder.client.parallel import in_parallel
from devpi_forkbuilder.client.ref_names import Refs, commit_of, completed, patterns
from devpi_forkbuilder.domain.pins.pins import Fault
from devpi_forkbuilder.domain.pins.urls import Problem
from devpi_forkbuilder.domain.requirements_files.gitlines import GitLine
from devpi_forkbuilder.errors import ForkbuilderError


class Ask(Protocol):
    """How a repository is asked for refs."""

    def __call__(self, url: str, wanted: Iterable[str], *, cancelled: Callable[[], bool]) -> Refs:
        """The refs of `url` that match `wanted`. Raises ForkbuilderError, and CancelledError once `cancelled()`."""


@dataclass(frozen=True, slots=True)
class Resolved:
    """The requirements whose commit is known now, in their order, and a fault for each other one."""

    lines: tuple[GitLine, ...]
    faults: tuple[Fault, ...]


def resolve_refs(lines: Iterable[GitLine], ask: Ask) -> Resolved:
    """Give every requirement its commit; a repository is asked only when one of its refs is not a full commit."""
    everything = tuple(lines)
    open_lines: dict[str, list[GitLine]] = {}
    for line in everything:
        if line.commit is None:
            open_lines.setdefault(line.url, []).append(line)
    found = _ask_all(open_lines, ask)
    known: list[GitLine] = []
    faults: list[Fault] = []
    for line in everything:
        answer = line.commit or found[line.url, line.ref]
        if isinstance(answer, str):
            known.append(line if line.commit else replace(line, ref=answer))
        else:
            faults += line.place.faults([answer])
    return Resolved(tuple(known), tuple(faults))


Answers = dict[tuple[str, str | None], "str | Problem"]


def _ask_all(lines: dict[str, list[GitLine]], ask: Ask) -> Answers:
    found = in_parallel(lines.items(), lambda item, cancelled: _ask_one(*item, ask, cancelled))
    return {key: answer for answers in found for key, answer in answers.items()}


def _ask_one(url: str, lines: list[GitLine], ask: Ask, cancelled: Callable[[], bool]) -> Answers:
    wanted = list(dict.fromkeys(line.ref for line in lines))
    try:
        refs = ask(url, [pattern for ref in wanted for pattern in patterns(ref)], cancelled=cancelled)
        answers = {ref: commit_of(ref, refs) for ref in wanted}
        if None in answers.values():
            everything = ask(url, ("HEAD", "refs/heads/*", "refs/tags/*"), cancelled=cancelled)
            answers = {ref: answer or completed(ref, everything) for ref, answer in answers.items()}
    except ForkbuilderError as error:
        return {(url, ref): repository_unreachable(url, error) for ref in wanted}
    return dict(_keyed(url, answers))


def _keyed(
    url: str, answers: dict[str | None, str | Problem | None]
) -> Iterator[tuple[tuple[str, str | None], str | Problem]]:
    for ref, answer in answers.items():
        if answer is not None:
            yield (url, ref), answer


def repository_unreachable(url: str, error: ForkbuilderError) -> Problem:
    """What to say of a repository that could not be asked."""
    return f"{url} gave no answer: {error.what.rstrip('.')}", error.next_step or "check the URL"
