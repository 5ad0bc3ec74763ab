"""Servers that end in the middle of a build, by force or politely, and start again."""

from __future__ import annotations

import re
import sys
import time
from pathlib import Path

import pytest

from tests.clients import Uv
from tests.devpi import Answer, DevpiServer
from tests.functional.conftest import MakeLive, each_storage
from tests.live import Live, in_threads, wheel_of
from tests.processes import Process, Result, Running, descendants, table
from tests.repositories import Repository
from tests.surroundings import clean_environment

pytestmark = pytest.mark.functional
GRACE = 10.0
"""Seconds in which what a killed server started has to end."""
FSCK = "from devpi_server.fsck import fsck; raise SystemExit(fsck())"


def _fsck(server: DevpiServer) -> Result:
    """`devpi-fsck` reads every file and compares it with its hash."""
    place = ["--serverdir", str(server.serverdir)]
    if "--storage" in server.options:
        place += ["--storage", server.options[server.options.index("--storage") + 1]]
    command = [sys.executable, "-c", FSCK, *place]
    return Running(command, clean_environment(server.folder), server.folder, None).wait(60)


def _folders(server: DevpiServer) -> list[Path]:
    """What builds left of their work folders."""
    return list((server.serverdir / ".forkbuilder" / "work").glob("build-*"))


def _gone(processes: tuple[Process, ...]) -> list[str]:
    """Those that still run after the grace; a number may have been given to somebody else by then."""
    deadline = time.monotonic() + GRACE
    known = {(process.pid, process.command) for process in processes}
    while (left := [one for one in table() if (one.pid, one.command) in known and one.state not in "ZX"]) and (
        time.monotonic() < deadline
    ):
        time.sleep(0.05)  # they are not children of ours
    return [process.command for process in left]


def _serves_nothing(live: Live, index: str, project: str) -> None:
    assert live.state(index, project)["files"] == []
    assert live.server.api("GET", f"{index}/{project}").result == {}
    assert "/failed/not-built/" in live.server.get(f"{index}/+cached/{project}/").text


def _builds_now(live: Live, uv: Uv, index: str, fork: Repository, folder: Path) -> None:
    uv.install(live.url(index), f"{fork.project}==1.0.2", target=folder / "target").check()
    assert list(live.files(index, fork.project)) == [wheel_of(fork)]
    assert live.state(index, fork.project)["error"] is None
    live.server.stop()
    assert _folders(live.server) == []
    assert _fsck(live.server).check().returncode == 0


@pytest.mark.slow
def test_kill__while_fetching(own: MakeLive, uv: Uv, tmp_path: Path) -> None:
    live = own("--forkbuilder-hold", "0")
    fork = live.host.fork("inline")
    index = live.index_of(fork)
    gate = live.host.git.hold(fork.name)
    live.build(index, "inline").check(202)
    gate.wait_until_reached()
    assert live.state(index, "inline")["state"] == "fetching"
    processes = descendants(live.server.pid)
    assert [process for process in processes if "git" in process.command]
    live.server.kill()
    gate.open()
    assert _gone(processes) == []
    assert _fsck(live.server).check().returncode == 0
    live.server.start()
    _builds_now(live, uv, index, fork, tmp_path)


def test_kill__while_building(own: MakeLive, uv: Uv, tmp_path: Path) -> None:
    live = own("--forkbuilder-hold", "0")
    fork = live.host.slow(4)
    index = live.index_of(fork)
    live.build(index, "slow").check(202)
    live.wait_for_log(index, fork, "seconds to go")
    processes = descendants(live.server.pid)
    assert processes
    assert _folders(live.server)
    live.server.kill()
    assert _gone(processes) == []
    assert _fsck(live.server).check().returncode == 0
    live.server.start()
    _builds_now(live, uv, index, fork, tmp_path)
    assert live.host.git.fetches(fork.name) == 1  # the mirror is still good


@pytest.mark.slow
def test_kill__nothing_of_it_is_served(own: MakeLive) -> None:
    live = own("--forkbuilder-hold", "0")
    fork = live.host.slow(600)
    index = live.index_of(fork)
    live.build(index, "slow").check(202)
    live.wait_for_log(index, fork, "seconds to go")
    before = live.server.serial()
    live.server.kill()
    live.server.start()
    assert live.server.serial() == before
    _serves_nothing(live, index, "slow")
    live.wait_for(index, "slow", "building")  # what was under way is asked for again


def test_sigterm__with_a_running_build_and_a_queue(own: MakeLive) -> None:
    live = own("--forkbuilder-workers", "1", "--forkbuilder-hold", "0")
    running = live.host.slow(6)
    queued = [live.host.fork("inline", project=f"queued-{number}") for number in range(5)]
    index = live.index_of(running, *queued)
    ends: list[Answer] = []
    waiting = in_threads([lambda: ends.append(live.page(index, "slow")) for _ in range(5)])
    live.wait_for_metric("held_requests", lambda held: held == len(waiting))
    live.wait_for_log(index, running, "seconds to go")
    for fork in queued:
        live.build(index, fork.project).check(202)
    assert live.metric("queued") == len(queued)
    processes = descendants(live.server.pid)
    before = time.monotonic()
    live.server.stop()
    assert time.monotonic() - before < 10
    assert _gone(processes) == []
    assert _folders(live.server) == []
    for thread in waiting:
        thread.join(10)
    assert [answer.text[0] for answer in ends] == ["\n"] * len(waiting)  # streams that had begun, and
    assert ["/failed/server-stopped/" in answer.json["files"][0]["url"] for answer in ends] == [True] * len(waiting)
    live.server.start()
    for fork in (running, *queued):
        live.wait_for(index, fork.project, "built")
    assert live.metric("built_total") == 1 + len(queued)
    assert not re.search(r"Traceback|ERROR", live.server.log_text())


def test_sigterm__of_what_failed_nothing_is_forgotten(own: MakeLive) -> None:
    live = own()
    fork = live.host.fork("fails")
    index = live.index_of(fork)
    failed = live.outcome(index, "fails")
    live.server.restart()
    assert live.state(index, "fails") == failed
    live.page(index, "fails").check()
    assert live.metric("failed_total") == 0  # remembered, and not built again
    assert "its frobnicator is missing" in live.log(index, fork)


@each_storage
@pytest.mark.faults
@pytest.mark.timeout(600)
def test_kill__at_any_moment(stored: MakeLive) -> None:
    """Killed at moments that are spread over a build; what is visible is always whole."""
    live = stored("--forkbuilder-hold", "0")
    index = live.index()
    lines: list[str] = []
    for number in range(0, 12, 2 if "--storage" in live.server.options else 1):  # half of it where starts take longer
        fork = live.host.fork("inline", project=f"fork-{number}")
        lines.append(live.host.pin(fork))
        live.pin(index, *lines)
        live.build(index, fork.project).check(202)
        time.sleep(number * 0.06)  # the moment is the point
        processes = descendants(live.server.pid)
        live.server.kill()
        assert _gone(processes) == []
        assert _fsck(live.server).check().returncode == 0
        live.server.start()
        assert list(live.files(index, fork.project)) == [wheel_of(fork)]
    live.server.stop()
    assert _folders(live.server) == []
    assert _fsck(live.server).check().returncode == 0
