"""A server starts and builds whatever a killed server's builds have left, and closes what it keeps."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

import pytest

from devpi_forkbuilder import assembly, equipment
from devpi_forkbuilder.errors import InfrastructureError
from devpi_forkbuilder.pipeline.builder import WheelBuilder
from tests.hostile_trees import nest
from tests.server.test_options import read


def leftover(folder: Path) -> Path:
    left = folder / "work" / "build-1.1-left"
    left.mkdir(parents=True)
    return left


def tidied() -> None:
    for thread in threading.enumerate():
        if thread.name == "forkbuilder-tidy":
            thread.join(100)


def test_start__after_a_build_that_nested_folders(tmp_path: Path) -> None:
    options = read("--forkbuilder-sandbox", "none", folder=tmp_path)
    left = leftover(options.folder)
    os.close(nest(left, "a", sys.getrecursionlimit() + 200))
    assert isinstance(equipment.make_builder(options), WheelBuilder)
    tidied()
    assert not left.exists()


def test_start__while_a_process_of_a_build_cannot_be_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def remaining() -> None:
        reference = "processes-remain"
        raise InfrastructureError(reference, "1 processes of a build could not be ended.")

    monkeypatch.setattr(equipment, "end_abandoned", remaining)
    options = read("--forkbuilder-sandbox", "none", folder=tmp_path)
    left = leftover(options.folder)
    assert isinstance(equipment.make_builder(options), WheelBuilder)
    assert not left.exists()


def test_start__does_not_wait_for_what_takes_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = threading.Event()
    monkeypatch.setattr(equipment, "end_abandoned", gate.wait)
    monkeypatch.setattr(equipment, "TIDYING", 0.01)
    options = read("--forkbuilder-sandbox", "none", folder=tmp_path)
    left = leftover(options.folder)
    assert isinstance(equipment.make_builder(options), WheelBuilder)
    assert left.exists()
    gate.set()
    tidied()
    assert not left.exists()


def test_start__closes_what_it_keeps_in_an_open_folder(tmp_path: Path) -> None:
    """Folders of an older release, or made by hand, and a folder that everybody may enter."""
    folder = tmp_path / "open"
    for name in ("logs", "uv-cache", "work"):
        (folder / name).mkdir(parents=True, exist_ok=True, mode=0o777)
        (folder / name).chmod(0o777)
    folder.chmod(0o755)
    (folder / "records.sqlite").touch(0o666)
    (folder / "records.sqlite-wal").touch(0o666)
    umask = os.umask(0)
    try:
        assembly.close_folders(folder)
    finally:
        os.umask(umask)
    modes = {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()}
    assert modes.pop("work") == 0o777  # made and closed with the sandbox, as its tier needs it
    assert modes.pop("records.sqlite") == modes.pop("records.sqlite-wal") == 0o600
    assert modes == dict.fromkeys(("logs", "mirrors", "sources", "uv-cache", "git-home"), 0o700)
    assert folder.stat().st_mode & 0o777 == 0o755
