"""A server through which nothing is changed."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from devpi_forkbuilder.web.tweens.readonly import MESSAGE
from tests.server.app import PASSWORD, App

MakeApp = Callable[..., App]


@pytest.fixture
def closed(make_app: MakeApp) -> App:
    return make_app("--forkbuilder-read-only")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", "/root/forks"),
        ("PATCH", "/root/forks"),
        ("DELETE", "/root/forks"),
        ("PUT", "/somebody"),
        ("POST", "/root/forks/"),
        ("POST", "/root/forks/+forks/alpha/build"),
        ("POST", "/root/forks/+forks/alpha/miss/more"),
        ("POST", "/root/forks/+simple/alpha/refresh"),
    ],
)
def test_readonly__refuses_changes_even_roots(closed: App, method: str, path: str) -> None:
    answer = closed.request(method, path, {})
    assert (answer.status_int, answer.json["message"]) == (403, MESSAGE)


def test_readonly__reads_logins_and_misses_pass(closed: App) -> None:
    assert closed.get("/+api", Accept="application/json").status_int == 200
    assert closed.request("POST", "/+login", {"user": "root", "password": PASSWORD}, user=None).status_int == 200
    # there is no such index here, and it is devpi that says so
    assert closed.request("POST", "/root/forks/+forks/alpha/miss", {}).status_int == 404


def test_readonly__only_when_it_is_asked_for(app: App) -> None:
    assert app.make_index().status_int == 200
