from __future__ import annotations

from pathlib import Path

import pytest

from devpi_forkbuilder.errors import LimitsError
from devpi_forkbuilder.pipeline.process import runner
from devpi_forkbuilder.pipeline.process.command import Command
from devpi_forkbuilder.pipeline.process.disk_quota import PAUSE, FolderGuard
from devpi_forkbuilder.pipeline.protocols import CancelledError
from tests.pipeline.benches import Clock
from tests.pipeline.watching import Lines, never

MEBIBYTE = 1024 * 1024


def test_guard__a_command_that_fills_the_folder_is_ended(tmp_path: Path) -> None:
    guard = FolderGuard(tmp_path, 2 * MEBIBYTE, never)
    script = "while :; do head -c 1000000 /dev/zero >> f; sleep 0.05; done"
    command = Command(("/bin/sh", "-c", script), {"PATH": "/usr/bin:/bin"}, tmp_path, 60.0, "fill")
    with pytest.raises(CancelledError):
        runner.run(command, log=Lines(), cancelled=guard.asked)
    with pytest.raises(LimitsError) as told:
        guard.judge()
    assert told.value.reference == "work-folder-too-large"
    assert "beyond 2 MiB" in told.value.what


def test_guard__a_command_that_ends_before_the_first_look_is_judged(tmp_path: Path) -> None:
    guard = FolderGuard(tmp_path, 1024, never)
    (tmp_path / "file").write_bytes(b"x" * 10_000)
    with pytest.raises(LimitsError):
        guard.judge_end()


def test_guard__looks_now_and_then_only(tmp_path: Path) -> None:
    clock = Clock()
    guard = FolderGuard(tmp_path, 1, never, clock)
    (tmp_path / "file").write_bytes(b"content")
    assert not guard.asked()
    clock.now += PAUSE
    assert guard.asked()
    assert guard.asked()


def test_guard__a_stopped_server_is_no_fault_of_the_build(tmp_path: Path) -> None:
    guard = FolderGuard(tmp_path, MEBIBYTE, lambda: True)
    assert guard.asked()
    guard.judge()
