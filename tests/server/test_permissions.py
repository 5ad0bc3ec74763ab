"""Indexes that not everybody may read. devpi leaves it to plugins to say so; ours has to ask."""

from __future__ import annotations

import pytest

from devpi_forkbuilder.devpi.index import ForkbuilderIndex
from tests.server.app import COMMIT, OTHER, PIP, SIMPLE_JSON, App, pin

READING = (
    "/root/forks/+forks",
    "/root/forks/+forks/alpha",
    "/root/forks/+forks/alpha?wait=1",
    f"/root/forks/+forks/alpha/{COMMIT}/log",
    f"/root/forks/+forks/alpha/{COMMIT}/failed/building/alpha-1.0-py3-none-any.whl",
)
PAGES = ("/root/forks/+simple/alpha/", "/root/forks/+cached/alpha/", "/root/forks/alpha/")
"""devpi-server gives these to everybody, and refuses the files only; the pages of pinned projects are as closed."""


@pytest.fixture
def closed(app: App, monkeypatch: pytest.MonkeyPatch) -> App:
    """Only root may read."""

    def readers(*_: object, **__: object) -> list[str]:
        return ["root"]

    monkeypatch.setattr(ForkbuilderIndex, "get_principals_for_pkg_read", readers, raising=False)
    app.make_index("root/forks", pin())
    return app


@pytest.mark.parametrize("path", READING)
def test_reading__who_may_not_learns_and_starts_nothing(closed: App, path: str) -> None:
    answer = closed.request("GET", path, user=None, User_Agent=PIP)
    assert answer.status_int in {401, 403}
    assert COMMIT[:12] not in answer.text.replace(path, "")
    assert closed.builder.orders == []


@pytest.mark.parametrize(
    "path", [*READING, "/root/forks/+forks?since=a.1.0", f"/root/forks/+forks/alpha/{COMMIT}/live"]
)
def test_reading__a_browser_is_asked_for_a_login(closed: App, path: str) -> None:
    answer = closed.request("GET", path, user=None, Accept="text/html", User_Agent="Mozilla/5.0")
    assert answer.status_int == (403 if "/failed/" in path else 401)
    assert COMMIT[:12] not in answer.text.replace(path, "")
    assert closed.builder.orders == []


@pytest.mark.parametrize("path", PAGES)
def test_reading__pages_of_pinned_projects_are_closed_too(closed: App, path: str) -> None:
    answer = closed.request("GET", path, user=None, User_Agent=PIP)
    assert answer.status_int == 401
    assert answer.headers["WWW-Authenticate"].startswith("Basic ")
    assert COMMIT[:12] not in answer.text
    assert closed.builder.orders == []


def test_reading__a_miss_is_not_started_either(closed: App) -> None:
    assert closed.request("POST", "/root/forks/+forks/alpha/miss", {}, user=None).status_int in {401, 403}
    assert closed.builder.orders == []


def test_reading__who_may_gets_the_page(closed: App) -> None:
    answer = closed.request("GET", "/root/forks/+simple/alpha/", User_Agent=PIP)
    assert answer.status_int == 200
    assert len(closed.builder.orders) == 1


# an open index above the closed one


@pytest.fixture
def above(app: App, monkeypatch: pytest.MonkeyPatch) -> App:
    """`root/team` is for everybody, and has pins of its own; `root/forks`, its base, is for root alone."""

    def readers(self: ForkbuilderIndex, *_: object, **__: object) -> list[str]:
        return ["root"] if self.stage.name == "root/forks" else [":ANONYMOUS:"]

    monkeypatch.setattr(ForkbuilderIndex, "get_principals_for_pkg_read", readers, raising=False)
    app.make_index("root/forks", pin(), pin("beta"))
    app.make_index("root/team", pin("beta", commit=OTHER, version="2.0"), bases=["root/forks"])
    return app


@pytest.mark.parametrize("form", ["+simple", "+cached"])
@pytest.mark.parametrize("built", [False, True])
def test_open_above_closed__pins_of_the_base_are_no_empty_page(above: App, form: str, built: bool) -> None:
    """Nor one that lists files which are refused, even when it was made for somebody else a moment ago."""
    page = f"/root/team/{form}/alpha/"
    if built:
        assert above.request("GET", "/root/team/+simple/alpha/", User_Agent=PIP, Accept=SIMPLE_JSON).json["files"]
        assert above.request("GET", page, User_Agent=PIP, Accept=SIMPLE_JSON).json["files"]
    answer = above.page(page)
    assert answer.status_int == 401
    assert COMMIT[:12] not in answer.text
    assert len(above.builder.orders) == built


def test_open_above_closed__its_own_pins_are_for_everybody(above: App) -> None:
    [file] = above.files("/root/team/+simple/beta/")
    assert file["filename"].startswith("beta-2.0+")
    assert len(above.builder.orders) == 1
    assert COMMIT[:12] not in above.page("/root/team/+cached/beta/").text
