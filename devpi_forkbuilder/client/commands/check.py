"""`devpi forks check`: faults of files, without a server."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace

from devpi_forkbuilder.client.context import CommandContext, fault_json, notes_json
from devpi_forkbuilder.client.requirement_files import read_all
from devpi_forkbuilder.client.terminal import counted
from devpi_forkbuilder.domain.pins.pins import Fault, PinsRefusedError
from devpi_forkbuilder.domain.requirements_files.gitlines import GitLine
from devpi_forkbuilder.domain.requirements_files.requirements import Requirements, contradicting, pins_of


def check_files(context: CommandContext) -> int:
    """Tell all faults and notes; 1 when there are faults."""
    found = read_all(context.args.requirement, context.environ)
    open_lines = [line for line in found.git_lines if line.commit is None or line.nameless]
    strict = context.args.strict
    faults = faults_of(found, strict=strict)
    context.show_faults(faults)
    context.show_notes(found.git_lines)
    for line in found.git_lines:
        if line in open_lines and not strict:
            for text in _open(line):
                context.screen.note(f"{line.place.file}:{line.place.line}: {text}")
    _say(context, found, faults, len(open_lines))
    context.screen.json(
        {
            "requirements": len(found.git_lines),
            "unresolved": len(open_lines),
            "faults": [fault_json(fault) for fault in faults],
            "notes": notes_json(found.git_lines),
        }
    )
    return 1 if faults else 0


def faults_of(found: Requirements, *, strict: bool) -> tuple[Fault, ...]:
    """All faults, in the order of files and lines; unless `strict`, what 'devpi forks pin' can resolve is none."""
    lines = found.git_lines
    if not strict:
        split = {line for line in contradicting(lines) if line.marker is not None}
        lines = tuple(_settled(line, version=line in split) for line in lines)
    try:
        pins_of(replace(found, git_lines=lines))
    except PinsRefusedError as refused:
        order = {file.name: number for number, file in enumerate(found.files)}
        return tuple(sorted(refused.faults, key=lambda fault: (order.get(fault.where, len(order)), fault.line)))
    return ()


def _settled(line: GitLine, *, version: bool) -> GitLine:
    """The line as if the repository had been asked: a made-up name, commit and, if wanted, `version`."""
    made_up = hashlib.sha256(f"{line.url}@{line.ref}".encode()).hexdigest()[:40]
    return replace(
        line,
        project=line.project or f"unnamed-{hashlib.sha256(f'{line.url}#{line.subdirectory}'.encode()).hexdigest()}",
        ref=line.commit or made_up,
        version=f"0+{line.commit or made_up}" if version else line.version,
    )


def _open(line: GitLine) -> Iterator[str]:
    """What `devpi forks pin` has to ask the repository for."""
    if line.nameless:
        yield "no project name: 'devpi forks pin' reads it from the repository"
    if line.commit is None:
        what = f"{line.ref!r} is not a full commit id" if line.ref else "no commit"
        yield f"{what}: 'devpi forks pin' resolves it, --strict makes it a fault"


def _say(context: CommandContext, found: Requirements, faults: Sequence[Fault], unresolved: int) -> None:
    tail = f", {unresolved} of them to be resolved by 'devpi forks pin'" if unresolved else ""
    faulty = counted(len(faults), "fault") if faults else "no faults"
    context.screen.line(f"{counted(len(found.git_lines), 'git requirement')}{tail}; {faulty}")
