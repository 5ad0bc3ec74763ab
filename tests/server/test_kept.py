"""Kept pages: given out without pyramid, and never older than the last commit."""

from __future__ import annotations

from devpi_forkbuilder.web.cache import Kept, PageCache
from tests.server.app import OTHER, PIP, SIMPLE_JSON, App, pin
from tests.server.conftest import MakeApp

PAGE = "/root/forks/+simple/alpha/"


def kept(app: App) -> dict[object, Kept | None]:
    return app.wsgi.app.execution_policy._cache._pages


def test_kept__a_finished_page_is_given_out_again_as_it_was(app: App) -> None:
    app.make_index("root/forks", pin())
    app.files(PAGE)
    first, second = app.page(PAGE), app.page(PAGE)
    assert (PAGE, SIMPLE_JSON, PIP) in kept(app)
    assert first.text == second.text
    assert sorted(first.headers.items()) == sorted(second.headers.items())


def test_kept__forms_are_kept_apart(app: App) -> None:
    app.make_index("root/forks", pin())
    for _ in range(2):
        assert app.page(PAGE).content_type == SIMPLE_JSON
        assert app.page(PAGE, Accept="text/html").content_type == "text/html"


def test_kept__a_commit_makes_pages_anew(app: App) -> None:
    app.make_index("root/forks", pin())
    app.files(PAGE)
    assert len(app.files(PAGE)) == 1
    app.pin(pin(), pin(commit=OTHER, version="2.0"))
    assert len(app.files(PAGE)) == 2
    assert len(app.files(PAGE)) == 2


def test_kept__a_page_with_a_miss_is_not(app: App) -> None:
    app.make_index("root/forks", pin())
    assert "failed" in app.files("/root/forks/+cached/alpha/")[0]["url"]
    assert not any(kept(app).values())


def test_kept__a_page_that_a_mirror_may_add_to_is_not(app: App) -> None:
    app.make_index("root/forks", pin(), mirror_whitelist=["alpha"])
    app.files(PAGE)
    app.files(PAGE)
    assert not any(kept(app).values())


def test_kept__unpinned_projects_are_known_but_not_kept(app: App) -> None:
    app.make_index("root/forks", pin())
    assert app.page("/root/forks/+simple/beta/").status_int == 404
    assert kept(app) == {("/root/forks/+simple/beta/", SIMPLE_JSON, PIP): None}
    app.pin(pin(), pin("beta"))
    assert len(app.files("/root/forks/+simple/beta/")) == 1


def test_kept__absolute_urls_are_never(make_app: MakeApp) -> None:
    app = make_app("--absolute-urls")
    app.make_index("root/forks", pin())
    assert app.files(PAGE)[0]["url"].startswith("http://devpi.example.com/")
    assert not hasattr(app.wsgi.app.execution_policy, "_cache")


def test_cache__an_older_serial_is_not_filed_over_a_newer() -> None:
    cache = PageCache()
    cache.put(5, "page", Kept(b"new", ()))
    cache.put(4, "page", Kept(b"old", ()))
    assert cache.get(5, "page") == (True, Kept(b"new", ()))
    assert cache.get(6, "page") == (False, None)


def test_cache__is_bounded() -> None:
    cache = PageCache(most=2)
    for number in range(5):
        cache.put(1, number, None)
    assert [cache.get(1, number)[0] for number in range(5)] == [True, True, False, False, False]
