"""The index over HTTP: passing faults, busy servers, cut answers, logins. The server answers what it is told."""

from __future__ import annotations

import base64
import hashlib
import io
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from devpi_forkbuilder.domain.compat.targets import Client
from devpi_forkbuilder.domain.simple.simplepage import JSON, ListedFile
from devpi_forkbuilder.warming.protocols import NotFetchedError
from devpi_forkbuilder.warming.thread_pool import each
from devpi_forkbuilder.warming.web import BUSY_TRIES, TRIES, IndexUrl, Web

WHO = Client("cpython", (3, 11), "linux", "x86_64", "glibc", (2, 36))
BODY = b"some bytes"
DIGEST = hashlib.sha256(BODY).hexdigest()
Reply = tuple[int, dict[str, str], bytes]


class Told:
    """Answers `replies` in turn, the last for ever; `asked` has the requests' headers."""

    def __init__(self, *replies: Reply) -> None:
        self.replies = list(replies)
        self.asked: list[dict[str, str]] = []
        self.url = ""

    def next(self) -> Reply:
        return self.replies.pop(0) if self.replies[1:] else self.replies[0]


@contextmanager
def serving(told: Told) -> Iterator[Told]:
    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            told.asked.append({"method": self.command, **{key.lower(): value for key, value in self.headers.items()}})
            status, headers, body = told.next()
            self.send_response(status, headers.get("phrase"))
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        do_GET = answer  # noqa: N815  (http.server's names)
        do_HEAD = answer  # noqa: N815

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the signature is the base's
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        told.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield told
        finally:
            server.shutdown()
            thread.join()


class Pauses(list[float]):
    """Waits for nothing, and remembers how long it should have."""

    def __call__(self, seconds: float) -> None:
        self.append(seconds)


def web(told: Told, login: str = "") -> tuple[Web, Pauses]:
    pauses = Pauses()
    return Web(IndexUrl.parse(told.url.replace("//", f"//{login}") + "/u/i"), pauses), pauses


def listed(told: Told, sha256: str = DIGEST) -> ListedFile:
    return ListedFile("a-1.tar.gz", f"{told.url}/u/i/+f/a-1.tar.gz", sha256)


FINE: Reply = (200, {}, BODY)


@pytest.mark.parametrize(
    "fault", [(503, {}, b""), (500, {}, b""), (429, {}, b""), (200, {"Content-Length": "99"}, BODY)]
)
def test_fetch__passing_faults_are_tried_again(fault: Reply) -> None:
    with serving(Told(fault, fault, FINE)) as told:
        found, pauses = web(told)
        into = io.BytesIO(b"left over from somebody")
        assert found.fetch(listed(told), into).sha256 == DIGEST
        assert into.getvalue() == BODY
    assert pauses == [0.5, 1.0]


def test_fetch__is_given_up_after_some_tries() -> None:
    with serving(Told((502, {"phrase": "Out of order"}, b""))) as told:
        found, pauses = web(told)
        with pytest.raises(NotFetchedError, match="502 Out of order"):
            found.fetch(listed(told))
    assert len(told.asked) == TRIES
    assert len(pauses) == TRIES - 1


def test_fetch__a_busy_server_is_asked_when_it_says() -> None:
    with serving(Told(*([(503, {"Retry-After": "7"}, b"")] * 10), FINE)) as told:
        found, pauses = web(told)
        found.fetch(listed(told))
    assert pauses == [7.0] * 10
    assert BUSY_TRIES > 10


def test_fetch__a_final_answer_is_told_with_its_phrase() -> None:
    with serving(Told((424, {"phrase": "Build of a 1 from 1a2b3c4 failed"}, b""))) as told:
        found, pauses = web(told)
        with pytest.raises(NotFetchedError, match="424 Build of a 1 from 1a2b3c4 failed"):
            found.fetch(listed(told))
    assert not pauses


def test_fetch__other_content_than_the_page_says() -> None:
    with serving(Told(FINE)) as told, pytest.raises(NotFetchedError, match="its page says"):
        web(told)[0].fetch(listed(told, "0" * 64))


def test_fetch__nobody_there() -> None:
    with serving(Told(FINE)) as told:
        found, _ = web(told, "me:secret@")
    with pytest.raises(NotFetchedError, match="the connection failed") as error:
        found.fetch(listed(told))
    assert "secret" not in str(error.value)


def test_login__goes_to_the_index_alone() -> None:
    with serving(Told(FINE)) as other, serving(Told(FINE)) as told:
        found, _ = web(told, "me:s%40cret@")
        found.fetch(listed(told))
        found.fetch(listed(other))
    assert told.asked[0]["authorization"] == "Basic " + base64.b64encode(b"me:s@cret").decode()
    assert "authorization" not in other.asked[0]
    assert "secret" not in found.index.pages
    assert "me:s%40cret@" in found.index.with_auth


DEVPI = {"Content-Type": JSON, "X-DEVPI-SERVER-VERSION": "6.20.3"}
PAGE: Reply = (200, DEVPI, b'{"files": []}')
KNOWN: Reply = (200, {"Content-Type": "application/json"}, b'{"result": {"last_modified": "now"}}')
UNKNOWN: Reply = (200, {"Content-Type": "application/json"}, b'{"result": {"hash_spec": "x"}}')


@pytest.mark.parametrize(
    ("replies", "expected"),
    [
        ((PAGE, UNKNOWN), False),
        ((PAGE, KNOWN, (200, {"Cache-Control": "max-age=9, immutable"}, b"")), True),
        ((PAGE, KNOWN, (200, {}, b"")), False),
        ((PAGE, (200, {"Content-Type": "application/octet-stream"}, BODY)), True),
        (((200, {"Content-Type": JSON}, b'{"files": []}'), KNOWN), False),
    ],
    ids=["never-had", "on-disk", "elsewhere", "web-server-before-it", "no-devpi"],
)
def test_has__asks_without_having_it_fetched(replies: tuple[Reply, ...], expected: bool) -> None:
    with serving(Told(*replies)) as told:
        found, _ = web(told)
        found.page("a", WHO)
        assert found.has(listed(told)) is expected
        methods = [one["method"] for one in told.asked]
        assert methods[2:] == (["HEAD"] if len(replies) == 3 else [])


def test_page__says_what_is_installed_for() -> None:
    with serving(Told(PAGE)) as told:
        web(told)[0].page("a", WHO)
    assert Client.of_user_agent(told.asked[0]["user-agent"]) == WHO


@pytest.mark.parametrize("reply", [(200, DEVPI, b"<html>"), (404, {}, b"")])
def test_page__what_is_none(reply: Reply) -> None:
    with serving(Told(reply)) as told, pytest.raises(NotFetchedError):
        web(told)[0].page("a", WHO)


@pytest.mark.parametrize(
    ("text", "pages"),
    [
        ("http://h/u/i", "http://h/u/i/+simple/"),
        ("http://h/u/i/+simple", "http://h/u/i/+simple/"),
        ("https://h:1/x/u/i/+simple/", "https://h:1/x/u/i/+simple/"),
        ("https://h/simple/", "https://h/simple/"),
    ],
)
def test_index_url__as_people_write_it(text: str, pages: str) -> None:
    assert IndexUrl.parse(text).pages == pages


@pytest.mark.parametrize("text", ["", "h/u/i", "ftp://h/u/i", "http:///u/i"])
def test_index_url__what_is_none(text: str) -> None:
    with pytest.raises(ValueError, match="write http"):
        IndexUrl.parse(text)


def test_each__all_in_parallel_and_each_once() -> None:
    both = threading.Barrier(3, timeout=30)

    def work(number: int) -> int:
        both.wait()  # three at once, or it breaks
        return number * 2

    assert sorted(each(work, range(9), 3)) == [(number, number * 2) for number in range(9)]
    assert list(each(work, [], 3)) == []


def test_each__an_exception_is_raised_where_the_work_was_asked_for() -> None:
    def work(number: int) -> int:
        raise OSError(number)

    with pytest.raises(OSError, match="1"):
        list(each(work, [1], 3))


def test_open__a_dead_port_is_said_at_once() -> None:
    pauses: list[float] = []
    with socket.socket() as held:  # bound and not listening: a connection is refused
        held.bind(("127.0.0.1", 0))
        web = Web(IndexUrl.parse(f"http://127.0.0.1:{held.getsockname()[1]}/me/forks"), pauses.append)
        with pytest.raises(NotFetchedError, match=r"the connection failed .*refused"):
            web.open()
    assert pauses == []


def test_open__an_index_that_is_not_there_is_said_at_once() -> None:
    with serving(Told((404, {}, b""))) as told:
        web = Web(IndexUrl.parse(f"{told.url}/me/forks"), pytest.fail)
        with pytest.raises(NotFetchedError, match="there is no such index"):
            web.open()
        assert len(told.asked) == 1
    with serving(Told((503, {}, b""))) as told:
        Web(IndexUrl.parse(f"{told.url}/me/forks"), pytest.fail).open()
    with serving(Told((403, {}, b""))) as told:
        Web(IndexUrl.parse(f"{told.url}/me/forks"), pytest.fail).open()
