"""The pages in a real browser, around a builder that the test holds."""

from __future__ import annotations

import time
from typing import Any

import pytest

from devpi_forkbuilder.errors import BuildError
from tests.browser.conftest import NARROW, WIDE, OpenWindow, TalkingBuilder
from tests.server.app import COMMIT, App, pin

FORKS = "/root/forks/+forks"
LOG = f"{FORKS}/alpha/{COMMIT}/log"


def expect(found: Any) -> Any:
    from playwright.sync_api import expect as playwrights  # noqa: PLC0415  (not where there is no browser)

    return playwrights(found, "")


def settled(app: App, builder: TalkingBuilder, *projects: str) -> None:
    """Build these, the last one with a failure."""
    for project in projects:
        builder.failure = BuildError("build-failed", "It broke.") if project == projects[-1] else None
        app.request("POST", f"{FORKS}/{project}/build", {})
        while app.get(f"{FORKS}/{project}?wait=5").json["result"][0]["state"] not in {"built", "failed"}:
            pass


def test_list__updates_by_itself(app: App, site: str, builder: TalkingBuilder, window: OpenWindow) -> None:
    app.make_index("root/forks", pin(), pin("beta"))
    builder.gate.clear()
    app.request("POST", f"{FORKS}/alpha/build", {})
    page = window(site + FORKS).page
    row = page.locator("tbody[id^=alpha-]")
    expect(row).to_contain_text("building")
    row.locator("summary").focus()
    page.keyboard.press("Enter")
    page.evaluate("window.loadedOnce = true")
    builder.gate.set()
    expect(row.locator(".fb-badge")).to_have_text("built")
    expect(row.locator(".fb-files a")).to_contain_text(".whl")
    assert page.evaluate("window.loadedOnce"), "rows change, the page stays"
    assert row.locator("summary").evaluate("one => one === document.activeElement"), "the focus stays where it was"


def test_list__is_filtered_while_one_types(app: App, site: str, window: OpenWindow) -> None:
    app.make_index("root/forks", pin(), pin("beta"), pin("beta-two"))
    page = window(site + FORKS).page
    page.get_by_label("Find").fill("beta")
    expect(page.locator(".fb-pin:visible")).to_have_count(2)
    expect(page.locator("#fb-found")).to_have_text("2 of 3 shown")


def test_list__a_line_is_copied(app: App, site: str, builder: TalkingBuilder, window: OpenWindow) -> None:
    app.make_index("root/forks", pin(), pin("beta"))
    settled(app, builder, "alpha", "beta")
    page = window(site + FORKS).page
    page.get_by_text("Files, install line, history").click()
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    button = page.locator("tbody[id^=alpha-] .fb-copier").first
    button.click()
    expect(button).to_have_text("Copied")
    assert "--hash=sha256:" in page.evaluate("navigator.clipboard.readText()")


def test_build__log_is_text_with_colours(app: App, site: str, builder: TalkingBuilder, window: OpenWindow) -> None:
    app.make_index("root/forks", pin())
    builder.gate.clear()
    app.request("POST", f"{FORKS}/alpha/build", {})
    builder.say("\x1b[31mred\x1b[0m <script>document.title = 'mine'</script> <img src=x onerror=alert(1)>")
    page = window(site + LOG).page
    log = page.locator("#fb-log")
    expect(log).to_contain_text("<script>document.title = 'mine'</script> <img src=x onerror=alert(1)>")
    expect(log.locator(".t-red")).to_have_text("red")
    builder.say("live <script>document.title = 'mine'</script><b>bold</b>")
    expect(log).to_contain_text("live <script>document.title = 'mine'</script><b>bold</b>")
    assert log.locator("script, b, img").count() == 0
    assert "mine" not in page.title()


def test_build__follows_the_end_until_one_scrolls_up(
    app: App, site: str, builder: TalkingBuilder, window: OpenWindow
) -> None:
    app.make_index("root/forks", pin())
    builder.gate.clear()
    app.request("POST", f"{FORKS}/alpha/build", {})
    for number in range(200):
        builder.say(f"line {number}")
    page = window(site + LOG).page
    log = page.locator("#fb-log")
    at_end = "log => log.scrollHeight - log.scrollTop - log.clientHeight < 30"
    expect(log).to_contain_text("line 199")
    page.wait_for_function(f"({at_end})(document.getElementById('fb-log'))")
    builder.say("line 200")
    expect(log).to_contain_text("line 200")
    assert log.evaluate(at_end)
    log.evaluate("log => { log.scrollTop = 0; }")
    expect(page.locator("#fb-follow-state")).to_contain_text("you scrolled up")
    builder.say("line 201")
    expect(log).to_contain_text("line 201")
    assert log.evaluate("log => log.scrollTop") == 0
    page.get_by_role("button", name="Follow the end").click()
    assert log.evaluate(at_end)


def test_build__a_line_is_seen_within_a_second(
    app: App, site: str, builder: TalkingBuilder, window: OpenWindow
) -> None:
    app.make_index("root/forks", pin())
    builder.gate.clear()
    app.request("POST", f"{FORKS}/alpha/build", {})
    page = window(site + LOG).page
    delays = []
    for number in range(5):
        begun = time.monotonic()
        builder.say(f"line {number}")
        expect(page.locator("#fb-log")).to_contain_text(f"line {number}")
        delays.append(time.monotonic() - begun)
    print(f"a line is seen after {min(delays):.2f} to {max(delays):.2f} s")
    assert min(delays) < 1


def test_build__fails_and_is_built_again(app: App, site: str, builder: TalkingBuilder, window: OpenWindow) -> None:
    app.make_index("root/forks", pin())
    page = window(site + FORKS).page
    builder.gate.clear()
    page.get_by_role("button", name="Build alpha").click()
    expect(page).to_have_url(site + LOG)
    expect(page.locator(".fb-badge")).to_have_text("building")
    builder.say("ModuleNotFoundError: No module named 'pkg_resources'")
    builder.failure = BuildError("build-failed", "It broke.")
    builder.gate.set()
    expect(page.locator(".fb-excerpt mark")).to_contain_text("No module named 'pkg_resources'")
    expect(page.locator(".fb-why")).to_contain_text("fork_build_constraints+=alpha: setuptools<81")
    page.get_by_role("link", name="Show it in the log").click()
    expect(page.locator("#fb-failing")).to_be_in_viewport()
    builder.failure = None
    page.get_by_role("button", name="Build again").click()
    expect(page.locator(".fb-badge")).to_have_text("built")
    expect(page.locator(".fb-files a")).to_contain_text(".whl")


def test_build__raw_log_is_plain_text(app: App, site: str, builder: TalkingBuilder, window: OpenWindow) -> None:
    app.make_index("root/forks", pin())
    settled(app, builder, "alpha")
    page = window(site + LOG).page
    page.get_by_role("link", name="Raw log").click()
    expect(page.locator("pre")).to_contain_text("<script>alert(1)</script>")


def test_pages__are_read_without_javascript(app: App, site: str, builder: TalkingBuilder, window: OpenWindow) -> None:
    app.make_index("root/forks", pin("beta"), pin())
    settled(app, builder, "beta", "alpha")
    page = window(site + FORKS, javascript=False).page
    expect(page.locator("tbody[id^=alpha-] .fb-error")).to_have_text("It broke.")
    page.get_by_label("Find").fill("beta")
    page.get_by_role("button", name="Find").click()
    expect(page.locator(".fb-pin")).to_have_count(1)
    page.goto(site + FORKS)
    page.get_by_role("button", name="Build again alpha").click()
    expect(page.locator("h1")).to_contain_text("alpha")


def test_pages__by_keyboard(app: App, site: str, window: OpenWindow) -> None:
    app.make_index("root/forks", pin())
    page = window(site + FORKS).page
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#fb-main")).to_be_focused()


@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
def test_pages__have_no_fault_that_axe_finds(
    app: App, site: str, builder: TalkingBuilder, window: OpenWindow, size: dict[str, int]
) -> None:
    from axe_playwright_python.sync_playwright import Axe  # noqa: PLC0415  (not where there is no browser)

    app.make_index("root/forks", pin("beta"), pin(), pin("gamma"))
    settled(app, builder, "beta", "alpha")
    builder.gate.clear()
    app.request("POST", f"{FORKS}/gamma/build", {})
    page = window(site + FORKS, size).page
    for path in (FORKS, LOG, f"{FORKS}/beta", f"{FORKS}/gamma", "/+forkbuilder"):
        page.goto(site + path)
        page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
        found = Axe().run(page)
        assert found.violations_count == 0, f"{path}: {found.generate_report()}"
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), f"{path} is too wide"
