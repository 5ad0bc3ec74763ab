"""Upstream of a chained page hangs, cuts, or sends other content: never a 500, never a 404, never an empty page."""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from devpi_forkbuilder.errors import InfrastructureError
from tests.server.app import PIP, SIMPLE_JSON, App
from tests.server.conftest import MakeApp
from tests.server.test_miss import DEVPI

PAGE = b'{"meta":{"api-version":"1.0"},"name":"beta","files":[]}'
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/vnd.pypi.simple.v1+json\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\n\n\r\n"
ENDS = HEAD + b"Connection: close\r\n\r\n"
FAULTS: dict[str, tuple[bytes, bool]] = {
    "silent": (b"", True),
    "silent after a newline": (CHUNKED, True),
    "refuses to say anything": (b"", False),
    "cut after a newline": (CHUNKED, False),
    "cut in the page": (HEAD + b"Content-Length: 100\r\n\r\n" + PAGE[:20], False),
    "a newline alone": (ENDS + b"\n", False),
    "half a page that looks whole": (ENDS + PAGE[:20], False),
    "JSON of another kind": (ENDS + b"[]", False),
    "garbage": (b"\x00\x01\x02\r\n\r\n", False),
    "500": (b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n", False),
    "503": (b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nRetry-After: 5\r\n\r\n", False),
    "304 that was not asked for": (b"HTTP/1.1 304 Not Modified\r\n\r\n", False),
    "a redirect to itself": (b"HTTP/1.1 302 Found\r\nLocation: /+simple/beta/\r\nContent-Length: 0\r\n\r\n", False),
}
"""What upstream sends, and whether it leaves the connection open then."""


@contextmanager
def upstream(said: bytes, *, hangs: bool) -> Iterator[str]:
    """A server that answers so; the URL of its simple index."""
    over = threading.Event()

    class Answer(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            head = b""
            while b"\r\n\r\n" not in head and (data := self.request.recv(65536)):
                head += data
            self.request.sendall(said)
            if hangs:
                over.wait(30)

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True

    with Server(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/+simple/"
        finally:
            over.set()
            server.shutdown()
            thread.join(10)


@pytest.fixture
def app(make_app: MakeApp) -> App:
    return make_app("--forkbuilder-hold", "20", "--request-timeout", "1")


def ask(app: App, path: str, protocol: str, **headers: str) -> tuple[int, str]:
    """The status of a page and its body; of one that was cut off, the reason."""
    answer = app.request("GET", path, user=None, environ={"SERVER_PROTOCOL": protocol}, **headers)
    try:
        return answer.status_int, b"".join(answer.app_iter).decode()
    except InfrastructureError as error:
        return answer.status_int, f"cut off: {error}"


@pytest.mark.parametrize("fault", FAULTS)
def test_chained__upstream_misbehaves(app: App, fault: str) -> None:
    """devpi drops a mirror that has not answered and says 404, on which installers go on to another index."""
    said, hangs = FAULTS[fault]
    with upstream(said, hangs=hangs) as url:
        app.request("PUT", "/root/mirror", {"type": "mirror", "mirror_url": url, "mirror_no_project_list": True})
        app.make_index("root/chain", bases=["root/mirror"])
        for path in ("/root/chain/+simple/beta/", "/root/mirror/+simple/beta/")[: 1 if hangs else 2]:
            status, body = ask(app, path, "HTTP/1.1", Accept=SIMPLE_JSON, User_Agent=PIP)
            assert (status, "did not come from upstream" in body) == (200, True), (status, body)
            with pytest.raises(ValueError, match="Unterminated"):
                json.loads(body)
            status, body = ask(app, path, "HTTP/1.1", Accept="text/html", User_Agent=PIP)
            assert (status, body.startswith("cut off: ")) == (200, True), (status, body)
            assert ask(app, path, "HTTP/1.0", Accept="text/html", User_Agent=PIP)[0] == 503
            assert ask(app, path, "HTTP/1.1", Accept=SIMPLE_JSON, User_Agent=DEVPI)[0] == 503


def test_chained__what_upstream_does_not_have_is_404(app: App) -> None:
    with upstream(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", hangs=False) as url:
        app.request("PUT", "/root/mirror", {"type": "mirror", "mirror_url": url, "mirror_no_project_list": True})
        app.make_index("root/chain", bases=["root/mirror"])
        for path in ("/root/chain/+simple/beta/", "/root/mirror/+simple/beta/"):
            for user_agent in (PIP, DEVPI):
                assert ask(app, path, "HTTP/1.1", Accept=SIMPLE_JSON, User_Agent=user_agent)[0] == 404


def test_public__an_answer_that_is_no_page_is_a_bad_gateway(app: App) -> None:
    """Not a 500 of this server, nor a 404."""
    for fault in ("half a page that looks whole", "JSON of another kind", "304 that was not asked for"):
        said, hangs = FAULTS[fault]
        with upstream(said, hangs=hangs) as url:
            public = url.replace("+simple", "simple")
            name = f"/root/public{len(fault)}"
            app.request("PUT", name, {"type": "mirror", "mirror_url": public, "mirror_no_project_list": True})
            status, body = ask(app, f"{name}/+simple/beta/", "HTTP/1.1", Accept=SIMPLE_JSON, User_Agent=PIP)
            assert status == 502, (fault, status, body)
