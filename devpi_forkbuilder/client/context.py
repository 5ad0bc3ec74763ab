"""What every command is given."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from devpi_forkbuilder.client.api_client import Server, connect
from devpi_forkbuilder.client.terminal import Screen
from devpi_forkbuilder.client.wait import WaitClock
from devpi_forkbuilder.domain.pins.pins import Fault
from devpi_forkbuilder.domain.requirements_files.gitlines import GitLine


@dataclass(frozen=True, slots=True)
class CommandContext:
    """devpi-client's hub, the arguments, where to write, the user's environment, the time."""

    hub: Any
    args: argparse.Namespace
    screen: Screen
    environ: Mapping[str, str]
    clock: WaitClock

    def connect(self) -> Server:
        """The server and the index in use. Raises ClientError."""
        return connect(self.hub)

    def show_faults(self, faults: Iterable[Fault]) -> None:
        """Each fault in a line."""
        for fault in faults:
            self.screen.fault(str(fault))

    def show_notes(self, lines: Sequence[GitLine]) -> None:
        """What was read otherwise than written, and which lines an installer will refuse."""
        for line in lines:
            for text in line.notes:
                self.screen.note(f"{line.place.file}:{line.place.line}: {text}")
        for text in old_eggs(lines):
            self.screen.note(text)


def old_eggs(lines: Iterable[GitLine]) -> Iterator[str]:
    """A note for each file that has lines with `#egg=NAME==VERSION`."""
    numbers: dict[str, list[int]] = {}
    for line in lines:
        if line.old_egg:
            numbers.setdefault(line.place.file, []).append(line.place.line)
    for file, listed in numbers.items():
        where = f"line {listed[0]}" if len(listed) == 1 else f"lines {', '.join(map(str, listed))}"
        yield f"{file}, {where}: new pip refuses #egg=NAME==VERSION; 'devpi forks freeze' writes NAME==VERSION"


def fault_json(fault: Fault) -> dict[str, object]:
    """A fault for scripts."""
    return {
        "file": fault.where,
        "line": fault.line,
        "text": fault.text,
        "problem": fault.problem,
        "fix": fault.fix,
    }


def notes_json(lines: Iterable[GitLine]) -> list[dict[str, object]]:
    """The notes of all lines for scripts."""
    return [{"file": line.place.file, "line": line.place.line, "note": note} for line in lines for note in line.notes]
