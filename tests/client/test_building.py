"""Asking for builds and waiting for them, on a server that builds each interpreter's files by themselves."""

from __future__ import annotations

import argparse
import itertools
from typing import Any

from devpi_forkbuilder.client.building import result, run
from devpi_forkbuilder.client.context import Context
from devpi_forkbuilder.client.screen import Screen
from devpi_forkbuilder.client.server import Answer
from devpi_forkbuilder.client.states import ForkState
from devpi_forkbuilder.client.watch import Clock
from tests.client.told import told

ERROR = {"kind": "build", "stage": "building", "message": "no"}


class Server:
    """Has files for 3.11; the build for 3.12 fails. Asked for no interpreter, it tells of 3.11's."""

    def build(self, project: str, **options: Any) -> tuple[ForkState, ...]:
        assert (project, options["python"]) == ("r", "3.12")
        return (ForkState.read(told(state="queued")),)

    def states(self, project: str | None = None, wait: float = 0, python: str = "") -> tuple[ForkState, ...]:
        assert (project, wait > 0) == ("r", True)
        failed = told(state="failed", error=ERROR)
        return (ForkState.read(failed if python == "3.12" else told(state="built")),)

    def log(self, _: ForkState, start: int = 0, tail: int | None = None, python: str = "") -> Answer:
        assert (start, tail) == (0, 15)
        return Answer(200, "OK", {}, f"log of {python or 'another'}\n".encode(), None)


def test_run__a_failure_for_one_interpreter_is_not_hidden_by_anothers_files(capsys):
    moments = itertools.count()
    clock = Clock(lambda: float(next(moments)), lambda _: None, lambda: 0.0)
    context = Context(None, argparse.Namespace(), Screen({}), {}, clock)
    server: Any = Server()
    states = run(context, server, [ForkState.read(told(state="built"))], wait=True, python="3.12")
    assert result(states) == 1
    assert "  log of 3.12\n" in capsys.readouterr().err
