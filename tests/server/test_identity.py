"""Logins of builds: what they may read, and that it is all they may."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import pytest
from pluggy import HookimplMarker

from devpi_forkbuilder.pipeline.frontend.index_tokens import USER, IndexTokens
from tests.server.app import COMMIT, PIP, SIMPLE_JSON, App, pin

hookimpl = HookimplMarker("devpiserver")
PAGE = "/root/forks/+simple/alpha/"


class Readers:
    """A plugin by which an index has readers: those that its title names."""

    @hookimpl
    def devpiserver_stage_get_principals_for_pkg_read(self, ixconfig: Mapping[str, Any]) -> list[str] | None:
        title = str(ixconfig.get("title", ""))
        return title.split()[1:] if title.startswith("readers") else None


@pytest.fixture
def closed(app: App) -> App:
    app.xom.config.pluginmanager.register(Readers())
    app.make_index("root/forks", pin(), title="readers alice")
    app.request("PUT", "/alice", {"password": "secret"})
    app.request("PUT", "/bob", {"password": "secret"})
    return app


def with_pass(app: App, password: str, path: str, method: str = "GET", body: object = None, user: str = USER) -> Any:
    token = base64.b64encode(f"{user}:{password}".encode()).decode()
    headers = {"Authorization": f"Basic {token}", "User_Agent": PIP, "Accept": SIMPLE_JSON}
    return app.request(method, path, body, user=None, **headers)


def test_pass__reads_the_index_it_is_for(closed: App) -> None:
    with closed.context.index_tokens.issue("root/forks") as secret:
        page = with_pass(closed, secret.reveal(), PAGE)
        assert page.status_int == 200
        [file] = page.json["files"]
        path = "/root/forks/" + file["url"].partition("#")[0].removeprefix("../../")
        assert with_pass(closed, secret.reveal(), path).body.startswith(b"PK")
        assert with_pass(closed, secret.reveal(), "/root/forks/+cached/alpha/").status_int == 200
    assert with_pass(closed, secret.reveal(), PAGE).status_int == 401
    assert closed.page(path).status_int in {401, 403}


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/root/forks/+forks/alpha/build", {"force": True}),
        ("POST", "/root/forks/+forks/alpha/miss", {}),
        ("PATCH", "/root/forks", ["volatile=False"]),
        ("DELETE", "/root/forks", None),
        ("DELETE", "/root/forks/alpha", None),
        ("PUT", "/root/more", {"type": "stage"}),
        ("PATCH", "/root", {"password": "another"}),
        ("GET", "/+changelog/0", None),
        ("GET", "/+changelog/0-", None),
    ],
)
def test_pass__changes_nothing_and_replicates_nothing(closed: App, method: str, path: str, body: object) -> None:
    with closed.context.index_tokens.issue("root/forks") as secret:
        assert with_pass(closed, secret.reveal(), path, method, body).status_int in {400, 401, 403}
    assert closed.config()["volatile"] is True
    assert closed.builder.orders == []


def test_pass__is_for_one_index(closed: App) -> None:
    closed.make_index("root/other", pin("beta"), title="readers alice")
    with closed.context.index_tokens.issue("root/forks") as secret:
        for path in ("/root/other/+simple/beta/", "/root/other/+forks", f"/root/other/+forks/beta/{COMMIT}/log"):
            assert with_pass(closed, secret.reveal(), path).status_int in {401, 403}
    assert closed.builder.orders == []


@pytest.mark.parametrize(
    ("readers", "base", "allowed"),
    [
        ("readers alice", "", True),
        ("readers alice", "readers alice bob", True),
        ("readers alice", "readers :AUTHENTICATED:", True),
        ("readers alice", "readers bob", False),
        ("readers alice bob", "readers alice", False),
        ("readers :AUTHENTICATED:", "readers alice", False),
        ("", "readers :AUTHENTICATED:", False),
        ("", "readers alice", False),
    ],
)
def test_pass__reads_bases_that_every_reader_may_read(closed: App, readers: str, base: str, *, allowed: bool) -> None:
    """Anybody can put an index on top of one that he may not read; a build there must not carry it out."""
    closed.make_index("root/base", pin("beta"), title=base)
    closed.request("PATCH", "/root/forks", [f"title={readers}", "bases=root/base"])
    with closed.context.index_tokens.issue("root/forks") as secret:
        answer = with_pass(closed, secret.reveal(), "/root/base/+simple/beta/")
    assert (answer.status_int == 200) is allowed


@pytest.mark.parametrize("user", ["root", "alice", "+replica", "", USER.upper()])
def test_pass__of_another_user_is_no_login(closed: App, user: str) -> None:
    with closed.context.index_tokens.issue("root/forks") as secret:
        assert with_pass(closed, secret.reveal(), PAGE, user=user).status_int in {401, 403}


@pytest.mark.parametrize("password", ["", "x", "é", "\x00", "a" * 10_000])
def test_pass__that_was_never_made(closed: App, password: str) -> None:
    assert with_pass(closed, password, PAGE).status_int == 401


def test_pass__of_an_index_that_is_gone(closed: App) -> None:
    with closed.context.index_tokens.issue("root/nothing") as secret:
        assert with_pass(closed, secret.reveal(), PAGE).status_int == 401


def test_issue__no_two_are_equal_and_none_is_printed() -> None:
    index_tokens = IndexTokens()
    with index_tokens.issue("a/b") as one, index_tokens.issue("a/b") as two:
        assert len({one.reveal(), two.reveal()}) == 2
        assert len(one.reveal()) >= 43
        assert one.reveal() not in repr(vars(index_tokens)) + repr(one)
        assert index_tokens.index_of(USER, one.reveal()) == "a/b"
    assert index_tokens.index_of(USER, one.reveal()) is None


# Readers that a plugin names: the right that devpi-lockdown and the like go by

WAYS = (
    PAGE,
    "/root/forks/+cached/alpha/",
    "/root/forks/+forks",
    "/root/forks/+forks/alpha",
    f"/root/forks/+forks/alpha/{COMMIT}/log",
    f"/root/forks/+forks/alpha/{COMMIT}/source",
)


@pytest.mark.parametrize("user", [None, "bob"])
@pytest.mark.parametrize("path", WAYS)
def test_readers_of_a_plugin__others_read_nothing_and_start_nothing(closed: App, user: str | None, path: str) -> None:
    headers = {"User_Agent": PIP, "Accept": SIMPLE_JSON if "+forks" not in path else "application/json"}
    assert closed.request("GET", path, user=user, **headers).status_int in {401, 403}
    assert closed.request("GET", path, user=user, Accept="text/html").status_int in {401, 403}
    assert closed.request("POST", "/root/forks/+forks/alpha/miss", {}, user=user).status_int in {401, 403}
    assert closed.request("POST", "/root/forks/+forks/alpha/build", {}, user=user).status_int in {401, 403}
    assert closed.builder.orders == []
    assert "alpha" not in closed.get("/+forkbuilder/metrics").text


def test_readers_of_a_plugin__read(closed: App) -> None:
    answer = closed.request("GET", PAGE, user="alice", User_Agent=PIP, Accept=SIMPLE_JSON)
    assert len(answer.json["files"]) == 1
    for path in WAYS[1:5]:
        answer = closed.request("GET", path, user="alice", Accept="application/json")
        assert (answer.status_int, bool(answer.body)) == (200, True), path
    for user in (None, "bob"):  # what a reader has seen is not kept for them
        assert closed.request("GET", PAGE, user=user, User_Agent=PIP, Accept=SIMPLE_JSON).status_int in {401, 403}
