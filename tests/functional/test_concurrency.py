"""Many clients at once: one fetch, one build, everybody served, and a server that has time for others meanwhile."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.clients import Pip, Uv
from tests.functional.conftest import MakeLive, each_storage
from tests.live import SIMPLE_JSON, Live, in_threads, wheel_of
from tests.publicindex import public_index

pytestmark = pytest.mark.functional
CLIENTS = 94
INSTALLERS = 3  # of each, pip and uv: with the others, one hundred
ONE_SECOND = 1.0
AS_UP = ("--connection-limit", "512")


class Client:
    """One request for a simple page, on a connection of its own; `held` is set by its first byte."""

    def __init__(self, live: Live, index: str, project: str) -> None:
        self.live = live
        self.path = f"/{index}/+simple/{project}/"
        self.held = threading.Event()
        self.answer: tuple[int, list[dict[str, object]]] | None = None
        self.retry_after: str | None = None

    def __call__(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.live.server.port, timeout=120)
        try:
            connection.request("GET", self.path, headers={"Accept": SIMPLE_JSON, "User-Agent": "pip/26.3"})
            response = connection.getresponse()
            first = response.read(1)
            self.held.set()
            body = first + response.read()
            self.retry_after = response.headers["Retry-After"]
            self.answer = (response.status, json.loads(body)["files"] if response.status == 200 else [])
        finally:
            self.held.set()
            connection.close()


def _slowest(live: Live, stop: Callable[[], bool]) -> float:
    """The longest time that `/+api` took until `stop`, seconds; asked at least three times."""
    times: list[float] = []
    while len(times) < 3 or not stop():
        before = time.monotonic()
        live.server.api("GET", "+api").check()
        times.append(time.monotonic() - before)
        time.sleep(0.05)  # a person's browser does not ask without a pause either
    return max(times)


@each_storage
def test_one_cold_pin__a_hundred_clients(
    stored: MakeLive, pip_new: Pip, uv: Uv, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    counter = tmp_path / "counter"
    unboxed = ("--forkbuilder-sandbox", "none")  # the build writes to `counter`
    live = stored(*unboxed, "--forkbuilder-hold", "1", *AS_UP, threads=256)
    fork = live.host.fork("counts", files={"COUNTER": str(counter)})
    index = live.index_of(fork)
    gate = live.host.git.hold(fork.name)
    clients = [Client(live, index, "counts") for _ in range(CLIENTS)]
    threads = in_threads(list(clients))
    targets = [tmp_path / f"target-{number}" for number in range(2 * INSTALLERS)]
    running = [
        (pip_new, uv)[number % 2].start(live.url(index), "counts==1.0.2", target=target)
        for number, target in enumerate(targets)
    ]
    live.wait_for_metric("held_requests", lambda held: held == CLIENTS + 2 * INSTALLERS, 20)
    gate.wait_until_reached()
    waiting = _slowest(live, lambda: all(client.held.is_set() for client in clients))
    gate.open()
    ending = _slowest(live, lambda: not any(thread.is_alive() for thread in threads))
    for process in running:
        process.wait(60).check()

    hashes = {(status, *_hashes(files)) for status, files in (client.answer or (0, []) for client in clients)}
    assert len(hashes) == 1
    ((status, sha256),) = hashes
    assert status == 200
    assert live.state(index, "counts")["files"][0]["sha256"] == sha256
    identity = counter.read_text()
    assert identity.count("\n") == 1  # one build
    assert {(target / "counts_identity.txt").read_text() for target in targets} == {identity.strip()}
    assert live.host.git.fetches(fork.name) == 1
    assert live.metric("built_total") == 1
    assert live.metric("held_requests") == 0
    print(f"/+api took {waiting:.3f} s at most while 100 clients waited, {ending:.3f} s while they were served")
    record_property("api_seconds_waiting", waiting)
    assert waiting < ONE_SECOND


def _hashes(files: list[dict[str, object]]) -> list[object]:
    return [file["hashes"]["sha256"] for file in files]  # type: ignore[index]  # the JSON page of PEP 691


def test_clients_that_leave__the_build_goes_on_and_the_server_answers(
    own: MakeLive, record_property: Callable[[str, object], None]
) -> None:
    live = own("--forkbuilder-hold", "0", threads=50)
    fork = live.host.fork("inline")
    index = live.index_of(fork)
    gate = live.host.git.hold(fork.name)
    for _ in range(60):
        with socket.create_connection(("127.0.0.1", live.server.port)) as connection:
            connection.sendall(
                f"GET /{index}/+simple/inline/ HTTP/1.1\r\nHost: x\r\nUser-Agent: pip/26.3\r\n\r\n".encode()
            )
    gate.wait_until_reached()
    slowest = _slowest(live, lambda: live.metric("held_requests") == 0)  # the next newlines find nobody
    assert live.state(index, "inline")["state"] == "fetching"
    gate.open()
    assert live.wait_for(index, "inline")["state"] == "built"
    assert list(live.files(index, "inline")) == [wheel_of(fork)]
    assert live.host.git.fetches(fork.name) == 1
    print(f"/+api took {slowest:.3f} s at most while 60 clients had left")
    record_property("api_seconds", slowest)
    assert slowest < ONE_SECOND


def test_half_of_the_threads__beyond_them_busy(own: MakeLive) -> None:
    live = own("--forkbuilder-hold", "0", threads=8)
    fork = live.host.fork("inline")
    index = live.index_of(fork)
    gate = live.host.git.hold(fork.name)
    clients = [Client(live, index, "inline") for _ in range(4)]
    threads = in_threads(list(clients))
    live.wait_for_metric("held_requests", lambda held: held == 4)
    busy = live.page(index, "inline").check()
    assert "/failed/busy/" in busy.json["files"][0]["url"]
    gate.open()
    for thread in threads:
        thread.join(60)
    assert [client.answer[0] for client in clients if client.answer] == [200] * 4
    assert [file["filename"] for file in live.page(index, "inline").check().json["files"]] == [wheel_of(fork)]


def test_half_of_the_threads__pip_takes_no_namesake(own: MakeLive, pip_new: Pip, uv: Uv, tmp_path: Path) -> None:
    """A 503 made pip install what the second index has of this version."""
    live = own("--forkbuilder-hold", "0", threads=2)
    fork = live.host.fork("inline")
    index = live.index_of(fork)
    gate = live.host.git.hold(fork.name)
    (thread,) = in_threads([Client(live, index, "inline")])
    live.wait_for_metric("held_requests", lambda held: held == 1)
    target = tmp_path / "target"
    with public_index(tmp_path / "public") as public:
        public.add_wheel("inline", "1.0.2")
        # uv gives an extra index the first word, whatever the other says
        for client, arguments in ((pip_new, ("--extra-index-url", public.url)), (uv, ())):
            failed = client.install(live.url(index), "inline==1.0.2", arguments=arguments, target=target)
            assert failed.returncode != 0
            assert "busy, ask again" in failed.output
            assert not target.exists() or not list(target.glob("inline*"))
    gate.open()
    thread.join(60)


def test_many_pins__all_are_built_by_two_workers(own: MakeLive) -> None:
    live = own("--forkbuilder-workers", "2", threads=64)
    forks = [live.host.fork("inline", project=f"fork-{number}") for number in range(12)]
    index = live.index_of(*forks)
    clients = [Client(live, index, fork.project) for fork in forks]
    for thread in in_threads(list(clients)):
        thread.join(120)
    names = [client.answer and [file["filename"] for file in client.answer[1]] for client in clients]
    assert names == [[wheel_of(fork)] for fork in forks]
    assert live.metric("built_total") == len(forks)
    assert [live.host.git.fetches(fork.name) for fork in forks] == [1] * len(forks)


@pytest.mark.timeout(180)
def test_a_build_of_40_seconds__pip_and_uv_wait(live: Live, pip_old: Pip, pip_new: Pip, uv: Uv, tmp_path: Path) -> None:
    _long_build(live, 40, {"old": pip_old, "new": pip_new, "uv": uv}, tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_build_of_180_seconds__pip_and_uv_wait(
    live: Live, pip_old: Pip, pip_new: Pip, uv: Uv, tmp_path: Path
) -> None:
    _long_build(live, 180, {"old": pip_old, "new": pip_new, "uv": uv}, tmp_path)


def _long_build(live: Live, seconds: int, clients: dict[str, Pip | Uv], folder: Path) -> None:
    """All at the same time, each with the time-outs that it has by itself."""
    fork = live.host.slow(seconds)
    index = live.index_of(fork)
    running = {
        name: client.start(live.url(index), "slow==1.0.2", target=folder / name) for name, client in clients.items()
    }
    for name, process in running.items():
        result = process.wait(seconds + 90).check()
        assert result.seconds > seconds
        assert "retry" not in result.output.lower()
        assert (folder / name / "slow.py").is_file()
    assert live.host.git.fetches(fork.name) == 1
