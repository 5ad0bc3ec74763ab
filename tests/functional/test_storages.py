"""devpi's storage in SQLite and in PostgreSQL: one server, a crash, a replica, and two processes on one storage.

More tests that run on both are in other files: `-k postgresql` finds them all.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.devpi import DevpiServer
from tests.functional.conftest import MakeLive, each_storage
from tests.live import METADATA, Host, Live, in_threads, wheel_of

pytestmark = [pytest.mark.functional, each_storage]


def test_storage__a_miss_is_built_once_and_survives_a_crash(processes: MakeLive, host: Host) -> None:
    live, fork = processes(), host.fork("inline")
    index = live.index_of(fork)
    before = live.file(index, fork.project)
    assert before["filename"] == wheel_of(fork)
    live.server.kill()
    live.server.start()
    assert live.file(index, fork.project) == before
    assert host.git.fetches(fork.name) == 1


def test_storage__killed_during_a_build_nothing_partial_is_seen(processes: MakeLive, host: Host) -> None:
    live, fork = processes(), host.slow(2)
    index = live.index_of(fork)
    live.build(index, fork.project).check(202)
    live.wait_for(index, fork.project, "building")
    live.server.kill()
    live.server.start()
    assert live.file(index, fork.project)["filename"] == wheel_of(fork)


def test_storage__two_processes_never_build_the_same_pin_twice(processes: MakeLive, host: Host) -> None:
    first, second = processes(), processes("--requests-only")
    fork, failing = host.slow(3), host.fork("fails")
    index = first.index_of(fork, failing)
    found: list[dict[str, object]] = []
    asks = [lambda live=live: found.append(live.file(index, fork.project)) for live in (first, second, first, second)]  # type: ignore[misc]
    for thread in in_threads(asks):
        thread.join(120)
    assert [file["filename"] for file in found] == [wheel_of(fork)] * 4
    assert first.metric("built_total") + second.metric("built_total") == 1
    assert host.git.fetches(fork.name) == 1
    for live in (first, second):
        assert "/failed/building/" in str(live.file(index, failing.project)["url"])


def test_storage__what_a_dead_process_worked_on_is_free(processes: MakeLive, host: Host) -> None:
    first, second = processes(), processes("--requests-only")
    fork = host.slow(5)
    index = first.index_of(fork)
    second.build(index, fork.project).check(202)
    second.wait_for(index, fork.project, "building")
    found: list[dict[str, object]] = []
    (waiting,) = in_threads([lambda: found.append(first.file(index, fork.project))])
    first.wait_for(index, fork.project, "queued", "fetching")
    second.server.kill()
    waiting.join(120)
    assert [file["filename"] for file in found] == [wheel_of(fork)]


def test_storage__a_replica_on_sqlite(processes: MakeLive, host: Host, tmp_path: Path) -> None:
    primary, fork = processes("--role", "primary"), host.fork("inline")
    index = primary.index_of(fork)
    with DevpiServer(tmp_path / "replica", METADATA, primary=primary.server) as server:
        replica = Live(server, host)
        server.wait_for(primary.server)
        assert replica.file(index, fork.project)["filename"] == wheel_of(fork)
    assert host.git.fetches(fork.name) == 1
