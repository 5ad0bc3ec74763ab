"""`devpi forks check`: faults of files, without a server."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace

from devpi_forkbuilder.client.context import Context, fault_json, notes_json
from devpi_forkbuilder.client.files import read_all
from devpi_forkbuilder.domain.gitlines import GitLine
from devpi_forkbuilder.domain.pins import Fault, PinsRefusedError
from devpi_forkbuilder.domain.requirements import Requirements, pins_of


def check(context: Context) -> int:
    """Tell all faults and notes; 1 when there are faults."""
    found = read_all(context.args.requirement, context.environ)
    open_lines = [line for line in found.git_lines if line.commit is None]
    strict = context.args.strict
    faults = faults_of(found, strict=strict)
    context.show_faults(faults)
    for line in found.git_lines:
        context.show_notes([line])
        if line in open_lines and not strict:
            context.screen.note(f"{line.place.file}:{line.place.line}: {_open(line)}")
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
    lines = found.git_lines if strict else tuple(_settled(line) for line in found.git_lines)
    try:
        pins_of(replace(found, git_lines=lines))
    except PinsRefusedError as refused:
        order = {file.name: number for number, file in enumerate(found.files)}
        return tuple(sorted(refused.faults, key=lambda fault: (order.get(fault.where, len(order)), fault.line)))
    return ()


def _settled(line: GitLine) -> GitLine:
    """The line as if it had a commit: a made-up one for each repository and ref."""
    if line.commit is not None:
        return line
    return replace(line, ref=hashlib.sha256(f"{line.url}@{line.ref}".encode()).hexdigest()[:40])


def _open(line: GitLine) -> str:
    what = f"{line.ref!r} is no full commit" if line.ref else "no commit is named"
    return f"{what}: 'devpi forks pin' resolves it, --strict makes it a fault"


def _say(context: Context, found: Requirements, faults: Sequence[Fault], unresolved: int) -> None:
    tail = f", {unresolved} of them to be resolved by 'devpi forks pin'" if unresolved else ""
    context.screen.line(f"{len(found.git_lines)} git requirements{tail}; {len(faults) or 'no'} faults")
