"""The page for who runs the server: `/+forkbuilder`."""

from __future__ import annotations

import re
import time

import pytest

from devpi_forkbuilder.devpi.index import ForkbuilderIndex
from devpi_forkbuilder.errors import BuildError
from devpi_forkbuilder.service.history import EndedBuild
from tests.server.app import App, HeldBuilder, pin
from tests.server.conftest import MakeApp
from tests.server.test_forks_page import FIREFOX, FORKS, build, shown, wait_for

PAGE = "/+forkbuilder"


def section(page: str, name: str) -> str:
    found = re.search(rf'aria-labelledby="fb-{name}".*?</section>', page, re.DOTALL)
    assert found is not None, page
    return found[0]


def test_operators_page__workers_queue_and_failures(make_app: MakeApp, builder: HeldBuilder) -> None:
    app = make_app("--forkbuilder-workers", "1")
    app.make_index("root/forks", pin("aaa"), pin("bbb"), pin("ccc"))
    builder.failure = BuildError("build-failed", "It <i>broke</i>.")
    build(app, "aaa", "failed")
    builder.gate.clear()
    for name in ("bbb", "ccc"):
        app.request("POST", f"{FORKS}/{name}/build", {})
    wait_for(app, "bbb", "building")
    page = shown(app, PAGE)
    assert "forkbuilder-worker-1" in section(page, "running")
    assert ">bbb 1.0<" in section(page, "running")
    assert "1 of 1 workers is busy." in section(page, "queue")
    assert ">ccc 1.0<" in section(page, "queue")
    assert "It &lt;i&gt;broke&lt;/i&gt;." in section(page, "failures")
    assert "0 replicas follow this server" in section(page, "replicas")
    assert re.search(r"<b>server</b>: .* free", section(page, "disk"))


def test_operators_page__names_only_what_one_may_read(
    app: App, builder: HeldBuilder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ForkbuilderIndex, "get_principals_for_pkg_read", lambda *_, **__: ["root"], raising=False)
    app.make_index("root/forks", pin("hidden-project"))
    builder.failure = BuildError("build-failed", "It is hidden.")
    app.request("POST", f"{FORKS}/hidden-project/build", {})
    while not app.context.builds.recent_failures(1):
        pass
    assert "hidden-project" in app.request("GET", PAGE, **FIREFOX).text
    page = shown(app, PAGE)
    assert "hidden-project" not in page
    assert "It is hidden." not in page
    assert "a pin of an index that you may not read" in page


def test_operators_page__charts_of_the_last_day_and_month(app: App) -> None:
    now = time.time()
    history = app.context.history
    for back, seconds, built in ((10, 4.0, True), (20, 8.0, True), (30, 1.0, False), (3 * 86400, 60.0, True)):
        history.add_build(EndedBuild(now - back, seconds, built))
    history.add_build(EndedBuild(now - 40 * 86400, 1.0, True))
    history.add_pages({int(now // 3600): (3, 1)})
    page = shown(app, PAGE)
    day, month = re.findall(r'class="fb-charts">.*?</section>', page, re.DOTALL)
    assert "3 built, 1 failed" in month
    assert re.search(r"[12] built, [01] failed", day)
    assert "75% of 4 pages" in month
    assert "8.0 s of all" in month, "the median of 4, 8 and 60 seconds"
    assert page.count("<script") == 1


def test_operators_page__builds_and_pages_get_into_the_charts(app: App) -> None:
    app.make_index("root/forks", pin())
    app.page("/root/forks/+simple/alpha/")
    app.page("/root/forks/+simple/alpha/")
    wait_for(app, "alpha", "built")
    while "1 built, 0 failed" not in (page := shown(app, PAGE)):
        pass
    assert re.search(r"\d+% of [12] pages", page)


def test_operators_page__is_html_for_everybody(app: App) -> None:
    assert app.get(PAGE, Accept="*/*").content_type == "text/html"
    assert app.get(PAGE, **FIREFOX).status_int == 200
