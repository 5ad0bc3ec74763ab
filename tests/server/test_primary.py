"""The primary behind a proxy that compresses whatever it is allowed to."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any

import pytest
from devpi_server.httpclient import HTTPClient
from pyramid.request import Request

from devpi_forkbuilder.devpi import primary as module
from devpi_forkbuilder.devpi.primary import PrimaryServer
from devpi_forkbuilder.domain.states import State
from devpi_forkbuilder.domain.trace import TraceParent
from devpi_forkbuilder.pipeline.tracing import traced
from devpi_forkbuilder.service.replica.client import PrimaryBusyError, PrimaryUnreachableError
from tests.service.fakes import order

STATE = {
    "commit": order().pin.commit,
    "version": order().key.version,
    "subdirectory": order().key.subdirectory or None,
    "state": "building",
    "error": None,
    "queued_at": 1.0,
    "started_at": 2.0,
    "finished_at": None,
    "seconds": {},
}
BODY = json.dumps({"result": [STATE]}).encode()


class Gzipping(BaseHTTPRequestHandler):
    """Answers with `BODY`."""

    asked: list[str]
    traces: list[str] = []

    def do_GET(self) -> None:
        self.asked.append(self.path)
        self.traces.append(self.headers.get("traceparent", ""))
        packs = "gzip" in self.headers.get("Accept-Encoding", "")
        body = gzip.compress(BODY) if packs else BODY
        self.send_response(200)
        self.send_header("X-DEVPI-SERIAL", "7")
        self.send_header("Content-Length", str(len(body)))
        if packs:
            self.send_header("Content-Encoding", "gzip")
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.do_GET()

    def log_message(self, *_: Any) -> None:
        pass


class Client:
    """devpi's own client, with an identity that is not looked at."""

    def __init__(self, _xom: Any) -> None:
        self.http = HTTPClient(component_name="test", timeout=5)

    def get_extra_headers(self, headers: dict[str, str]) -> dict[str, str]:
        return dict(headers)

    def close(self) -> None:
        self.http.close()


@pytest.fixture
def asked() -> list[str]:
    return []


@pytest.fixture
def primary(monkeypatch: pytest.MonkeyPatch, asked: list[str]) -> Iterator[PrimaryServer]:
    monkeypatch.setattr(module, "ReplicaHTTPClient", Client)
    handler = type("Handler", (Gzipping,), {"asked": asked})
    with HTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        url = SimpleNamespace(url=f"http://127.0.0.1:{server.server_port}/")
        made = PrimaryServer(SimpleNamespace(config=SimpleNamespace(primary_url=url, offline_mode=False)))
        yield made
        made.close()
        server.shutdown()
        thread.join()


def test_primary__is_understood_behind_a_proxy_that_compresses(primary: PrimaryServer) -> None:
    assert primary.miss(order().key, 5).record.state is State.BUILDING
    assert primary.poll(order().key, 1).serial == 7


def test_forward__a_client_that_takes_no_gzip_gets_none(primary: PrimaryServer) -> None:
    response = primary.forward(Request.blank("/main/forks/+forks/alpha"), 0)
    assert (response.body, response.headers.get("Content-Encoding")) == (BODY, None)


@pytest.mark.parametrize(
    ("query", "patience", "passed"),
    [
        ("wait=9&python=3.11%2B", 9.0, "?wait=9&python=3.11%2B"),
        ("wait=9&python=3.11%2B", 0.0, "?python=3.11%2B"),
        ("wait=9", 0.0, ""),
    ],
)
def test_forward__without_patience_the_primary_is_not_asked_to_wait(
    primary: PrimaryServer, asked: list[str], query: str, patience: float, passed: str
) -> None:
    primary.forward(Request.blank(f"/main/forks/+forks/alpha?{query}"), patience)
    (path,) = asked
    assert path.partition("/alpha")[2] == passed


def test_forward__a_client_that_takes_gzip_gets_it(primary: PrimaryServer) -> None:
    request = Request.blank("/main/forks/+forks/alpha", headers={"Accept-Encoding": "gzip"})
    response = primary.forward(request, 0)
    assert (gzip.decompress(response.body), response.headers["Content-Encoding"]) == (BODY, "gzip")


def test_trace__is_handed_on_with_an_id_of_each_call(primary: PrimaryServer) -> None:
    Gzipping.traces.clear()
    trace = TraceParent("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", "01")
    with traced(trace):
        primary.miss(order().key, 5)
        primary.poll(order().key, 0)
    found = [TraceParent.parse(header) for header in Gzipping.traces]
    assert [one and (one.trace_id, one.flags) for one in found] == [(trace.trace_id, "01")] * 2
    assert len({one.parent_id for one in (*found, trace) if one}) == 3


@pytest.mark.parametrize("lives", [True, False])
def test_miss__a_primary_that_takes_its_time_is_busy_if_it_answers_others(
    monkeypatch: pytest.MonkeyPatch, *, lives: bool
) -> None:
    over = threading.Event()

    class Slow(Gzipping):
        asked: list[str] = []

        def do_GET(self) -> None:
            if not lives:
                over.wait(30)
            super().do_GET()

        def do_POST(self) -> None:
            over.wait(30)

    monkeypatch.setattr(module, "LIVES", 1.0 if lives else 0.2)
    monkeypatch.setattr(module, "ReplicaHTTPClient", Client)
    with ThreadingHTTPServer(("127.0.0.1", 0), Slow) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        url = SimpleNamespace(url=f"http://127.0.0.1:{server.server_port}")
        primary = PrimaryServer(SimpleNamespace(config=SimpleNamespace(offline_mode=False, primary_url=url)))
        try:
            with pytest.raises(PrimaryUnreachableError) as caught:
                primary.miss(order().key, 0.2)
            assert isinstance(caught.value, PrimaryBusyError) == lives
        finally:
            over.set()
            primary.close()
            server.shutdown()
            thread.join(10)
