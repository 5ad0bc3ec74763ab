"""`+forks/+identity`: who may ask, what is answered while a name is computed, when it is known and when it is not."""

from __future__ import annotations

import time
from typing import Any

import pytest

from devpi_forkbuilder.errors import BuildError
from devpi_forkbuilder.service.identities import MOST
from tests.server.app import COMMIT, OTHER, App, HeldBuilder
from tests.server.conftest import MakeApp

URL = "https://git.example.com/org/unsaid.git"
ASKED = {"url": URL, "commit": COMMIT}
PLACE = "/root/forks/+forks/+identity"


def ask(app: App, **changes: Any) -> Any:
    return app.request("POST", PLACE, {**ASKED, **changes})


def answered(app: App, **changes: Any) -> Any:
    """The first answer that is no longer "computing"."""
    deadline = time.monotonic() + 20
    while (answer := ask(app, **changes)).status_int == 202:
        assert answer.json["result"] == {"state": "computing"}
        assert time.monotonic() < deadline
        time.sleep(0.01)  # the answer is asked for, as a client does
    return answer


def test_identity__is_computed_once_and_asked_for_until_it_is_there(app: App, builder: HeldBuilder) -> None:
    app.make_index()
    builder.gate.clear()
    assert [ask(app).status_int for _ in range(3)] == [202] * 3
    builder.gate.set()
    answer = answered(app)
    assert (answer.status_int, answer.json["type"]) == (200, "forkidentity")
    assert answer.json["result"] == {"state": "known", "project": "Called-This", "version": "1.0"}
    assert ask(app).status_int == 200
    (order,) = builder.identified
    assert (order.index, order.pin.url, order.pin.commit) == ("root/forks", URL, COMMIT)
    assert order.pins_url.endswith("/root/forks/+cached/"), "build requirements come from the index"
    assert app.config()["forks"] == [], "nothing is stored"


def test_identity__failure_is_reported_and_the_next_request_tries_again(app: App, builder: HeldBuilder) -> None:
    app.make_index()
    builder.failure = BuildError("hook-failed", "The back end failed.", next_step="Look.")
    error = {"reference": "hook-failed", "message": "The back end failed.", "next_step": "Look."}
    assert answered(app).json["result"] == {"state": "failed", "error": error}
    builder.failure = None
    assert answered(app).json["result"]["state"] == "known"
    assert len(builder.identified) == 2


def test_identity__a_foreign_error_shows_its_type_only(app: App, builder: HeldBuilder) -> None:
    app.make_index()
    builder.failure = ValueError("a secret")  # type: ignore[assignment]  # what no builder should raise
    answer = answered(app)
    assert answer.json["result"]["error"]["reference"] == "unexpected"
    assert "a secret" not in answer.text


def test_identity__other_subdirectories_and_commits_are_other_projects(app: App, builder: HeldBuilder) -> None:
    app.make_index()
    for changes in ({}, {"commit": OTHER}, {"subdirectory": "sub"}):
        answered(app, **changes)
    assert [(one.pin.commit, one.pin.subdirectory) for one in builder.identified] == [
        (COMMIT, None),
        (OTHER, None),
        (COMMIT, "sub"),
    ]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"url": URL}, "url and commit"),
        ({**ASKED, "more": "1"}, "url and commit"),
        ({**ASKED, "commit": 1}, "url and commit"),
        ([], "url and commit"),
        ({**ASKED, "commit": "main"}, "commit"),
        ({**ASKED, "commit": f"{COMMIT}#egg=other"}, "not a valid project name"),
        ({**ASKED, "subdirectory": "../up"}, "subdirectory"),
        ({**ASKED, "url": "https://user:pw@git.example.com/a.git"}, "user"),
        ({**ASKED, "url": "file:///etc"}, "allow-url"),
        ({**ASKED, "url": "https://127.0.0.1/a.git"}, "internet"),
    ],
)
def test_identity__what_could_not_be_pinned_is_not_run(
    app: App, builder: HeldBuilder, body: object, reason: str
) -> None:
    app.make_index()
    answer = app.request("POST", PLACE, body)
    assert answer.status_int == 400
    assert reason in answer.json["message"]
    assert "pw" not in answer.text
    assert builder.identified == []


def test_identity__is_for_those_who_may_pin(app: App, builder: HeldBuilder) -> None:
    app.make_index()
    app.request("PUT", "/joe", {"password": "secret"})
    app.request("PUT", "/joe/forks", {"type": "forkbuilder", "bases": []})
    assert app.request("POST", PLACE, ASKED, user="joe").status_int == 403
    assert app.request("POST", PLACE, ASKED, user=None).status_int in {401, 403}
    own = app.request("POST", "/joe/forks/+forks/+identity", ASKED, user="joe")
    assert own.status_int == 400
    assert "--forkbuilder-allow-user joe" in own.json["message"]
    app.request("PUT", "/root/plain", {"bases": []})
    assert app.request("POST", "/root/plain/+forks/+identity", ASKED).status_int == 404
    assert builder.identified == []


def test_identity__a_server_that_never_builds_says_so(make_app: MakeApp) -> None:
    app = make_app("--forkbuilder-cached-only")
    app.make_index()
    assert ask(app).status_int == 409


def test_identity__no_more_than_a_bounded_number_waits(app: App, builder: HeldBuilder) -> None:
    app.make_index()
    builder.gate.clear()
    answers = [ask(app, commit=f"{number:040x}") for number in range(MOST + 1)]
    assert [answer.status_int for answer in answers[:-1]] == [202] * MOST
    assert answers[-1].json["result"]["error"]["reference"] == "queue-full"
    builder.gate.set()
    answered(app, commit=f"{0:040x}")
    assert ask(app, commit="f" * 40).status_int == 202, "an answer that was there made room"
