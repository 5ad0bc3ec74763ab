"""How a command is handed to the launcher."""

from __future__ import annotations

import base64
import dataclasses
import json
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from devpi_forkbuilder.errors import InfrastructureError
from devpi_forkbuilder.pipeline.process.command import Command
from devpi_forkbuilder.pipeline.sandbox import launcher, reaper, seccomp

PREFIX = launcher.PREFIX.decode()

PYTHON = Path(sys.executable).resolve()
PYTHON_HOME = Path(sys.base_prefix)
SCRIPT = Path(launcher.__file__)
BROKER = SCRIPT.with_name("broker.py")


@dataclass(frozen=True, slots=True)
class Launcher:
    """The interpreter that runs the launcher, the folder it is installed in, and the launcher's path."""

    python: Path = PYTHON
    home: Path = PYTHON_HOME
    script: Path = SCRIPT

    def argv(self, command: Command, plan: Mapping[str, Any]) -> tuple[str, ...]:
        """The argument list that starts `command` within the walls of `plan`."""
        return (str(self.python), "-I", "-S", str(self.script), json.dumps({"argv": command.argv, **plan}))

    def wrap_shared(self, command: Command, plan: Mapping[str, Any], mark: str, folders: Sequence[Path]) -> Command:
        """`wrap` with a broker, for a filter that has a listener: it does what is handed over, in `folders` alone."""
        machine = platform.machine()
        plan = {"argv": command.argv, **plan, "listen": seccomp.listening_call(machine)}
        job = {
            "server": plan["parent"],
            "uid": plan.get("uid"),
            "folders": [str(folder) for folder in folders],
            "calls": seccomp.handed_over(machine),
            "argv": (str(self.python), "-I", "-S", str(self.script)),
            "plan": plan,
        }
        argv = (str(self.python), "-I", "-S", str(BROKER), json.dumps(job))
        return dataclasses.replace(command, argv=argv, env=hidden(command.env, mark))

    def wrap(self, command: Command, plan: Mapping[str, Any], mark: str) -> Command:
        """`command`, started within the walls of `plan` and marked."""
        return dataclasses.replace(command, argv=self.argv(command, plan), env=hidden(command.env, mark))


def hidden(env: Mapping[str, str], mark: str) -> dict[str, str]:
    """`env` so that it means nothing before the launcher has put its walls up, and the mark."""
    return {**{PREFIX + name: value for name, value in env.items()}, reaper.MARK: mark}


def call_filter(families: tuple[int, ...], sharing: seccomp.Sharing = seccomp.Sharing.NOTHING) -> str:
    """The seccomp filter of this machine, as a plan holds it.

    Raises InfrastructureError (`no-call-filter`) on machines whose system call numbers are not known.
    """
    program = seccomp.program(platform.machine(), families, sharing)
    if program is None:
        what = f"There is no system call filter for {platform.machine()} machines."
        raise InfrastructureError("no-call-filter", what, retryable=False)
    return base64.b64encode(program).decode()
