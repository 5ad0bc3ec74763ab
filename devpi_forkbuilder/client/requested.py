"""What is to be pinned: git requirements with what their repositories know, commits, names and versions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from devpi_forkbuilder.client.computed_names import Computed
from devpi_forkbuilder.client.identities import identify
from devpi_forkbuilder.client.ref_names import Refs
from devpi_forkbuilder.client.resolve_refs import Ask, resolve_refs
from devpi_forkbuilder.domain.pins.pins import Fault, Pin, PinsRefusedError
from devpi_forkbuilder.domain.requirements_files.gitlines import GitLine
from devpi_forkbuilder.domain.requirements_files.requirements import Requirements, pins_of, unsettled
from devpi_forkbuilder.pipeline.checkout.remote_files import read_remote_files
from devpi_forkbuilder.pipeline.git.ls_remote import ls_remote


@dataclass(frozen=True, slots=True)
class Requested:
    """What is to be pinned: requirements with their commits, the faults of the others, the refs as written."""

    lines: tuple[GitLine, ...]
    pins: tuple[Pin, ...]
    faults: tuple[Fault, ...]
    refs: dict[tuple[str, str], str]


def ask_git_hosts(found: Requirements, environ: Mapping[str, str], compute: Computed | None = None) -> Requested:
    """Every requirement with its commit and name; those without, and those that contradict another, are faults.

    Repositories are asked with the git configuration and credentials of `environ`, the user's environment. `compute`
    finds names that are written in no file.
    """

    def read(url: str, commit: str, paths: Iterable[str], **more: object) -> Mapping[str, str]:
        return read_remote_files(url, commit, paths, environ, **more)  # type: ignore[arg-type]  # as Read has it

    answer = resolve_refs(found.git_lines, asker(environ))
    identified = identify(answer.lines, read, compute)
    return _judged(found, identified.lines, [*found.faults, *answer.faults, *identified.faults])


def asker(environ: Mapping[str, str]) -> Ask:
    """What asks repositories for refs with the user's git configuration and credentials."""

    def ask(url: str, wanted: Iterable[str], **more: object) -> Refs:
        return ls_remote(url, wanted, environ, **more)  # type: ignore[arg-type]  # as Ask has it

    return ask


def as_written(found: Requirements, resolver: str) -> Requested:
    """The requirements that need no repository; what does is a fault. `resolver` is what would ask repositories."""
    lines = tuple(line for line in found.git_lines if line.commit is not None and not line.nameless)
    return _judged(found, lines, [*found.faults, *unsettled(found.git_lines, resolver)])


def _judged(found: Requirements, lines: tuple[GitLine, ...], faults: list[Fault]) -> Requested:
    try:
        pins = pins_of(Requirements(lines))
    except PinsRefusedError as refused:
        faults += refused.faults
        wrong = {(fault.where, fault.line) for fault in refused.faults}
        lines = tuple(line for line in lines if (line.place.file, line.place.line) not in wrong)
        pins = pins_of(Requirements(lines))
    written = {(line.place.file, line.place.line): line.ref for line in found.git_lines}
    refs = {}
    for line in lines:
        ref = written.get((line.place.file, line.place.line))
        refs[line.name, line.commit or ""] = "" if ref == line.ref else ref or "HEAD"
    order = {file.name: number for number, file in enumerate(found.files)}
    faults.sort(key=lambda fault: (order.get(fault.where, len(order)), fault.line))
    return Requested(lines, pins, tuple(faults), refs)
