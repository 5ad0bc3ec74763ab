"""A whole devpi is started on a disk without room, or without inodes: what is built is served, and it heals."""

from __future__ import annotations

import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import pytest

from tests.devpi import send
from tests.disks import MEBIBYTE, Disk, lacking, small_disk
from tests.functional.test_up import PATIENCE, Up
from tests.live import SIMPLE_JSON, Host
from tests.repositories import Repository

pytestmark = [pytest.mark.functional, pytest.mark.faults, pytest.mark.skipif(bool(lacking()), reason=lacking())]
SIZE = 1024 * MEBIBYTE


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    with small_disk(tmp_path / "disk", SIZE) as made:
        yield made


@pytest.fixture
def up(disk: Disk, host: Host, tmp_path: Path) -> Iterator[Up]:
    """The command `up`, of which everything but what it prints is on the disk."""
    place = Up(tmp_path, host)
    place.serverdir = disk.place / "server"
    yield place
    if place.running is not None:
        place.running.kill()


@pytest.mark.parametrize("inodes", [False, True], ids=["bytes", "inodes"])
def test_start__on_a_full_disk(up: Up, disk: Disk, host: Host, *, inodes: bool) -> None:
    built, waiting = host.fork("inline"), host.fork("flit")
    pins = up.folder / "github.txt"
    pins.write_text(f"{host.pin(built)}\n")
    up.start("-r", str(pins))
    before = page(up, built)
    wait_for_search_index(up)
    up.request("PATCH", "main/forks", [f"forks={host.pin(built)}\n{host.pin(waiting)}"]).check()
    up.stop()
    disk.use_up_inodes() if inodes else disk.close_up()
    assert "nothing can be built before there is room: The server's disk for builds was full" in up.start()
    assert page(up, built) == before
    assert send(urllib.request.Request(urljoin(f"{up.index_url}inline/", before[0]["url"])), 30).check().body
    ready = up.request("GET", "+forkbuilder/ready")
    assert (ready.status, "No space left on device" in ready.text) == (503, True), ready.text
    (placeholder,) = page(up, waiting)
    assert "/failed/" in placeholder["url"]
    (state,) = up.request("GET", "main/forks/+forks/forked-flit").result
    assert state["error"]["kind"] == "infrastructure"
    assert "was full" in state["error"]["message"] or "No space left" in state["error"]["message"], state
    assert up.output.read_text().count("cannot be written, its lines are lost") == (0 if inodes else 1)
    disk.widen(SIZE)
    up.request("POST", "main/forks/+forks/forked-flit/build", {"force": True}).check(202)
    (wheel,) = page(up, waiting)
    assert wheel["hashes"], up.output.read_text()


def wait_for_search_index(up: Up) -> None:
    """devpi-web makes its own in a thread; a server that has none, and no room for one, is ended by that thread."""
    indices, deadline = up.serverdir / ".indices", time.monotonic() + PATIENCE
    while indices.is_dir() and not list(indices.glob("_project_*.toc")):
        assert time.monotonic() < deadline, up.output.read_text()
        time.sleep(0.1)  # the thread tells nobody


def page(up: Up, fork: Repository) -> list[dict[str, Any]]:
    """The files of the fork's simple page."""
    request = urllib.request.Request(f"{up.index_url}{fork.project}/", headers={"Accept": SIMPLE_JSON})
    files: list[dict[str, Any]] = send(request, 90).check().json["files"]
    return files
