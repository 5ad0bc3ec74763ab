"""The webhook: what it is told, signed how, tried how often; and nothing ever waits for it."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
from collections.abc import Iterator, Mapping
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from devpi_forkbuilder.domain.states import State
from devpi_forkbuilder.errors import Kind
from devpi_forkbuilder.service import webhook as module
from devpi_forkbuilder.service.records import Failure, Record
from devpi_forkbuilder.service.webhook import Webhook, send
from tests.service.fakes import ManualClock, order

SECRET = b"a secret"
BUILT = Record(order().key, State.BUILT, attempts=1, seconds={"fetch": 0.1, "build": 2.0})
FAILURE = Failure(Kind.SOURCE, "host-unreachable", State.FETCHING, "https://joe:hunter2@h/x does not answer.")
FAILED = Record(order().key, State.FAILED, attempts=1, error=FAILURE, seconds={"fetch": 0.1})


class Receiver:
    """Answers with the next of `statuses`, then 200; an exception is raised."""

    def __init__(self, *statuses: int | Exception) -> None:
        self.statuses = list(statuses)
        self.got: list[tuple[bytes, Mapping[str, str]]] = []

    def __call__(self, _url: str, body: bytes, headers: Mapping[str, str]) -> int:
        self.got.append((body, headers))
        status = self.statuses.pop(0) if self.statuses else 200
        if isinstance(status, Exception):
            raise status
        return status


def hook(receiver: Receiver, most: int = 10) -> Webhook:
    return Webhook("https://ci.example/x", SECRET, ManualClock(), receiver, most)


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAUSES", (0.001,) * 5)


def test_webhook__is_told_what_failed_recovered_and_was_built() -> None:
    receiver = Receiver()
    webhook = hook(receiver)
    other = replace(BUILT, key=order("beta").key)
    for record in (FAILED, other, BUILT, BUILT, replace(other, attempts=3), replace(BUILT, seconds={})):
        webhook.ended(record)
    while webhook.deliver_next(0) is not None:
        pass
    events = [json.loads(body)["event"] for body, _ in receiver.got]
    assert events == ["failed", "built", "recovered", "built", "recovered"]  # the last was served by another build
    assert [headers[module.EVENT] for _, headers in receiver.got] == events


def test_webhook__body_and_signature() -> None:
    receiver = Receiver()
    webhook = hook(receiver)
    webhook.ended(FAILED)
    assert webhook.deliver_next(0)
    ((body, headers),) = receiver.got
    wanted = hmac.new(SECRET, headers[module.TIMESTAMP].encode() + b"." + body, hashlib.sha256).hexdigest()
    assert headers[module.SIGNATURE] == f"sha256={wanted}"
    said = json.loads(body)
    assert (said["project"], said["order"], said["attempt"], len(said["trace"])) == ("alpha", order().key.id, 1, 32)
    assert said["error"]["reference"] == "host-unreachable"
    assert b"hunter2" not in body


def test_webhook__is_tried_again_with_the_same_delivery_and_given_up(caplog: pytest.LogCaptureFixture) -> None:
    receiver = Receiver(500, OSError("refused"), ValueError("odd"), 302)
    webhook = hook(receiver)
    webhook.ended(BUILT)
    assert webhook.deliver_next(0) is True
    assert len({headers[module.DELIVERY] for _, headers in receiver.got}) == 1
    assert len(receiver.got) == 5
    receiver.statuses = [503] * 20
    webhook.ended(BUILT)
    assert webhook.deliver_next(0) is False
    assert len(receiver.got) == 5 + 6
    assert "it answers 503" in caplog.text


def test_webhook__that_is_silent_holds_up_nothing(caplog: pytest.LogCaptureFixture) -> None:
    webhook = hook(Receiver(), most=2)
    for _ in range(5):
        webhook.ended(BUILT)
    assert caplog.text.count("is dropped") == 3


def test_webhook__stops_between_two_tries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAUSES", (1000.0,))
    webhook = hook(Receiver(500))
    webhook.ended(BUILT)
    webhook.stop()
    assert webhook.deliver_next(0) is False


@pytest.fixture
def host() -> Iterator[HTTPServer]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            asked.append((self.path, body, self.headers["X-A"]))
            self.send_response(302 if self.path == "/moved" else 204)
            self.send_header("Location", f"http://127.0.0.1:{server.server_port}/elsewhere")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    asked: list[tuple[str, bytes, str]] = []
    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        server.asked = asked  # type: ignore[attr-defined]  # for the test
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_send__over_http_follows_no_redirect(host: HTTPServer) -> None:
    root = f"http://127.0.0.1:{host.server_port}"
    assert send(f"{root}/hook", b"{}", {"X-A": "b"}) == 204
    assert send(f"{root}/moved", b"{}", {"X-A": "b"}) == 302
    assert host.asked == [("/hook", b"{}", "b"), ("/moved", b"{}", "b")]  # type: ignore[attr-defined]  # as above
    with pytest.raises(ValueError, match="web address"):
        send("file:///etc/passwd", b"", {})
