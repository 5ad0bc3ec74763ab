"""devpi's storage in PostgreSQL: one server, a crash, a replica, and two processes on one database."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.devpi import DevpiServer, initialise
from tests.live import METADATA, Host, Live, in_threads, wheel_of
from tests.postgres import Postgres, running_postgres, why_not

pytestmark = [
    pytest.mark.functional,
    pytest.mark.skipif(why_not() is not None, reason=why_not() or ""),
]
MakeServer = Callable[..., DevpiServer]


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    with tempfile.TemporaryDirectory(prefix="pg-") as name:  # pytest's own folders are closed to the database's user
        folder = Path(name)
        folder.chmod(0o755)
        with running_postgres(folder) as made:
            yield made


@pytest.fixture
def make(postgres: Postgres, host: Host, tmp_path: Path) -> Iterator[MakeServer]:
    """Servers on one new database: each call makes another process on it."""
    storage = postgres.database()
    template = initialise(tmp_path / "template", "--no-root-pypi", "--storage", storage)
    with ExitStack() as stack:

        def server(*options: str) -> DevpiServer:
            folder = tmp_path / f"devpi-{len(tuple(tmp_path.iterdir()))}"
            own = ("--storage", storage, *host.allowed, METADATA, *options)
            return stack.enter_context(DevpiServer(folder, *own, template=template))

        yield server


def test_postgresql__a_miss_is_built_once_and_survives_a_crash(make: MakeServer, host: Host) -> None:
    live, fork = Live(make(), host), host.fork("inline")
    index = live.index_of(fork)
    before = live.file(index, fork.project)
    assert before["filename"] == wheel_of(fork)
    live.server.kill()
    live.server.start()
    assert live.file(index, fork.project) == before
    assert host.git.fetches(fork.name) == 1


def test_postgresql__killed_during_a_build_nothing_partial_is_seen(make: MakeServer, host: Host) -> None:
    live, fork = Live(make(), host), host.slow(2)
    index = live.index_of(fork)
    live.build(index, fork.project).check(202)
    live.wait_for(index, fork.project, "building")
    live.server.kill()
    live.server.start()
    assert live.file(index, fork.project)["filename"] == wheel_of(fork)


def test_postgresql__two_processes_never_build_the_same_pin_twice(make: MakeServer, host: Host) -> None:
    first, second = Live(make(), host), Live(make("--requests-only"), host)
    fork, failing = host.slow(3), host.fork("fails")
    index = first.index_of(fork, failing)
    found: list[dict[str, object]] = []
    asks = [lambda live=live: found.append(live.file(index, fork.project)) for live in (first, second, first, second)]  # type: ignore[misc]
    for thread in in_threads(asks):
        thread.join(120)
    assert [file["filename"] for file in found] == [wheel_of(fork)] * 4
    assert host.git.fetches(fork.name) == 1
    for live in (first, second):
        assert "/failed/building/" in str(live.file(index, failing.project)["url"])


def test_postgresql__what_a_dead_process_worked_on_is_free(make: MakeServer, host: Host) -> None:
    first, second = Live(make(), host), Live(make("--requests-only"), host)
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


def test_postgresql__a_replica_on_sqlite(make: MakeServer, host: Host, tmp_path: Path) -> None:
    primary, fork = make("--role", "primary"), host.fork("inline")
    index = Live(primary, host).index_of(fork)
    with DevpiServer(tmp_path / "replica", METADATA, primary=primary) as server:
        replica = Live(server, host)
        server.wait_for(primary)
        assert replica.file(index, fork.project)["filename"] == wheel_of(fork)
    assert host.git.fetches(fork.name) == 1
