"""Log lines of builds: one for each change, with ids that lead from a request to its build."""

from __future__ import annotations

import json
import logging
import sys
from typing import Any

import pytest

from devpi_forkbuilder.domain.pins.orders import OrderKey
from devpi_forkbuilder.errors import SourceError
from devpi_forkbuilder.pipeline.tracing import current_trace, next_hop, traced
from devpi_forkbuilder.service import log_lines
from tests.server.app import COMMIT, App, pin
from tests.server.conftest import MakeApp

LOGGER = "devpi_forkbuilder.service.build_events"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01"
KEY = OrderKey("root/forks", "alpha", COMMIT, "1.0", "", "")


def events(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    return [record.forkbuilder for record in caplog.records if record.name == LOGGER]  # type: ignore[attr-defined]  # extra


def test_events__one_for_each_state_with_the_ids_of_the_request(app: App, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, LOGGER)
    app.make_index("root/forks", pin())
    app.files("/root/forks/+simple/alpha/", traceparent=PARENT)
    found = events(caplog)
    run = ["fetching", "building", "checking", "publishing", "built"]
    assert [one["event"] for one in found if one["event"] != "queued"] == run
    assert len(found) == len(run) + 1  # the one who asks says that it is queued: a worker may have begun by then
    assert {(one["order"], one["attempt"], one["trace"]) for one in found} == {(KEY.id, 1, TRACE)}
    (built,) = (one for one in found if one["event"] == "built")
    assert (built["project"], built["commit"]) == ("alpha", COMMIT)
    assert set(built["seconds"]) == {"fetch", "build", "check", "publish"}
    text = [record.getMessage() for record in caplog.records if record.name == LOGGER]
    assert all(f"[order {KEY.id}, attempt 1, trace {TRACE}]" in line for line in text)


def test_events__a_later_attempt_and_a_trace_of_its_own(app: App, caplog: pytest.LogCaptureFixture) -> None:
    app.make_index("root/forks", pin())
    app.builder.failure = SourceError("host-unreachable", "https://joe:hunter2@git.example.com/x does not answer.")
    app.files("/root/forks/+simple/alpha/", traceparent="00-not-a-trace-01")
    caplog.set_level(logging.INFO, LOGGER)
    app.request("POST", "/root/forks/+forks/alpha/build", {"force": True}, traceparent=PARENT)
    app.files("/root/forks/+simple/alpha/")
    found = events(caplog)
    assert {(one["attempt"], one["trace"]) for one in found[1:]} == {(2, TRACE)}
    assert found[0]["trace"] not in {TRACE, ""}
    last = next(one for one in found[1:] if one["event"] == "failed")
    assert (last["kind"], last["stage"], last["reference"]) == ("source", "building", "host-unreachable")
    assert not any("hunter2" in record.getMessage() for record in caplog.records)


def test_json__has_one_object_a_line_without_secrets(make_app: MakeApp, monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[bool] = []
    monkeypatch.setattr("devpi_forkbuilder.plugin.write_json", lambda: used.append(True))
    make_app()
    assert used == []
    make_app("--forkbuilder-log-format", "json")
    assert used == [True]


def line_of(message: str, *arguments: object, **extra: object) -> dict[str, Any]:
    try:
        raise ValueError("https://joe:hunter2@git.example.com")
    except ValueError:
        raised = sys.exc_info()
    record = logging.LogRecord("a.b", logging.WARNING, "x.py", 1, message, arguments, raised if extra else None)
    record.__dict__.update(extra)
    text = log_lines.JsonLines().format(record)
    assert "\n" not in text
    assert "hunter2" not in text
    found: dict[str, Any] = json.loads(text)
    return found


def test_json_lines__fields_exceptions_and_masks() -> None:
    found = line_of("%s is\nodd", "https://joe:hunter2@git.example.com/x")
    assert (found["level"], found["logger"], found["time"][-1]) == ("warning", "a.b", "Z")
    assert found["message"].endswith("git.example.com/x is\nodd")
    found = line_of("built", forkbuilder={"trace": TRACE, "error": "https://joe:hunter2@h/x", "attempt": 1})
    assert (found["trace"], found["attempt"]) == (TRACE, 1)
    assert "ValueError" in found["exception"]


def test_write_json__reaches_the_handlers_of_devpi_and_our_own(monkeypatch: pytest.MonkeyPatch) -> None:
    root, own = logging.getLogger(), logging.getLogger(log_lines.OWN)
    handlers = logging.StreamHandler(), logging.StreamHandler()
    for logger, handler in zip((root, own), handlers, strict=True):
        monkeypatch.setattr(logger, "handlers", [handler])
    log_lines.write_json()
    assert all(isinstance(handler.formatter, log_lines.JsonLines) for handler in handlers)


def test_next_hop__is_the_same_trace_with_an_id_of_its_own() -> None:
    with traced(None):
        first = current_trace()
    with traced(first):
        told = next_hop()
    assert (told.trace_id, told.parent_id == first.parent_id) == (first.trace_id, False)
    assert current_trace().trace_id != first.trace_id
