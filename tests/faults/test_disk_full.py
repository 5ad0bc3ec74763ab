"""The disk of devpi's storage is full when a release is to be stored: nothing of it is seen, and it heals."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.devpi import DevpiServer, initialise
from tests.disks import MEBIBYTE, Disk, lacking, small_disk
from tests.functional.conftest import ON_POSTGRESQL
from tests.live import METADATA, Host, Live, wheel_of
from tests.postgres import running_postgres

pytestmark = [pytest.mark.functional, pytest.mark.faults, pytest.mark.skipif(bool(lacking()), reason=lacking())]
SIZE = 96 * MEBIBYTE
WHEEL = 12 * MEBIBYTE
LEFT = 4 * MEBIBYTE


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that a database's user can reach, as pytest's own cannot be."""
    with tempfile.TemporaryDirectory(prefix="disk-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture
def disk(place: Path) -> Iterator[Disk]:
    with small_disk(place / "small", SIZE) as made:
        yield made


@pytest.fixture(params=["sqlite", ON_POSTGRESQL])
def live(request: pytest.FixtureRequest, place: Path, disk: Disk, host: Host, tmp_path: Path) -> Iterator[Live]:
    """A server whose storage is on the disk; its builds are elsewhere."""
    with ExitStack() as stack:
        folder, storage = disk.place, tuple[str, ...]()
        if request.param == "postgresql":
            (place / "cluster").mkdir()
            postgres = stack.enter_context(running_postgres(place / "cluster"))
            folder, storage = tmp_path, ("--storage", postgres.database(disk.place))
        template = initialise(tmp_path / "template", "--no-root-pypi", *storage)
        options = (*host.allowed, METADATA, "--forkbuilder-dir", str(tmp_path / "forkbuilder"), *storage)
        yield Live(stack.enter_context(DevpiServer(folder / "devpi", *options, template=template)), host)


def test_disk_full__nothing_is_seen_and_the_build_is_tried_again(live: Live, disk: Disk) -> None:
    fork = live.host.fork("inline", files={"inline.py": os.urandom(WHEEL)})
    index = live.index_of(fork)
    disk.fill(LEFT)
    failed = live.outcome(index, "inline")
    assert (failed["state"], failed["error"]["kind"]) == ("failed", "infrastructure"), failed
    assert (failed["error"]["stage"], failed["files"]) == ("publishing", [])
    assert "/failed/publishing/" in live.file(index, "inline")["url"]
    assert live.server.api("GET", "+api").status == 200
    if (disk.place / "devpi").exists():  # the files are on the disk themselves, and nothing of a file is left there
        assert failed["error"]["reference"] == "disk-full"
        assert not list(disk.place.rglob("*-tmp"))
        assert disk.free() > LEFT - MEBIBYTE
    disk.empty()
    live.build(index, "inline", force=True).check(202)
    assert live.wait_for(index, "inline")["state"] == "built"
    assert live.file(index, "inline")["filename"] == wheel_of(fork)
