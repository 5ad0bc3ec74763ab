"""docs/tutorial/first-fork.md, word for word: each block of shell in its order, in a home of its own.

Two things differ: the port, and step 1, which makes an environment (README's test in tests/newcomer installs for real).
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.client.shell import ENTRY
from tests.devpi import free_port, is_served
from tests.documentation import shell_blocks
from tests.processes import Result, Running, remember_descendants
from tests.surroundings import clean_environment

pytestmark = [pytest.mark.functional, pytest.mark.slow, pytest.mark.network]
PAGE = Path(__file__).parent.parent.parent / "docs" / "tutorial" / "first-fork.md"
PORT = ":3141"
PATIENCE = 120.0


class Reader:
    """Somebody who follows the page in `home`."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.port = free_port()
        self.folder = home / "forks"
        programs = self.folder / "venv" / "bin"
        programs.mkdir(parents=True)
        entries = {"devpi-forkbuilder": "-m devpi_forkbuilder.commands.main", "devpi": f'-c "{ENTRY}"'}
        for name, words in entries.items():
            (programs / name).write_text(f'#!/bin/sh\nexec {sys.executable} {words} "$@"\n')
            (programs / name).chmod(0o755)
        self._path = f"{programs}{os.pathsep}{clean_environment(home)['PATH']}"

    def start(self, block: str) -> Running:
        script = block.replace(PORT, f":{self.port}")
        surroundings = clean_environment(self.home, PATH=self._path, HOME=str(self.home), UV_PYTHON_DOWNLOADS="never")
        return Running(["bash", "-euo", "pipefail", "-c", script], surroundings, self.folder, None)

    def follow(self, block: str) -> Result:
        return self.start(block).wait(PATIENCE * 2).check()


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    before = set(Running.ALIVE)
    yield Reader(tmp_path)
    for running in set(Running.ALIVE) - before:
        running.kill()


def test_tutorial__word_for_word(reader: Reader) -> None:
    blocks = shell_blocks(PAGE.read_text(encoding="utf-8"))
    assert len(blocks) == 8
    install, make, write, serve, use, freeze, verify, gone = blocks
    assert install.splitlines()[-1] == "devpi-forkbuilder doctor"
    reader.follow(install.splitlines()[-1])
    reader.follow(make)
    assert "#egg=demo-fork==1.0.2" in reader.follow(write).stdout
    assert serve.startswith("devpi-forkbuilder up "), "one command, to which the port is added"
    server = reader.start(f"exec {serve.strip()} --port {reader.port}")
    deadline = time.monotonic() + PATIENCE
    while not is_served(f"http://localhost:{reader.port}"):
        assert server.popen.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.2)  # a server says that it is ready by answering
    assert reader.follow(use).stdout.endswith("hello from a fork\n")
    assert "--hash=sha256:" in reader.follow(freeze).stdout
    assert "Successfully installed demo-fork-1.0.2+" in reader.follow(verify).stdout
    assert "Successfully installed demo-fork-1.0.2+" in reader.follow(gone).stdout
    remember_descendants(server.pid)
    server.popen.terminate()
    server.wait(30)
