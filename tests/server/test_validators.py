"""ETag and 304 (RFC 9110): for pages that are whole, for each form and each reader apart."""

from __future__ import annotations

import pytest
from pyramid.interfaces import ITweens

from devpi_forkbuilder.devpi.index import ForkbuilderIndex
from devpi_forkbuilder.web.routes import LOGGING, TRANSACTION, TWEENS
from tests.server.app import OTHER, PIP, SIMPLE_JSON, App, HeldBuilder, make_wheel, pin
from tests.server.conftest import MakeApp
from tests.server.test_miss import failure

PAGE = "/root/forks/+simple/alpha/"


@pytest.mark.parametrize("accept", [SIMPLE_JSON, "text/html"])
def test_page__has_an_etag_and_is_not_sent_twice(app: App, accept: str) -> None:
    app.make_index("root/forks", pin())
    for _ in range(3):  # made after a build, made, and kept
        answer = app.page(PAGE, Accept=accept)
        etag = answer.headers["ETag"]
        assert etag.startswith('"')
        again = app.page(PAGE, Accept=accept, If_None_Match=etag)
        assert (again.status_int, again.body) == (304, b"")
        assert again.headers["ETag"] == etag
        assert "no-cache" in again.headers["Cache-Control"]
        assert again.headers["Vary"] == answer.headers["Vary"]


def test_page__forms_have_etags_of_their_own(app: App) -> None:
    app.make_index("root/forks", pin())
    as_json, as_html = app.page(PAGE).headers["ETag"], app.page(PAGE, Accept="text/html").headers["ETag"]
    assert as_json != as_html
    assert app.page(PAGE, Accept="text/html", If_None_Match=as_json).status_int == 200


@pytest.mark.parametrize("said", ['W/{0}, "other"', '"other", {0}', "*"])
def test_page__is_found_in_a_list_and_behind_a_proxy_that_compresses(app: App, said: str) -> None:
    app.make_index("root/forks", pin())
    etag = app.page(PAGE).headers["ETag"]
    for _ in range(2):
        assert app.page(PAGE, If_None_Match=said.format(etag)).status_int == 304


def test_page__a_change_is_sent(app: App) -> None:
    app.make_index("root/forks", pin())
    etag = app.page(PAGE).headers["ETag"]
    app.pin(pin(), pin(commit=OTHER, version="2.0"))
    answer = app.page(PAGE, If_None_Match=etag)
    assert answer.status_int == 200
    assert answer.headers["ETag"] != etag


@pytest.mark.parametrize("path", [PAGE, "/root/forks/+cached/alpha/"])
def test_page__with_a_placeholder_has_none(app: App, builder: HeldBuilder, path: str) -> None:
    builder.failure = failure()
    app.make_index("root/forks", pin())
    for _ in range(2):
        answer = app.page(path, If_None_Match="*")
        assert answer.status_int == 200
        assert "ETag" not in answer.headers
        assert answer.headers["Cache-Control"] == "no-store"


def test_page__of_a_running_build_has_none(make_app: MakeApp, builder: HeldBuilder) -> None:
    app = make_app("--forkbuilder-hold", "0")
    app.make_index("root/forks", pin())
    builder.gate.clear()
    answer = app.page(PAGE, If_None_Match="*")
    stream = iter(answer.app_iter)
    assert (answer.status_int, next(stream)) == (200, b"\n")
    assert "ETag" not in answer.headers
    builder.gate.set()
    assert b"".join(stream)
    answer.app_iter.close()


def test_page__who_may_not_read_learns_nothing(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    app.make_index("root/forks", pin())
    etag = app.page(PAGE).headers["ETag"]

    def readers(*_: object, **__: object) -> list[str]:
        return ["root"]

    monkeypatch.setattr(ForkbuilderIndex, "get_principals_for_pkg_read", readers, raising=False)
    app.request("PATCH", "/root/forks", ["description=closed"])
    assert app.page(PAGE, If_None_Match=etag).status_int == 401
    assert app.request("GET", PAGE, User_Agent=PIP, Accept=SIMPLE_JSON, If_None_Match=etag).status_int == 304


def test_lists_and_metadata__have_etags(make_app: MakeApp) -> None:
    app = make_app("--forkbuilder-hold", "30", "--enable-core-metadata")
    app.make_index("root/forks", pin())
    [file] = app.files(PAGE)
    assert file["core-metadata"]
    metadata = "/root/forks/+f/" + file["url"].partition("+f/")[2].partition("#")[0] + ".metadata"
    for path in ("/root/forks/+simple/", metadata):
        answer = app.page(path)
        assert answer.status_int == 200
        again = app.page(path, If_None_Match=answer.headers["ETag"])
        assert (again.status_int, again.body) == (304, b"")


@pytest.mark.parametrize("agent", ["devpi-replica/6.20.3 (py 3.11.7; linux)", "devpi-mirror/6.20.3"])
def test_list_of_projects__is_sent_whole_to_devpi_servers(app: App, agent: str) -> None:
    app.make_index("root/forks", pin())
    answer = app.page("/root/forks/+simple/", User_Agent=agent, If_None_Match="*")
    assert answer.status_int == 200
    assert "ETag" not in answer.headers
    assert [project["name"] for project in answer.json["projects"]] == ["alpha"]


def test_pages_of_other_indexes__have_etags_too(app: App) -> None:
    app.request("PUT", "/root/plain", {"bases": []})
    make_wheel(app.builder.folder, "beta", "1.0")
    app.request("PUT", "/root/plain/beta/1.0", {})
    page = "/root/plain/+simple/nope/"
    assert "ETag" not in app.page(page).headers
    assert app.page("/root/plain/+simple/").headers["ETag"]


def test_tweens__stand_in_the_order_that_is_stated(app: App) -> None:
    order = [name for name, _ in app.wsgi.app.registry.getUtility(ITweens).implicit()]
    own = [tween.name for tween in TWEENS]
    assert [name for name in order if name in own] == own
    assert order.index(LOGGING) < order.index(own[0])
    assert order.index(own[-2]) < order.index(TRANSACTION) < order.index(own[-1])
    assert all(tween.reason for tween in TWEENS)
