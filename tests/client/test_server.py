from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import pytest

from devpi_forkbuilder.client.api_client import PinsNotTakenError, Server, ServerUnreachableError, connect
from devpi_forkbuilder.client.models import ClientError, ForkState
from devpi_forkbuilder.domain.pins.pins import Pin
from tests.client.told import A, told

ROOT = "http://devpi.example.com"
LINE = f"git+https://h.example.com/r@{A}#egg=r==1.0.2"
API = {"result": {"features": ["forkbuilder"], "authstatus": ["ok", "me", []]}}
CONFIG = {"result": {"type": "forkbuilder", "forks": [LINE]}}


@dataclass
class Response:
    status_code: int
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    reason: str = "Reason"

    def __post_init__(self) -> None:
        self.content = json.dumps(self.body).encode()
        if self.body is not None:
            self.headers = {"content-type": "application/json", **self.headers}

    def json(self) -> Any:
        return self.body


class Session:
    """Answers by path; notes every request. An exception is raised."""

    class SSLError(Exception):
        pass

    class Refused(Exception):  # noqa: N818  (stands for one of requests' names)
        pass

    Errors = (SSLError, Refused)

    def __init__(self, **answers: Response | Exception) -> None:
        self.answers = answers
        self.requests: list[tuple[str, str, dict[str, Any]]] = []

    def request(self, method: str, url: str, **more: Any) -> Response:
        self.requests.append((method, url, more))
        kind = "api" if url.endswith("+api") else "config" if url.endswith("me/forks") else "forks"
        answer = self.answers.get(f"{method.lower()}_{kind}") or self.answers[kind]
        if isinstance(answer, Exception):
            raise answer
        return answer


def server(session: Session, user: str | None = "me") -> Server:
    return Server(session, f"{ROOT}/", "me/forks", {"X-Devpi-Auth": "token"}, user, auth=None, cert=None)


def refused(session: Session, user: str | None = "me") -> ClientError:
    with pytest.raises(ClientError) as caught:
        server(session, user).states()
    assert "\n" not in caught.value.message
    return caught.value


def test_states__one_request_with_the_login_and_a_time_limit():
    session = Session(forks=Response(200, {"result": [told()]}))
    (state,) = server(session).states("r", wait=30)
    assert state.commit == A
    ((method, url, more),) = session.requests
    assert (method, url, more["params"]) == ("GET", f"{ROOT}/me/forks/+forks/r", {"wait": "30"})
    assert more["headers"]["X-Devpi-Auth"] == "token"
    assert more["timeout"] == (10, 90)
    assert more["allow_redirects"] is False


def test_states__of_one_interpreters_builds():
    session = Session(forks=Response(200, {"result": [told()]}))
    server(session).states(python="3.12")
    assert [more["params"] for _, _, more in session.requests] == [{"python": "3.12"}]


def test_log__of_one_interpreters_build():
    session = Session(forks=Response(200, {}))
    server(session).log(ForkState.read(told()), tail=3, python="3.12")
    assert [more["params"] for _, _, more in session.requests] == [{"tail": "3", "python": "3.12", "version": "1.0.2"}]


def test_pins__are_those_of_the_index():
    assert list(map(str, server(Session(config=Response(200, CONFIG))).pins())) == [LINE]


def test_change_pins__is_one_request():
    session = Session(config=Response(200, CONFIG))
    pin = Pin.parse(LINE)
    server(session).change_pins([pin], [pin])
    ((method, _, more),) = session.requests
    assert (method, more["json"]) == ("PATCH", [f"forks-={LINE}", f"forks+={LINE}"])


def test_change_pins__reasons_of_a_refusal_are_told_one_by_one():
    refusal = Response(400, {"message": "forks: line 1: a, b, forks: line 2: c"})
    session = Session(patch_config=refusal, config=Response(200, CONFIG))
    with pytest.raises(PinsNotTakenError) as caught:
        server(session).change_pins([], [])
    assert caught.value.messages == ("forks: line 1: a, b", "forks: line 2: c")


def test_change_pins__what_somebody_else_has_changed_meanwhile_stays():
    refusal = Response(400, {"message": "The 'forks' setting doesn't have value 'x'"})
    session = Session(patch_config=refusal, config=Response(200, CONFIG))
    with pytest.raises(ClientError, match="The pins of me/forks were changed by another user"):
        server(session).change_pins([Pin.parse(LINE.replace(A, "b" * 40))], [])


OTHER = Response(200, {"result": {"type": "stage"}})
PLAIN = Response(200, {"result": {"features": []}})
NO_LOGIN = Response(200, {"result": {"features": [], "authstatus": ["noauth", "", []]}})
MISSING = Response(404, {"message": "gone"})


@pytest.mark.parametrize(
    ("answers", "user", "reference", "text"),
    [
        ({"forks": Session.Refused("x")}, "me", "server-unreachable", f"{ROOT} cannot be reached (Refused)"),
        ({"forks": Session.SSLError("x")}, "me", "server-unreachable", "a certificate that is not trusted"),
        ({"forks": Response(502)}, "me", "server-answer", "answered 502 Reason. Try again"),
        ({"forks": Response(418, {"message": "tea\npot."})}, "me", "server-answer", "418 Reason: tea pot."),
        ({"forks": Response(302, headers={"location": "https://other"})}, "me", "server-moved", "https://other"),
        ({"forks": Response(200)}, "me", "no-devpi-answer", "does not come from a devpi server"),
        ({"forks": Response(200, {"result": [{"project": "r"}]})}, "me", "other-version", "same version"),
        ({"forks": Response(403)}, None, "not-logged-in", "devpi login USER"),
        ({"forks": Response(403), "api": Response(200, API)}, "me", "no-permission", "User me has no permission"),
        ({"forks": Response(403), "api": NO_LOGIN}, "me", "login-expired", "devpi login me"),
        ({"forks": Response(401), "api": Response(200, API)}, "me", "login-expired", "devpi login me"),
        ({"forks": MISSING, "api": PLAIN}, "me", "no-plugin", "does not have the plugin"),
        ({"forks": MISSING, "api": Response(200, API), "config": MISSING}, "me", "no-such-index", "no index me/forks"),
        ({"forks": MISSING, "api": Response(200, API), "config": OTHER}, "me", "other-index-type", "of type stage"),
        ({"forks": MISSING, "api": Response(200, API), "config": Response(200, CONFIG)}, "me", "not-found", "gone"),
    ],
)
def test_server__every_other_answer_is_told_in_one_line(answers, user, reference, text):
    error = refused(Session(**answers), user)
    assert error.reference == reference
    assert text in error.message


@pytest.mark.parametrize("result", [None, "text", 1, ["type"]])
def test_pins__of_what_is_no_devpi_server(result):
    with pytest.raises(ClientError) as caught:
        server(Session(config=Response(200, {"result": result}))).pins()
    assert caught.value.reference == "no-devpi-answer"


def test_pins__that_are_no_list():
    with pytest.raises(ClientError) as caught:
        server(Session(config=Response(200, {"result": {"type": "forkbuilder", "forks": 1}}))).pins()
    assert caught.value.reference == "no-devpi-answer"


@pytest.mark.parametrize("result", [None, "text", 1, ["type"]])
@pytest.mark.parametrize(
    ("status", "broken"), [(403, ["api"]), (401, ["api"]), (404, ["api"]), (404, ["config"])], ids=str
)
def test_server__a_reason_that_is_no_devpi_answer(status, broken, result):
    answers = {"api": Response(200, API), "config": Response(200, CONFIG)}
    answers.update(dict.fromkeys(broken, Response(200, {"result": result})))
    assert refused(Session(forks=Response(status), **answers)).reference == "no-devpi-answer"


@pytest.mark.parametrize(("status", "api"), [(404, {"features": 1}), (403, {"authstatus": 1})])
def test_server__a_reason_that_is_no_list(status, api):
    session = Session(forks=Response(status), api=Response(200, {"result": api}))
    assert refused(session).reference == "no-devpi-answer"


def test_server__only_what_may_change_by_itself_is_worth_a_new_try():
    assert isinstance(refused(Session(forks=Response(503))), ServerUnreachableError)
    assert not isinstance(refused(Session(forks=Response(400))), ServerUnreachableError)


class Current:
    index: str | None = None


class Hub:
    """devpi-client's, as far as `connect` knows it."""

    current = Current()

    def set_quiet(self) -> None:
        self.quiet = True


def test_connect__devpi_clients_own_failures_become_one_line():
    hub: Any = Hub()
    with pytest.raises(ClientError, match="No index is in use"):
        connect(hub)
    with pytest.raises(ClientError, match="could not connect to 'x': really"):
        hub.fatal("could not connect to 'x':\n  really")
    with pytest.raises(ClientError) as caught:
        hub.fatal("could not connect to 'https://me:a-secret@h.example.com/'")
    assert "a-secret" not in str(caught.value)
