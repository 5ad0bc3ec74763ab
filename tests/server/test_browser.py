"""A browser on a server without devpi-web finds our pages; everybody else gets what devpi gives."""

from __future__ import annotations

import pytest

from tests.server.app import App, pin

FIREFOX = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "User_Agent": "Mozilla/5.0"}


def test_browser__root_leads_to_the_only_index(app: App) -> None:
    app.make_index("root/forks", pin())
    answer = app.get("/", **FIREFOX)
    assert (answer.status_int, answer.location) == (302, "http://devpi.example.com/root/forks/+forks")


def test_browser__root_lists_several_indexes(app: App) -> None:
    assert "There is no index of forks" in app.get("/", **FIREFOX).text
    app.make_index("root/forks", pin())
    app.make_index("root/more", pin())
    answer = app.get("/", **FIREFOX)
    assert answer.content_type == "text/html"
    assert '<a href="root/forks/+forks">' in answer.text
    assert '<a href="root/more/+forks">' in answer.text


def test_browser__index_leads_to_its_forks(app: App) -> None:
    app.make_index("root/forks", pin())
    answer = app.get("/root/forks", **FIREFOX)
    assert (answer.status_int, answer.location) == (302, "http://devpi.example.com/root/forks/+forks")
    assert app.get("/root/none", **FIREFOX).status_int == 404


@pytest.mark.parametrize("accept", ["application/json", "*/*"])
def test_browser__others_get_what_devpi_gives(app: App, accept: str) -> None:
    app.make_index("root/forks", pin())
    for path in ("/", "/root/forks"):
        answer = app.get(path, Accept=accept)
        assert (answer.status_int, answer.content_type) == (200, "application/json")
