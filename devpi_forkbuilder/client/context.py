"""What every command is given."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from devpi_forkbuilder.client.screen import Screen
from devpi_forkbuilder.client.server import Server, connect
from devpi_forkbuilder.client.watch import Clock
from devpi_forkbuilder.domain.gitlines import GitLine
from devpi_forkbuilder.domain.pins import Fault


@dataclass(frozen=True, slots=True)
class Context:
    """devpi-client's hub, the arguments, where to write, the user's environment, the time."""

    hub: Any
    args: argparse.Namespace
    screen: Screen
    environ: Mapping[str, str]
    clock: Clock

    def connect(self) -> Server:
        """The server and the index in use. Raises ClientError."""
        return connect(self.hub)

    def show_faults(self, faults: Iterable[Fault]) -> None:
        """Each fault in a line."""
        for fault in faults:
            self.screen.fault(str(fault))

    def show_notes(self, lines: Iterable[GitLine]) -> None:
        """What was read otherwise than written."""
        for line in lines:
            for text in line.notes:
                self.screen.note(f"{line.place.file}:{line.place.line}: {text}")


def fault_json(fault: Fault) -> dict[str, object]:
    """A fault for scripts."""
    return {
        "file": fault.where,
        "line": fault.line,
        "text": fault.text,
        "problem": fault.problem,
        "mend": fault.mend,
    }


def notes_json(lines: Iterable[GitLine]) -> list[dict[str, object]]:
    """The notes of all lines for scripts."""
    return [{"file": line.place.file, "line": line.place.line, "note": note} for line in lines for note in line.notes]
