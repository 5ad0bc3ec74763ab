"""`devpi-forkbuilder up` as a replica and as a cache: each in one command."""

from __future__ import annotations

import contextlib
import secrets
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.clients import Pip, Uv
from tests.devpi import send
from tests.functional.test_up import Up
from tests.live import SIMPLE_JSON, Host, stamped, wheel_of

pytestmark = pytest.mark.functional
MakeUp = Callable[[str], Up]
BEYOND_PIP = 20
"""Seconds of a build that is longer than pip waits for an answer without a byte (15)."""


@pytest.fixture
def make(tmp_path: Path, host: Host) -> Iterator[MakeUp]:
    made: list[Up] = []

    def up(name: str) -> Up:
        folder = tmp_path / name
        folder.mkdir()
        made.append(Up(folder, host))
        return made[-1]

    yield up
    for one in reversed(made):
        if one.running is not None:
            one.stop()


def files(up: Up, project: str) -> list[str]:
    headers = {"Accept": SIMPLE_JSON, "User-Agent": "pip/26.3"}
    answer = send(urllib.request.Request(f"{up.index_url}{project}/", headers=headers), 120).check()
    return [file["filename"] for file in answer.json["files"]]


def wait_for(up: Up, path: str, fine: Callable[[Any], bool], timeout: float = 30) -> None:
    deadline = time.monotonic() + timeout
    while True:
        with contextlib.suppress(AssertionError):
            if fine(up.get(path)):
                return
        assert time.monotonic() < deadline, f"{path} did not come\n{up.output.read_text()}"
        time.sleep(0.05)  # a replica tells how far it is by its answers only


def pins_file(up: Up, *lines: str) -> str:
    path = up.folder / "forks.txt"
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def test_replica__is_made_follows_and_becomes_the_primary(make: MakeUp, host: Host) -> None:
    old, new = host.fork("inline"), host.fork("counts")
    primary, replica = make("primary"), make("replica")
    # what comes after the one that is asked for would be built ahead
    primary.start("-r", pins_file(primary, host.pin(new), host.pin(old)))
    secret = primary.serverdir / ".forkbuilder" / "passwords" / "+server-secret"
    said = replica.start("--replica-of", primary.url, "--secretfile", str(secret))
    assert f"as a replica of {primary.url}" in said
    wait_for(replica, "main/forks", lambda config: len(config["result"]["forks"]) == 2)
    assert files(replica, old.project) == [wheel_of(old)]
    assert host.git.fetches(old.name) == 1
    replica.stop()
    primary.stop()
    refused = replica.command("--secretfile", str(secret)).wait(60)
    assert refused.returncode == 1
    assert "--role primary" in replica.output.read_text()
    replica.start("--secretfile", str(secret), "--role", "primary")
    assert files(replica, old.project) == [wheel_of(old)]
    assert files(replica, new.project) == [wheel_of(new)]
    assert (host.git.fetches(old.name), host.git.fetches(new.name)) == (1, 1)


def test_replica__with_another_secret_says_so_and_does_not_start(make: MakeUp) -> None:
    primary, replica = make("primary"), make("replica")
    primary.start()
    other = replica.folder / "secret"
    other.touch(mode=0o600)
    other.write_text(secrets.token_urlsafe(32))
    ended = replica.command("--replica-of", primary.url, "--secretfile", str(other)).wait(60)
    assert ended.returncode == 1
    assert "does not take this one for a replica" in replica.output.read_text()


@pytest.mark.slow
@pytest.mark.network
def test_cache__a_cold_build_comes_through_two_of_them_and_stays(
    make: MakeUp, host: Host, pip_new: Pip, uv: Uv
) -> None:
    fork = host.slow(BEYOND_PIP)
    team, local, further = make("team"), make("local"), make("further")
    team.start("-r", pins_file(team, host.pin(fork)))
    said = local.start("--upstream", f"{team.url}/main/forks")
    assert f"as a cache of {team.url}/main/forks" in said
    further.start("--upstream", local.index_url)
    pip_new.install(further.index_url, fork.project, target=further.folder / "by-pip").check()
    assert list((further.folder / "by-pip").glob(f"slow-{stamped(fork)}.dist-info"))
    assert host.git.fetches(fork.name) == 1
    team.stop()
    local.stop()
    uv.install(further.index_url, fork.project, target=further.folder / "by-uv").check()


def test_cache__started_again_changes_nothing(make: MakeUp) -> None:
    team, local = make("team"), make("local")
    team.start()
    local.start("--upstream", f"{team.url}/main/forks/+simple/")
    before = local.serial()
    local.stop()
    local.start("--upstream", f"{team.url}/main/forks")
    assert local.serial() == before
