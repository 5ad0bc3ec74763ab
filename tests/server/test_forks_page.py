"""The pages of an index's forks and of one build, for browsers."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from devpi_forkbuilder.errors import BuildError
from tests.server.app import COMMIT, OTHER, App, HeldBuilder, pin
from tests.server.conftest import MakeApp

FIREFOX = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "User_Agent": "Mozilla/5.0"}
FORKS = "/root/forks/+forks"
LOG = f"{FORKS}/alpha/{COMMIT}/log"
OWN_SITE = {"Sec_Fetch_Site": "same-origin"}


def wait_for(app: App, project: str, *states: str) -> dict[str, Any]:
    while (state := app.get(f"{FORKS}/{project}?wait=5").json["result"][0])["state"] not in states:
        pass
    found: dict[str, Any] = state
    return found


def build(app: App, project: str, *states: str) -> dict[str, Any]:
    app.request("POST", f"{FORKS}/{project}/build", {"force": True})
    return wait_for(app, project, *(states or ("built", "failed")))


def shown(app: App, path: str = FORKS, **headers: str) -> str:
    answer = app.get(path, **FIREFOX, **headers)
    assert (answer.status_int, answer.content_type) == (200, "text/html")
    text: str = answer.text
    return text


def row(page: str, project: str) -> str:
    found = re.search(rf'<tbody id="{project}-.*?</tbody>', page, re.DOTALL)
    assert found is not None, page
    return found[0]


def test_forks_page__shows_everything_about_a_built_pin(app: App) -> None:
    app.make_index("root/forks", pin())
    app.pin(pin(commit=OTHER))
    app.pin(pin())
    file = build(app, "alpha", "built")["files"][0]
    found = row(shown(app), "alpha")
    assert f"sha256={file['sha256']}" in found
    assert f"alpha==1.0+20251120102233.g{COMMIT[:12]} --hash=sha256:{file['sha256']}" in found
    assert "py3 · none · any" in found
    assert "Published. Installers get it at once." in found
    assert re.search(r"just now</time> by root", found)
    assert "Earlier commits" in found
    assert OTHER[:12] in found.partition("Earlier commits")[2]
    assert found.count("<rect ") >= 1
    assert 'action="' not in found, "a built pin needs no button"


@pytest.mark.parametrize(
    ("url", "commit"),
    [
        ("https://github.com/o/n.git", "https://github.com/o/n/commit/"),
        ("https://gitlab.com/o/sub/n.git", "https://gitlab.com/o/sub/n/-/commit/"),
        ("https://gitlab.example.com:8443/o/n", "https://gitlab.example.com:8443/o/n/-/commit/"),
        ("https://bitbucket.org/o/n.git", "https://bitbucket.org/o/n/commits/"),
        ("https://codeberg.org/o/n.git", "https://codeberg.org/o/n/commit/"),
        ("https://gitea.example.com/o/n.git", "https://gitea.example.com/o/n/commit/"),
        ("ssh://git@github.com/o/n.git", "https://github.com/o/n/commit/"),
    ],
)
def test_forks_page__leads_to_the_commit_on_its_host(app: App, url: str, commit: str) -> None:
    app.make_index("root/forks", f"git+{url}@{COMMIT}#egg=alpha==1.0")
    assert f'href="{commit}{COMMIT}"' in shown(app)


def test_forks_page__failed_pins_come_first_with_their_error(app: App, builder: HeldBuilder) -> None:
    app.make_index("root/forks", pin("aaa"), pin("zzz"), pin("mmm"))
    build(app, "aaa")
    builder.failure = BuildError("build-failed", "It <b>broke</b>.")
    build(app, "zzz", "failed")
    page = shown(app)
    assert page.index('id="zzz-') < page.index('id="mmm-') < page.index('id="aaa-')
    assert "It &lt;b&gt;broke&lt;/b&gt;." in row(page, "zzz")
    assert "The fork's own build failed. It is not tried again" in row(page, "zzz")
    assert re.findall(r"<b>(\d+)</b> (\w+)", page) == [("3", "pins"), ("1", "failed"), ("1", "wanted"), ("1", "built")]


def test_forks_page__is_filtered_without_a_script(app: App) -> None:
    app.make_index("root/forks", pin("aaa"), pin("bbb"))
    build(app, "aaa")
    by_state, by_word = shown(app, f"{FORKS}?state=built"), shown(app, f"{FORKS}?q=BBB+org")
    assert ("aaa-" in by_state, 'id="bbb-' in by_state) == (True, False)
    assert ('id="aaa-' in by_word, 'id="bbb-' in by_word) == (False, True)
    assert "0 of 2 shown" in shown(app, f"{FORKS}?q=%22%3E%3Cscript%3E")
    assert "<script>" not in shown(app, f"{FORKS}?q=%22%3E%3Cscript%3E")


def test_forks_page__has_a_column_for_each_target(app: App, builder: HeldBuilder) -> None:
    builder.tags = lambda order: "cp311-cp311-linux_x86_64" if order.pin.name == "bbb" else "py3-none-any"
    app.make_index("root/forks", pin("aaa"), pin("bbb"))
    build(app, "aaa")
    build(app, "bbb")
    page = shown(app)
    assert re.findall(r'class="fb-target">([^<]+)<', page) == ["any", "3.11"]
    assert "3.11: built" in row(page, "bbb")
    assert "3.11: built" not in row(page, "aaa")


def test_forks_page__scripts_are_only_ours(app: App) -> None:
    app.make_index("root/forks", pin())
    answer = app.get(FORKS, **FIREFOX)
    policy = answer.headers["Content-Security-Policy"]
    assert "script-src 'self';" in policy
    assert "'unsafe-inline'" not in policy
    sources = re.findall(r'<script src="([^"]+)"', answer.text)
    assert len(sources) == answer.text.count("<script") == 1
    script = app.get(sources[0].removeprefix("http://devpi.example.com"))
    assert (script.status_int, script.content_type) == (200, "text/javascript")
    assert "immutable" in script.headers["Cache-Control"]
    assert "immutable" not in app.get("/+forkbuilder/static/forks.js?v=other").headers["Cache-Control"]
    assert app.get("/+forkbuilder/static/..%2frender.py").status_int == 404


@pytest.mark.parametrize("accept", ["application/json", "*/*", None])
def test_forks_page__others_get_json(app: App, accept: str | None) -> None:
    app.make_index("root/forks", pin())
    for path in (FORKS, f"{FORKS}/alpha"):
        answer = app.get(path, **({"Accept": accept} if accept else {}))
        assert (answer.content_type, answer.json["type"]) == ("application/json", "forkstates")


def test_forks_page__changes_are_asked_for_with_what_was_seen(app: App, builder: HeldBuilder) -> None:
    app.make_index("root/forks", pin("aaa"), pin("bbb"))
    page = shown(app)
    token = re.search(r'data-token="([^"]+)"', page)[1]  # type: ignore[index]
    assert app.get(f"{FORKS}?since={token}", **FIREFOX).status_int == 204
    builder.gate.clear()
    app.request("POST", f"{FORKS}/bbb/build", {})
    wait_for(app, "bbb", "building")
    part = shown(app, f"{FORKS}?since={token}")
    assert 'data-live="yes"' in part
    assert re.findall(r'<tbody id="(\w+)-', part) == ["bbb"]
    builder.gate.set()
    wait_for(app, "bbb", "built")
    assert 'data-live="no"' in shown(app, f"{FORKS}?since={token}")
    app.pin(pin("aaa"))
    assert app.get(f"{FORKS}?since={token}", **FIREFOX).status_int == 205
    assert app.get(f"{FORKS}?since=other.1.0", **FIREFOX).status_int == 205


def test_build_page__is_where_the_urls_of_an_error_lead(app: App, builder: HeldBuilder) -> None:
    builder.failure = BuildError("build-failed", "It broke.")
    app.make_index("root/forks", pin())
    state = build(app, "alpha", "failed")
    path = state["log_url"].removeprefix("http://devpi.example.com")
    for page in (shown(app, path), shown(app, f"{FORKS}/alpha")):
        assert "Why it failed" in page
        assert "compiling &lt;script&gt;alert(1)&lt;/script&gt;" in page
        assert "<script>" not in page
        assert f'href="{state["log_url"]}?raw"' in page
    for more in ("", "?raw", "?tail=5"):
        answer = app.get(path + more, **({} if not more else FIREFOX))
        assert (answer.content_type, "<script>alert(1)</script>" in answer.text) == ("text/plain", True)


def test_build_page__before_the_first_build(app: App) -> None:
    app.make_index("root/forks", pin())
    page = shown(app, LOG)
    assert "There is no log yet." in page
    assert app.get(LOG).status_int == 404


def test_build_page__says_why_a_build_waits(make_app: MakeApp, builder: HeldBuilder) -> None:
    app = make_app("--forkbuilder-workers", "1")
    app.make_index("root/forks", pin("aaa"), pin("bbb"), pin())
    builder.gate.clear()
    app.request("POST", f"{FORKS}/aaa/build", {})
    wait_for(app, "aaa", "building")
    app.request("POST", f"{FORKS}/bbb/build", {})
    app.request("POST", f"{FORKS}/alpha/build", {})
    page = shown(app, LOG)
    assert "Number 2 in the queue." in page
    assert "1 of 1 workers is busy and 1 other build is before it." in page


def test_build_page__live_part_has_the_lines_since(app: App, builder: HeldBuilder) -> None:
    builder.gate.clear()
    app.make_index("root/forks", pin())
    app.request("POST", f"{FORKS}/alpha/build", {})
    wait_for(app, "alpha", "building")
    live = f"{FORKS}/alpha/{COMMIT}/live"
    while not (first := app.get(live).json)["log"]:
        pass
    assert "&lt;script&gt;" in first["log"]
    assert first["live"] is True
    again = app.get(f"{live}?from={first['next']}&changed={first['changed']}").json
    assert (again["log"], again["anew"], again["next"]) == ("", False, first["next"])
    beyond = app.get(f"{live}?from={first['next'] + 1000}").json
    assert (beyond["anew"], beyond["log"]) == (True, first["log"])
    builder.gate.set()
    wait_for(app, "alpha", "built")
    end = app.get(f"{live}?from={first['next']}").json
    assert (end["live"], "Published:" in end["log"]) == (False, True)


def test_again__a_form_builds_and_leads_to_the_page(app: App, builder: HeldBuilder) -> None:
    app.make_index("root/forks", pin())
    builder.failure = BuildError("build-failed", "It broke.")
    build(app, "alpha", "failed")
    assert f'action="http://devpi.example.com{FORKS}/alpha/again"' in shown(app)
    builder.failure = None
    answer = app.form(f"{FORKS}/alpha/again", f"commit={COMMIT}", **OWN_SITE)
    assert (answer.status_int, answer.location) == (303, f"http://devpi.example.com{LOG}")
    wait_for(app, "alpha", "built")


def test_again__a_login_is_asked_for(app: App, builder: HeldBuilder) -> None:
    app.make_index("root/forks", pin())
    answer = app.form(f"{FORKS}/alpha/again", f"commit={COMMIT}", user=None, **OWN_SITE)
    assert (answer.status_int, "Basic" in answer.headers["WWW-Authenticate"]) == (401, True)
    assert not builder.orders


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
        {"Origin": "https://elsewhere.example"},
        {"Origin": "null"},
    ],
)
@pytest.mark.parametrize("action", ["again", "build"])
def test_again__another_site_starts_nothing(
    app: App, builder: HeldBuilder, headers: dict[str, str], action: str
) -> None:
    app.make_index("root/forks", pin())
    answer = app.form(f"{FORKS}/alpha/{action}", f"commit={COMMIT}" if action == "again" else "{}", **headers)
    assert (answer.status_int, "another site" in json.loads(answer.text)["message"]) == (403, True)
    assert not builder.orders


def test_forks_page__no_button_for_who_may_not(make_app: MakeApp) -> None:
    app = make_app()
    app.request("PUT", "/guest", {"password": "secret"})
    app.make_index("root/forks", pin())
    assert "/again" in app.request("GET", FORKS, **FIREFOX).text
    assert "/again" not in app.request("GET", FORKS, user="guest", **FIREFOX).text
    answer = app.form(f"{FORKS}/alpha/again", f"commit={COMMIT}", user="guest", **OWN_SITE)
    assert answer.status_int == 403
    cached = make_app("--forkbuilder-cached-only")
    cached.make_index("root/forks", pin())
    assert "/again" not in shown(cached)
