"""People who may not read an index, and requests that are made to cost something."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urljoin

import pytest
from webob import Request

from devpi_forkbuilder.devpi.index import ForkbuilderIndex
from devpi_forkbuilder.errors import BuildError
from tests.server.app import COMMIT, OTHER, PIP, SIMPLE_JSON, App, HeldBuilder, pin
from tests.server.test_kept import Looks

PAGE = "/root/forks/+simple/alpha/"
LOG = f"/root/forks/+forks/alpha/{COMMIT}/log"
SOURCE = f"/root/forks/+forks/alpha/{COMMIT}/source"
TARGET = "3.12 linux x86_64 glibc 2.%d"
UV = 'uv/0.13.8 {"installer":{"name":"uv","version":"0.13.8"},"python":"%s","implementation":{"name":"CPython"}}'


@pytest.fixture
def closed(app: App, monkeypatch: pytest.MonkeyPatch) -> App:
    """Only root may read the index; devpi leaves it to plugins to say so, and asks the index type for it."""

    def readers(self: Any, restrict_modify: Any = None) -> list[str]:  # noqa: ARG001  (devpi's contract)
        return ["root"]

    monkeypatch.setattr(ForkbuilderIndex, "get_principals_for_pkg_read", readers)
    app.make_index("root/forks", pin())
    return app


def test_page__that_a_reader_has_seen_is_not_kept_for_others(closed: App) -> None:
    """Same URL, same headers but the login: the second one must not come from what the first one got."""
    for _ in range(3):
        assert closed.request("GET", PAGE, User_Agent=PIP, Accept=SIMPLE_JSON).status_int == 200
    assert closed.page(PAGE).status_int in {401, 403}


def test_page__of_an_open_index_is_kept(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other side of it: closing must not cost everybody the kept pages."""
    app.make_index("root/forks", pin())
    assert [app.page(PAGE).status_int for _ in range(3)] == [200] * 3
    assert Looks(monkeypatch).during(app) == 0


def test_source__of_a_closed_index(closed: App) -> None:
    [file] = closed.request("GET", PAGE, User_Agent=PIP, Accept=SIMPLE_JSON).json["files"]
    path = urljoin(PAGE, file["url"]).partition("#")[0]
    assert closed.request("GET", path).body.startswith(b"PK")
    assert closed.request("GET", path, user=None).status_int in {401, 403}


@pytest.mark.parametrize("path", ["/root/forks/+cached/alpha/", LOG, SOURCE, "/root/forks/+forks/alpha?wait=30"])
def test_closed_index__other_ways_in(closed: App, path: str) -> None:
    closed.builder.gate.clear()
    closed.request("POST", "/root/forks/+forks/alpha/miss", {})
    answer = closed.page(path)  # a poll of somebody who may not read waits for nothing
    closed.builder.gate.set()
    assert answer.status_int in {401, 403}
    assert "compiling" not in answer.text
    assert closed.context.seats.taken == 0


def test_miss__through_an_open_index_above_a_closed_one(closed: App) -> None:
    closed.request("PUT", "/root/team", {"bases": ["root/forks"]})
    closed.page("/root/team/+simple/alpha/")
    assert closed.builder.orders == []
    closed.request("GET", "/root/team/+simple/alpha/", User_Agent=PIP, Accept=SIMPLE_JSON)
    assert len(closed.builder.orders) == 1


def test_authcheck__knows_the_urls_of_forks(app: App) -> None:
    """Login pages in front of devpi ask it; what it does not know it forbids, to everybody."""
    app.make_index("root/forks", pin())
    paths = ("+simple/alpha/", "+cached/alpha/", "+cached/", "+forks", f"+forks/alpha/{COMMIT}/log")
    for path in paths:
        uri = f"http://devpi.example.com/root/forks/{path}"
        assert app.get("/+authcheck", X_Original_URI=uri).status_int == 200, path


# who may do what


@pytest.mark.parametrize("user", [None, "bob"])
@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/root/forks/+forks/alpha/build", {"force": True}),
        ("PATCH", "/root/forks", [f"forks+={pin('beta')}"]),
        ("PATCH", "/root/forks", ["fork_unreachable_commits=allow"]),
        ("PATCH", "/root/forks", ["fork_build_network=alpha"]),
        ("PUT", "/root/more", {"type": "forkbuilder", "bases": []}),
    ],
)
def test_rights__of_others(app: App, user: str | None, method: str, path: str, body: object) -> None:
    app.make_index("root/forks", pin())
    app.request("PUT", "/bob", {"password": "secret"})
    assert app.request(method, path, body, user=user).status_int in {401, 403}
    assert app.builder.orders == []
    assert app.config()["forks"] == [pin()]


def test_rights__an_index_of_ones_own_is_no_way_in(app: App) -> None:
    app.request("PUT", "/bob", {"password": "secret"})
    answer = app.request("PUT", "/bob/forks", {"type": "forkbuilder", "bases": [], "forks": [pin()]}, user="bob")
    assert answer.status_int == 400
    assert "--forkbuilder-allow-user bob" in answer.text


def test_rights__pins_that_are_there_outlive_a_stricter_rule(app: App) -> None:
    """However their lines are written: another setting can still be changed, and a new pin cannot be added."""
    line = pin().replace("#egg=alpha==1.0", "#subdirectory=a&egg=alpha==1.0")
    app.make_index("root/forks", line)
    object.__setattr__(app.context.policy, "prefixes", ("https://elsewhere.example.com/",))
    assert app.request("PATCH", "/root/forks", ["fork_versions=plain"]).status_int == 200
    assert app.request("PATCH", "/root/forks", [f"forks+={pin('beta')}"]).status_int == 400
    assert app.config()["forks"] == [line]


# floods


def flood(app: App, times: int = 20) -> None:
    for number in range(times):
        app.page(PAGE)
        app.request("POST", "/root/forks/+forks/alpha/miss", {}, user=None)
        app.request("POST", "/root/forks/+forks/unpinned/miss", {}, user=None)
        app.page(f"/root/forks/+simple/unpinned-{number}/")
        app.page(PAGE, User_Agent=UV % f"3.{number + 20}.0")
        app.request("POST", "/root/forks/+forks/alpha/miss", {"python": f"3.{number + 20}"}, user=None)


def test_flood__of_misses_for_a_failed_pin(app: App, builder: HeldBuilder) -> None:
    app.make_index("root/forks", pin())
    builder.failure = BuildError("build-failed", "The fork's build ended with status 1.", next_step="Read the log.")
    app.page(PAGE)
    flood(app)
    assert len(builder.orders) == 1


def test_flood__of_misses_for_what_is_not_pinned(app: App, builder: HeldBuilder) -> None:
    app.make_index("root/forks")
    flood(app)
    assert builder.orders == []


def test_flood__of_made_up_interpreters(app: App, builder: HeldBuilder) -> None:
    """Each could be a build of its own; only interpreters that the server has are."""
    app.make_index("root/forks", pin())
    builder.pure = False
    for number in range(30):
        app.page(PAGE, User_Agent=UV % f"3.{number + 30}.1")
        app.request("POST", "/root/forks/+forks/alpha/miss", {"python": f"3.{number + 30}"}, user=None)
        app.request("POST", "/root/forks/+forks/alpha/miss", {"python": TARGET % number}, user=None)
    assert len(builder.orders) <= len(app.context.lookup.server_targets().pythons) + 1


BODIES = [
    b"[1, 2",
    b'{"python": 3}',
    b'{"python": "3.12; id"}',
    b'{"more": 1}',
    b'{"commit": []}',
    b'{"commit": 7}',
    b'{"force": "yes"}',
    b"[]",
    b'"x"',
    b"\xff\xfe",
    b"[" * 99999,
]


@pytest.mark.parametrize("body", BODIES)
def test_request__that_is_no_request(app: App, body: bytes) -> None:
    app.make_index("root/forks", pin())
    request = Request.blank("/root/forks/+forks/alpha/miss", method="POST", body=body)
    assert request.get_response(app.wsgi).status_int == 400
    assert app.builder.orders == []


# what a fork says, on pages


EVIL = "<script>alert(1)</script>\x1b]0;owned\x07\r\n2026-11-20 ERROR forged line"


@pytest.fixture
def told(app: App, builder: HeldBuilder) -> App:
    """A failure whose message came from a fork."""
    app.make_index("root/forks", pin(), pin("beta", OTHER))
    builder.failure = BuildError("build-failed", f"The back end said {EVIL}.", next_step="Read the log.")
    app.page(PAGE)
    return app


@pytest.mark.parametrize("path", ["/root/forks/+forks", "/root/forks/+forks/alpha", LOG, "/+forkbuilder"])
def test_pages__are_escaped_and_have_no_script_but_ours(told: App, path: str) -> None:
    answer = told.get(path, Accept="text/html")
    sources = re.findall(r"<script([^>]*)></script>", answer.text)
    assert len(sources) == answer.text.count("<script") == 1
    assert sources[0].startswith(' src="http://devpi.example.com/+forkbuilder/static/forks.js?v=')
    assert "&lt;script&gt;" in answer.text
    assert not set(answer.text) & {"\x1b", "\x07"}
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'; script-src 'self'; " in policy
    assert "unsafe-inline" not in policy
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_states__are_no_page(told: App) -> None:
    answer = told.get("/root/forks/+forks/alpha", Accept="application/json")
    assert answer.content_type == "application/json"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "\x1b" not in answer.json["result"][0]["error"]["message"]


@pytest.mark.parametrize("query", ["?raw", "?tail=5"])
def test_log__is_plain_text_for_every_browser(told: App, query: str) -> None:
    answer = told.get(LOG + query, Accept="text/html")
    assert "<script>" in answer.text
    assert answer.content_type == "text/plain"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" in answer.headers["Content-Security-Policy"]


def test_placeholder__is_plain_text_and_one_status_line(told: App) -> None:
    [file] = told.files(PAGE)
    answer = told.get(urljoin(PAGE, file["url"]).partition("#")[0], Accept="text/html")
    assert answer.status_int == 424
    assert answer.content_type == "text/plain"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.status.isprintable()
    assert "<script" not in answer.status


def test_server_log__has_no_control_characters_of_others(
    told: App, caplog: pytest.LogCaptureFixture, builder: HeldBuilder
) -> None:
    with caplog.at_level("DEBUG"):
        told.page("/root/forks/+simple/beta/")
        told.get("/root/forks/+forks/%1b%5d0;x%07%0aforged/" + COMMIT + "/log")
        told.get("/root/forks/+cached/%0aforged%1b/")
    assert builder.orders
    ours = [record.getMessage() for record in caplog.records if record.name.startswith("devpi_forkbuilder")]
    assert any("failed while" in line for line in ours)
    assert [line for line in ours if not line.isprintable()] == []


def test_filename__of_a_placeholder_is_not_a_path(told: App) -> None:
    for name in ("..%2f..%2fetc%2fpasswd", "%2e%2e", "x%00y"):
        answer = told.get(f"/root/forks/+forks/alpha/{COMMIT}/failed/building/{name}")
        assert answer.status_int in {404, 424}
        assert "root:" not in answer.text
