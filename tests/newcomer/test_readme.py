"""README's commands, exactly as they are written, on machines on which nothing of ours was ever installed."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from tests.docker.engine import ROOT
from tests.newcomer.conftest import MACHINES, Bare, MakeBare
from tests.processes import Running

SERVED, BUILT, TESTED = 300.0, 300.0, 3000.0
LONGEST = 120  # characters of a line that people copy
ASK = "python3 -c \"import urllib.request as r; r.urlopen('http://localhost:3141/main/forks/+forks', timeout=5)\""
LOGS = "find ~/.devpi /data -path '*.forkbuilder/logs/*' -type f -exec tail -n 40 {} +"
VERSION = "client/bin/python -c 'import importlib.metadata as m; print(m.version(\"devpi-forkbuilder\"))'"


def fences() -> list[list[str]]:
    """The lines of README's fenced blocks."""
    blocks = re.findall(
        r"^```\w*\n(.*?)^```", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    return [block.splitlines() for block in blocks]


FIRST, SECOND = fences()[0]
(INSTALL,) = fences()[1]


def test_lines__are_short() -> None:
    assert [line for line in (FIRST, SECOND, INSTALL) if len(line) > LONGEST] == []


@pytest.mark.parametrize("kind", MACHINES)
def test_first_command__ends_in_an_installed_fork(bare: MakeBare, kind: str, tmp_path: Path) -> None:
    with bare(kind) as machine:
        log = tmp_path / "up.log"
        started = time.monotonic()
        up = machine.start(FIRST, log)
        machine.run("python3 -m venv client", BUILT, folder=".").check()
        served = _served(machine, up, log)
        print(f"\nnewcomer, {kind}: {served - started:.0f} s to a served index")
        asked = time.monotonic()
        client = machine.run(INSTALL.replace("pip ", "client/bin/pip ", 1), BUILT, folder=".")
        if client.returncode:
            print(machine.run(LOGS, 60.0).output)
        assert client.returncode == 0, f"{client.output}\n== up ==\n{log.read_text(errors='replace')[-3000:]}"
        now = time.monotonic()
        print(f"newcomer, {kind}: {now - started:.0f} s to the first wheel ({now - asked:.0f} s after the request)")
        version = machine.run(VERSION, 60.0, folder=".").check().stdout.strip()
        head = machine.run("git rev-parse HEAD", 60.0).check().stdout
        assert version.endswith(f".g{head[:12]}"), version
        up.kill()


def _served(machine: Bare, up: Running, log: Path) -> float:
    """When the index was there."""
    deadline = time.monotonic() + SERVED
    while machine.run(ASK, 60.0).returncode:
        in_time = up.popen.poll() is None and time.monotonic() < deadline
        assert in_time, f"nothing is served:\n{log.read_text(errors='replace')[-8000:]}"
    return time.monotonic()


@pytest.mark.parametrize("kind", ["root", "user-without-capabilities"])
def test_second_command__ends_with_0_failed(bare: MakeBare, kind: str, tmp_path: Path) -> None:
    with bare(kind) as machine:
        log = tmp_path / "tests.log"
        ended = machine.start(SECOND, log).wait(TESTED)
        said = log.read_text(errors="replace")
        summary = [line for line in said.splitlines() if line.startswith(("SKIPPED", "FAILED", "ERROR", "="))]
        print(f"\nnewcomer, {kind}: {ended.seconds:.0f} s for the second command\n" + "\n".join(summary[-150:]))
        assert ended.returncode == 0, said[-30000:]
