"""A disk that is full of bytes or of files while a fork is built: the fork is not blamed."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from devpi_forkbuilder.equipment import make_builder
from devpi_forkbuilder.errors import BuildError, InfrastructureError
from devpi_forkbuilder.pipeline.builder import WheelBuilder
from devpi_forkbuilder.pipeline.late_builder import LateBuilder
from devpi_forkbuilder.pipeline.process.disk_space import Space, check_space, space_of
from tests.disks import MEBIBYTE, Disk, lacking, small_disk
from tests.pipeline.benches import Follower, order, wheel_builder
from tests.repositories import Repositories
from tests.server.test_options import read

needs_disk = pytest.mark.skipif(bool(lacking()), reason=lacking())
TABLE = '[build-system]\nrequires = []\nbuild-backend = "b"\nbackend-path = ["."]\n'
FAILS = "def build_wheel(*_, **__):\n    raise SystemExit('no room, or so it seems')\n"
FILLS = """
import os, pathlib, time
def build_wheel(*_, **__):
    filler = pathlib.Path('filler')
    try:
        with filler.open('wb') as file:
            while True:
                os.write(file.fileno(), bytes(1 << 20))
    finally:
        time.sleep(1)
        filler.unlink()
"""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    with small_disk(tmp_path / "small", 256 * MEBIBYTE) as made:
        yield made


def failure(shop: WheelBuilder, line: str) -> Exception:
    with pytest.raises((BuildError, InfrastructureError)) as caught, shop.build(order(line), Follower()):
        pass
    return caught.value


def use_up_inodes(folder: Path, left: int) -> list[Path]:
    subprocess.run(["mount", "-o", "remount,nr_inodes=3000", str(folder)], check=True)
    free = os.statvfs(folder).f_favail
    made = [folder / f"inode-{number}" for number in range(free - left)]
    for path in made:
        path.touch()
    return made


def backend(repositories: Repositories, code: str) -> str:
    fork = repositories.empty("forked")
    repositories.commit(fork, {"pyproject.toml": TABLE, "b.py": code})
    return repositories.pin_line(fork)


@needs_disk
def test_build__that_fills_the_disk_and_tidies_up(disk: Disk, repositories: Repositories) -> None:
    """Tools remove what they could not finish: the disk has room again when the failure is judged."""
    fault = failure(wheel_builder(disk.place), backend(repositories, FILLS))
    assert (fault.kind.value, fault.reference, fault.retryable) == ("infrastructure", "disk-full", True)  # type: ignore[attr-defined]  # ours
    assert "MiB" in str(fault)


@needs_disk
def test_build__on_a_disk_with_room_is_the_forks(disk: Disk, repositories: Repositories) -> None:
    assert isinstance(failure(wheel_builder(disk.place), backend(repositories, FAILS)), BuildError)


@needs_disk
def test_build__without_inodes(disk: Disk, repositories: Repositories) -> None:
    shop, line = wheel_builder(disk.place), backend(repositories, FAILS)
    made = use_up_inodes(disk.place, 500)
    fault = failure(shop, line)
    assert (fault.reference, fault.retryable) == ("disk-full", True)  # type: ignore[attr-defined]  # ours
    assert "inodes" in str(fault)
    for path in made:
        path.unlink()
    assert isinstance(failure(shop, line), BuildError)


@needs_disk
def test_start__without_inodes_builds_once_there_are_some(disk: Disk, repositories: Repositories) -> None:
    made = use_up_inodes(disk.place, 0)
    options = read("--forkbuilder-allow-url", repositories.folder.as_uri(), folder=disk.place)
    builder = make_builder(options)
    assert isinstance(builder, LateBuilder)
    line = repositories.pin_line(repositories.make("inline"))
    before = builder.identity
    with pytest.raises(InfrastructureError) as caught, builder.build(order(line), Follower()):
        pass
    assert (caught.value.reference, caught.value.retryable) == ("disk-full", True)
    for path in made:
        path.unlink()
    subprocess.run(["mount", "-o", "remount,size=2G,nr_inodes=100000", str(disk.place)], check=True)
    with builder.build(order(line), Follower()) as built:
        assert built.artefacts
    assert builder.identity != before
    assert builder.server_targets().pythons


def test_check_space__of_inodes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    few = os.statvfs_result((4096, 4096, 10**9, 10**9, 10**9, 10**6, 5, 5, 0, 255))
    monkeypatch.setattr(os, "statvfs", lambda _path: few)
    assert space_of(tmp_path).inodes == 5
    with pytest.raises(InfrastructureError, match="5 inodes free"):
        check_space(tmp_path, 0)


def test_space__file_systems_that_do_not_count_inodes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    uncounted = os.statvfs_result((4096, 4096, 10**9, 10**9, 10**9, 0, 0, 0, 0, 255))
    monkeypatch.setattr(os, "statvfs", lambda _path: uncounted)
    assert space_of(tmp_path) == Space(4096 * 10**9, None)
    check_space(tmp_path)
