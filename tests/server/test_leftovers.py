"""A server starts and builds whatever a killed server's builds have left."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

import pytest

from devpi_forkbuilder import assembly
from devpi_forkbuilder.errors import InfrastructureError
from devpi_forkbuilder.pipeline.workshop import Workshop
from tests.hostile_trees import nest
from tests.server.test_options import read


def leftover(folder: Path) -> Path:
    left = folder / "work" / "build-1.1-left"
    left.mkdir(parents=True)
    return left


def test_start__after_a_build_that_nested_folders(tmp_path: Path) -> None:
    options = read("--forkbuilder-sandbox", "none", folder=tmp_path)
    left = leftover(options.folder)
    os.close(nest(left, "a", sys.getrecursionlimit() + 200))
    assert isinstance(assembly.make_builder(options), Workshop)
    assert not left.exists()


def test_start__while_a_process_of_a_build_cannot_be_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def remaining() -> None:
        reference = "processes-remain"
        raise InfrastructureError(reference, "1 processes of a build could not be ended.")

    monkeypatch.setattr(assembly, "end_abandoned", remaining)
    options = read("--forkbuilder-sandbox", "none", folder=tmp_path)
    left = leftover(options.folder)
    assert isinstance(assembly.make_builder(options), Workshop)
    assert not left.exists()


def test_start__does_not_wait_for_what_takes_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = threading.Event()
    monkeypatch.setattr(assembly, "end_abandoned", gate.wait)
    monkeypatch.setattr(assembly, "TIDYING", 0.01)
    options = read("--forkbuilder-sandbox", "none", folder=tmp_path)
    left = leftover(options.folder)
    assert isinstance(assembly.make_builder(options), Workshop)
    assert left.exists()
    gate.set()
    (tidying,) = [thread for thread in threading.enumerate() if thread.name == "forkbuilder-tidy"]
    tidying.join(60)
    assert not left.exists()
