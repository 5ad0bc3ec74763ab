"""Asking for builds and waiting for them, on a server that builds each interpreter's files by themselves."""

from __future__ import annotations

import argparse
import itertools
from typing import Any

from devpi_forkbuilder.client.api_client import ApiAnswer
from devpi_forkbuilder.client.commands.build import result, run
from devpi_forkbuilder.client.context import CommandContext
from devpi_forkbuilder.client.models import ForkState
from devpi_forkbuilder.client.terminal import Screen
from devpi_forkbuilder.client.wait import WaitClock
from tests.client.told import told

ERROR = {"kind": "build", "stage": "building", "message": "no"}


class Server:
    """Has files for 3.11; the build for 3.12 fails. Asked for no interpreter, it tells of 3.11's. `logs` are there."""

    def __init__(self, *logs: str) -> None:
        self.logs = logs

    def build(self, project: str, **options: Any) -> tuple[ForkState, ...]:
        assert (project, options["python"]) == ("r", "3.12")
        return (ForkState.read(told(state="queued")),)

    def states(self, project: str | None = None, wait: float = 0, python: str = "") -> tuple[ForkState, ...]:
        assert (project, wait > 0) == ("r", True)
        log = "http://x/log" if self.logs else None
        failed = told(state="failed", error=ERROR, log_url=log)
        return (ForkState.read(failed if python == "3.12" else told(state="built")),)

    def log(self, _: ForkState, start: int = 0, tail: int | None = None, python: str = "") -> ApiAnswer:
        assert (start, tail) == (0, 15)
        if python not in self.logs:
            return ApiAnswer(404, "Not Found", {}, b"", None)
        return ApiAnswer(200, "OK", {}, f"log of {python or 'another'}\n".encode(), None)


def failed(server: Any) -> None:
    """Ask for 3.12 and wait; it has failed."""
    moments = itertools.count()
    clock = WaitClock(lambda: float(next(moments)), lambda _: None, lambda: 0.0)
    context = CommandContext(None, argparse.Namespace(), Screen({}), {}, clock)
    states = run(context, server, [ForkState.read(told(state="built"))], wait=True, python="3.12")
    assert result(states) == 1


def test_run__a_failure_for_one_interpreter_is_not_hidden_by_anothers_files(capsys):
    failed(Server("", "3.12"))
    assert "  log of 3.12\n" in capsys.readouterr().err


def test_run__the_log_of_the_interpreter_that_had_to_build(capsys):
    failed(Server(""))
    assert "  log of another\n" in capsys.readouterr().err


def test_run__a_failure_without_a_log(capsys):
    failed(Server())
    assert "log" not in capsys.readouterr().err


def test_run__a_diagnosis_prints_the_line_and_the_command(capsys):
    class Diagnosing(Server):
        url = "http://host/main/forks"

        def build(self, project: str, **options: Any) -> tuple[ForkState, ...]:
            assert (project, options["diagnose"]) == ("r", True)
            return (ForkState.read(told(state="queued")),)

        def states(self, project: str | None = None, wait: float = 0, python: str = "") -> tuple[ForkState, ...]:
            assert (project, wait > 0, python) == ("r", True, "")
            error = {**ERROR, "remedy": ["fork_build_constraints: r: setuptools<58"]}
            return (ForkState.read(told(state="failed", error=error)),)

    moments = itertools.count()
    clock = WaitClock(lambda: float(next(moments)), lambda _: None, lambda: 0.0)
    context = CommandContext(None, argparse.Namespace(), Screen({}), {}, clock)
    run(context, Diagnosing(), [ForkState.read(told(state="failed"))], wait=True, diagnose=True)
    printed = capsys.readouterr().out
    assert "builds with: fork_build_constraints: r: setuptools<58" in printed
    assert "devpi index main/forks fork_build_constraints+='r: setuptools<58'" in printed
