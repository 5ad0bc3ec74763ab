"""A disk that has filled up is brought back by `gc`, beside the running server, and nothing is lost."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.devpi import DevpiServer, initialise
from tests.disks import MEBIBYTE, Disk, lacking, small_disk
from tests.functional.conftest import MakeLive, each_storage
from tests.functional.test_backup import run
from tests.live import METADATA, Host, Live
from tests.postgres import Storage
from tests.publicindex import PublicIndex, public_index

pytestmark = [pytest.mark.functional, pytest.mark.faults]
LARGE = 12 * MEBIBYTE
FLOOR = 16 * MEBIBYTE
DAY = 86400


@pytest.fixture
def public(tmp_path: Path) -> Iterator[PublicIndex]:
    with public_index(tmp_path / "public") as index:
        yield index


@pytest.fixture
def disk() -> Iterator[Disk]:
    with tempfile.TemporaryDirectory(prefix="disk-") as name, small_disk(Path(name, "small"), 96 * MEBIBYTE) as made:
        yield made


def with_mirror(live: Live, public: PublicIndex, *versions: str, padding: int) -> str:
    for version in versions:
        public.add_wheel("remote", version, padding=padding)
    live.create("root/public", type="mirror", mirror_url=public.url, mirror_no_project_list=True)
    return "root/public"


def wait_until_kept(live: Live, count: int) -> None:
    """Wait until so many files of the mirror are in their places: devpi puts them there when the client has them."""
    deadline = time.monotonic() + 30
    while len(list(live.server.serverdir.rglob("remote-*.whl"))) < count:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def downloaded(live: Live, index: str, *projects: str) -> dict[str, str]:
    """The hash of each file that the pages of these projects list, read to its last byte."""
    return {
        name: hashlib.sha256(live.server.get(file["url"]).check().body).hexdigest()
        for project in projects
        for name, file in live.files(index, project).items()
    }


def collected(live: Live, folder: Path, *words: str, status: int = 0) -> dict[str, Any]:
    made = run(folder, "gc", "--serverdir", str(live.server.serverdir), "--json", *words)
    assert made.returncode == status, made.stderr + made.stdout
    report: dict[str, Any] = json.loads(made.stdout)
    return {one["kind"]: one for one in report["kinds"]} | {"freed": report["freed"], "free": report["free"]}


def age(folder: Path, pattern: str) -> None:
    for path in folder.rglob(pattern):
        os.utime(path, (time.time() - DAY,) * 2)


def wait_until_checked(live: Live, failing: list[str]) -> None:
    """Wait until these checks of the server's health fail: they are made once a second at most."""
    deadline = time.monotonic() + 30
    while True:
        checks = live.server.get("+forkbuilder/ready").result["checks"]
        found = [check["name"] for check in checks if not check["ok"]]
        if found == failing:
            return
        assert time.monotonic() < deadline, checks
        time.sleep(0.2)


@pytest.mark.skipif(bool(lacking()), reason=lacking())
def test_gc__brings_a_full_disk_back_and_loses_nothing(
    disk: Disk, host: Host, public: PublicIndex, tmp_path: Path
) -> None:
    forks = (host.fork("inline", files={"inline.py": os.urandom(MEBIBYTE)}), host.fork("subdirectory"))
    builds = ("--forkbuilder-dir", str(tmp_path / "forkbuilder"))
    options = (
        *host.allowed,
        METADATA,
        *builds,
        "--forkbuilder-disk-floor",
        str(FLOOR),
        "--forkbuilder-gc-interval",
        "0",
    )
    template = initialise(tmp_path / "template", "--no-root-pypi")
    with DevpiServer(disk.place / "devpi", *options, template=template) as server:
        live = Live(server, host)
        index = live.index_of(*forks, bases=(with_mirror(live, public, "1.0", "2.0", padding=LARGE),))
        projects = (*(fork.project for fork in forks), "remote")
        before = downloaded(live, index, *projects)
        wait_until_kept(live, 2)
        left = server.serverdir / "+files" / "root" / "forks1" / f"x-1.0.whl-{'a' * 64}-tmp"
        left.write_bytes(bytes(LARGE))
        age(server.serverdir / "+files" / "root", "*")
        disk.fill(FLOOR // 2)
        wait_until_checked(live, ["disk"])

        dry = collected(live, tmp_path, *builds, "--free", "24M", "--dry-run")
        assert (left.exists(), disk.free() < FLOOR) == (True, True)
        found = collected(live, tmp_path, *builds, "--free", "24M")
        assert found["freed"] == dry["freed"] >= 2 * LARGE, dry
        assert (found["leftovers"]["removed"], found["mirrored"]["removed"]) == (1, 1)
        assert disk.free() > 24 * MEBIBYTE
        wait_until_checked(live, [])
        assert not left.exists()
        assert downloaded(live, index, *projects) == before
        assert [host.git.fetches(fork.name) for fork in forks] == [1, 1]


@each_storage
def test_gc__of_another_process_is_seen_by_the_server(
    stored: MakeLive, storage: Storage, host: Host, public: PublicIndex, tmp_path: Path
) -> None:
    """Releases go in a transaction of their own, files of mirrors without one; on files and in a database."""
    fork = host.fork("same-version-two-commits")
    name = fork.project
    live = stored()
    index = live.index(host.pin(fork, commit=fork.commits[0]), bases=(with_mirror(live, public, "1.0", padding=10),))
    first = downloaded(live, index, name, "remote")
    live.pin(index, host.pin(fork))
    both = downloaded(live, index, name, "remote")
    assert len(both) == len(first) + 1
    if not storage.options:
        wait_until_kept(live, 1)
    age(live.server.serverdir, "remote-*")
    found = collected(live, tmp_path, *storage.options, "--superseded", "0", "--forkbuilder-gc-size", "mirrored=0")
    assert (found["superseded"]["removed"], found["mirrored"]["removed"]) == (1, 1)
    left = downloaded(live, index, name, "remote")
    assert set(both.items()) - set(left.items()) == set(first.items()) - set(left.items())
    assert len(left) == len(both) - 1
    assert live.server.api("PUT", "root/more", {"type": "stage"}, user="root").status == 200


def test_gc__during_a_build_takes_nothing_from_it(own: MakeLive, host: Host, tmp_path: Path) -> None:
    """Its fetch is over, and the source is archived from the git mirror only when the files are out."""
    fork = host.slow(4)
    live = own()
    index = live.index_of(fork)
    live.build(index, fork.project).check(202)
    live.wait_for(index, fork.project, "building")
    found = collected(live, tmp_path, "--free", "1000000G", "--forkbuilder-gc-age", "mirrors=0", status=1)
    assert found["mirrors"]["kept"] == {"used by a build": 1}
    assert found["work"]["kept"] == {"used by a build": 1}
    assert live.wait_for(index, fork.project)["state"] == "built"
    live.wait_for_metric("running", lambda running: running == 0)
    live.server.get(f"{index}/+forks/{fork.project}/{fork.commit}/source").check()
