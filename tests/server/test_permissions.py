"""Indexes that not everybody may read. devpi leaves it to plugins to say so; ours has to ask."""

from __future__ import annotations

import pytest

from devpi_forkbuilder.devpi.index import ForkbuilderIndex
from tests.server.app import COMMIT, PIP, App, pin

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
