"""Whatever a request waits for, it is answered in the same way: the contract of `web.waiting.waiter`."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from waitress.server import create_server

from tests.devpinames import CLOCK
from tests.publicindex import PublicIndex, public_index
from tests.server.app import COMMIT, PIP, SIMPLE_JSON, App, HeldBuilder, pin
from tests.server.conftest import MakeApp
from tests.server.test_miss import DEVPI, failure, in_background

FORK, CHAINED, PUBLIC, POLL = (
    "/root/forks/+simple/alpha/",
    "/root/chain/+simple/beta/",
    "/root/open/+simple/beta/",
    "/root/forks/+forks/alpha?wait=60",
)
STREAMS = (FORK, CHAINED, PUBLIC)
PAGES = ("fork", "chained", "public")


class Scene:
    """A server with everything that a request may wait for, all of it at a gate."""

    def __init__(self, app: App, public: PublicIndex, builder: HeldBuilder) -> None:
        self.app = app
        self.public = public
        self.builder = builder
        self._gate = public.gates[""] = threading.Event()  # of each page
        builder.gate.clear()
        app.request("PUT", "/root/chain-mirror", self._mirror(public.url.replace("/simple/", "/+simple/")))
        app.request("PUT", "/root/mirror", self._mirror(public.url))
        app.make_index("root/chain", bases=["root/chain-mirror"])
        app.make_index("root/open", bases=["root/mirror"])
        app.make_index("root/forks", pin())

    def _mirror(self, url: str) -> dict[str, object]:
        return {"type": "mirror", "mirror_url": url, "mirror_no_project_list": True}

    def open(self) -> None:
        """Everything ends now."""
        self.builder.gate.set()
        self._gate.set()

    def fail(self) -> None:
        """Everything fails now."""
        self.builder.failure = failure()
        for page in self.public.folder.glob("simple/beta/*"):
            page.unlink()
        self.open()

    def page(self, path: str, **headers: str) -> Any:
        return self.app.page(path, **headers)


@pytest.fixture
def make_scene(make_app: MakeApp, builder: HeldBuilder, tmp_path: Path) -> Iterator[Callable[..., Scene]]:
    with public_index(tmp_path / "public") as public:
        (public.folder / "+simple").symlink_to("simple")
        public.add("beta", "1.0")

        def make(*options: str) -> Scene:
            app = make_app("--forkbuilder-hold", "0", "--request-timeout", "60", *options)
            return Scene(app, public, builder)

        yield make
        builder.gate.set()
        for gate in public.gates.values():
            gate.set()


@pytest.fixture
def scene(make_scene: Callable[..., Scene]) -> Scene:
    return make_scene()


def seats_are_free(app: App) -> bool:
    return bool(app.context.seats.wait_until_empty(20))


@pytest.mark.parametrize("path", STREAMS)
def test_stream__begins_at_once_and_ends_with_the_page(scene: Scene, path: str) -> None:
    answer = scene.page(path)
    stream = iter(answer.app_iter)
    assert (answer.status_int, next(stream)) == (200, b"\n")
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Accel-Buffering"] == "no"
    assert "ETag" not in answer.headers
    assert scene.app.context.seats.taken == 1
    scene.open()
    assert len(json.loads(b"".join(stream))["files"]) == 1
    answer.app_iter.close()
    assert seats_are_free(scene.app)
    assert len(scene.app.files(path)) == 1


@pytest.mark.parametrize("path", STREAMS)
def test_stream__a_client_that_leaves_gives_its_thread_back_and_ends_nothing(scene: Scene, path: str) -> None:
    answer = scene.page(path)
    next(iter(answer.app_iter))
    answer.app_iter.close()
    # the work of a chained page has a thread of its own, and its seat with it
    assert scene.app.context.seats.taken == (1 if path == CHAINED else 0)
    scene.open()
    assert seats_are_free(scene.app)
    again = scene.page(path)
    assert len(json.loads(b"".join(again.app_iter))["files"]) == 1


def test_chained__threads_are_bounded_by_seats(scene: Scene) -> None:
    """Sixty clients that left had sixty threads once."""
    before = threading.active_count()
    for _ in range(20):
        answer = scene.page(CHAINED)
        if hasattr(answer.app_iter, "close"):
            answer.app_iter.close()
    assert scene.app.context.seats.taken == scene.app.context.seats.limit
    assert threading.active_count() - before <= scene.app.context.seats.limit + 2  # devpi's own for its HTTP client
    scene.open()
    assert seats_are_free(scene.app)


@pytest.mark.parametrize("path", STREAMS)
def test_stream__work_that_fails_is_no_empty_page(scene: Scene, path: str) -> None:
    answer = scene.page(path)
    stream = iter(answer.app_iter)
    next(stream)
    scene.fail()
    body = b"".join(stream)
    page = json.loads(body)
    assert page["name"] in {"alpha", "beta"}
    assert ("/failed/building/" in body.decode()) is (path == FORK)
    answer.app_iter.close()
    assert seats_are_free(scene.app)


def test_stream__time_is_up(make_scene: Callable[..., Scene]) -> None:
    scene = make_scene("--forkbuilder-wait", "0.1")
    answer = scene.page(FORK)
    assert "/failed/still-building/" in b"".join(answer.app_iter).decode()
    answer.app_iter.close()
    assert seats_are_free(scene.app)


def test_stream__the_server_stops(scene: Scene) -> None:
    answer = scene.page(FORK)
    stream = iter(answer.app_iter)
    next(stream)
    scene.builder.failure = failure()  # what fails while the server stops fails because it stops
    stopping, _ = in_background(scene.app.close)
    body = b"".join(stream).decode()
    answer.app_iter.close()
    stopping.join(30)
    assert "/failed/server-stopped/" in body


def full(scene: Scene) -> list[Any]:
    seats = scene.app.context.seats
    return [seats.take() for _ in range(seats.limit)]


def leave(taken: list[Any]) -> None:
    for seat in taken:
        seat.leave()


@pytest.mark.parametrize("accept", [SIMPLE_JSON, "text/html"])
def test_no_seat__a_pin_has_a_placeholder_that_says_busy(scene: Scene, accept: str) -> None:
    taken = full(scene)
    answer = scene.page(FORK, Accept=accept)
    leave(taken)
    assert answer.status_int == 200
    assert answer.headers["Cache-Control"] == "no-store"
    assert "ETag" not in answer.headers
    name = "alpha-1.0+20251120102233.g1a2b3c4d5e6f-py2.py3-none-any.whl"
    unknown = "alpha-1.0+0.g1a2b3c4d5e6f-py2.py3-none-any.whl"
    assert f"/failed/busy/{name}" in answer.text or f"/failed/busy/{unknown}" in answer.text
    told = scene.app.get(f"/root/forks/+forks/alpha/{COMMIT}/failed/busy/{name}")
    assert told.status_int == 424
    assert f"busy, ask again in {told.headers['Retry-After']} seconds" in told.status
    assert int(told.headers["Retry-After"]) in {5, 10}  # the build that was asked for is running, or waits for a worker
    scene.open()
    assert scene.app.context.seats.wait_until_empty(5)
    assert len(scene.app.files(FORK)) == 1


def test_no_seat__when_to_ask_again_follows_the_queue(scene: Scene) -> None:
    app = scene.app
    app.pin(*(pin(f"p{number}", f"{number:040x}") for number in range(12)), pin())
    for number in range(12):
        app.request("POST", f"/root/forks/+forks/p{number}/build", {})
    told = app.get(f"/root/forks/+forks/alpha/{COMMIT}/failed/busy/alpha-1.0-py3-none-any.whl")
    assert int(told.headers["Retry-After"]) >= 20
    assert f"ask again in {told.headers['Retry-After']} seconds" in told.status


def test_no_seat__a_caching_devpi_is_told_to_come_back(scene: Scene) -> None:
    taken = full(scene)
    for path in (FORK, CHAINED):
        answer = scene.page(path, User_Agent=DEVPI)
        assert answer.status_int == 503
        assert int(answer.headers["Retry-After"]) > 0
    leave(taken)


def test_no_seat__a_chained_page_is_no_page(scene: Scene) -> None:
    taken = full(scene)
    answer = scene.page(CHAINED)
    assert answer.status_int == 200
    with pytest.raises(ValueError, match="Unterminated"):
        json.loads(answer.text)
    assert "busy, ask again" in answer.text
    leave(taken)


def test_no_seat__one_address_has_half_of_them(scene: Scene) -> None:
    def ask(address: str) -> Any:
        return scene.app.request(
            "GET", FORK, user=None, environ={"REMOTE_ADDR": address}, User_Agent=PIP, Accept=SIMPLE_JSON
        )

    held = [ask("192.0.2.1"), ask("192.0.2.1")]
    assert "/failed/busy/" in ask("192.0.2.1").text
    held.append(ask("192.0.2.2"))
    assert scene.app.context.seats.taken == 3
    for answer in held:
        answer.app_iter.close()


def test_poll__ends_with_a_change_and_with_the_server(scene: Scene) -> None:
    for end in (scene.open, scene.app.close):
        scene.app.builder.gate.clear()
        scene.app.pin(pin(commit=f"{1 if end == scene.open else 2:040x}"))
        scene.app.request("POST", "/root/forks/+forks/alpha/build", {})
        polling, answers = in_background(lambda: scene.app.get(POLL, Accept="application/json"))
        deadline = time.monotonic() + 20
        while not scene.app.context.seats.taken and not answers and time.monotonic() < deadline:
            threading.Event().wait(0.01)
        end()
        polling.join(30)
        assert [answer.status_int for answer in answers] == [200]
        assert seats_are_free(scene.app)


def test_poll__without_a_seat_is_answered_at_once(scene: Scene) -> None:
    scene.app.request("POST", "/root/forks/+forks/alpha/build", {})
    taken = full(scene)
    assert scene.app.get(POLL, Accept="application/json").status_int == 200
    leave(taken)


@contextmanager
def listening(app: App) -> Iterator[int]:
    """The application behind waitress, as devpi-server has it; the port."""
    server = create_server(app.wsgi, host="127.0.0.1", port=0, threads=8)

    def run() -> None:
        with suppress(OSError):  # its sockets are closed while it waits for them
            server.run()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield int(server.effective_port)
    finally:
        deadline = time.monotonic() + 20
        while server.active_channels and time.monotonic() < deadline:
            threading.Event().wait(0.02)  # the client has closed its connection, and waitress sees it in a moment
        server.close()
        server.task_dispatcher.shutdown()
        thread.join(20)


def first_bytes(port: int, path: str) -> tuple[bytes, socket.socket]:
    """What comes over the line until the first byte of the body."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=30)
    connection.sendall(
        f"GET {path} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: {PIP}\r\nAccept: {SIMPLE_JSON}\r\n\r\n".encode()
    )
    said = b""
    while not said.partition(b"\r\n\r\n")[2]:
        said += connection.recv(1024)
    return said, connection


@pytest.mark.parametrize("path", STREAMS)
def test_stream__bytes_come_before_the_page_does(scene: Scene, path: str) -> None:
    with listening(scene.app) as port:
        said, connection = first_bytes(port, path)
        with connection:
            assert said.startswith(b"HTTP/1.1 200 OK")
            assert said.partition(b"\r\n\r\n")[2].startswith(b"1\r\n\n")
            assert not scene.builder.gate.is_set()
            scene.open()
            while not said.endswith(b"0\r\n\r\n"):
                said += connection.recv(4096)
    assert b'"files":[{' in said


def test_no_seat__a_chained_page_in_html_is_cut_off(scene: Scene) -> None:
    """A 5xx makes pip take a namesake from a second index. In HTTP/1.0 an end is not told from a cut."""

    def ask(port: int, first: str) -> bytes:
        with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
            connection.sendall(f"{first}\r\nHost: x\r\nUser-Agent: {PIP}\r\nAccept: text/html\r\n\r\n".encode())
            return b"".join(iter(lambda: connection.recv(4096), b""))

    taken = full(scene)
    with listening(scene.app) as port:
        said = ask(port, f"GET {CHAINED} HTTP/1.1")
        assert said.startswith(b"HTTP/1.1 200 OK")
        assert b"\r\nRetry-After: " in said
        assert said.endswith(b"\r\n\r\n1\r\n\n\r\n")  # no chunk of length 0 ends it
        assert b" 503 " in ask(port, f"GET {CHAINED} HTTP/1.0").splitlines()[0]
    leave(taken)


def test_chained__follows_upstream_when_its_page_expires(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    scene.open()
    scene.app.request("PATCH", "/root/chain-mirror", ["mirror_cache_expiry=100"])
    for _ in range(3):
        answer = scene.page(CHAINED)
        assert b"1.0" in b"".join(answer.app_iter)
    scene.public.add("beta", "2.0")
    now = time.time()
    monkeypatch.setattr(CLOCK, lambda: now + 200)
    assert b"beta-2.0" in b"".join(scene.page(CHAINED).app_iter)


def test_metrics__open_connections(app: App) -> None:
    with listening(app) as port:
        silent = [socket.create_connection(("127.0.0.1", port), timeout=30) for _ in range(3)]
        said, connection = first_bytes(port, "/+forkbuilder/metrics")
        with connection:
            while b"open_connections 4" not in said:
                said += connection.recv(65536) or pytest.fail(said.decode())
        for one in silent:
            one.close()
