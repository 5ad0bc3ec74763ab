"""A fork's day with the real parts: devpi-server with devpi-web, git over HTTP, a build in the sandbox, a browser.

With SCREENSHOTS=1 in the environment its pages are written to `docs/images/`, wide and narrow.
"""

from __future__ import annotations

import os
from typing import Any

import pytest

from tests.browser.conftest import NARROW, SCREENSHOTS, WIDE, OpenWindow
from tests.browser.test_pages import expect
from tests.devpi import ROOT_PASSWORD
from tests.functional.conftest import MakeLive

SCRIPT = "<script>document.title = 'mine'</script>"
BACKEND = f"""\
import sys, time


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    print("\\x1b[1mcompiling\\x1b[0m {SCRIPT}", flush=True)
    for step in range(1, 4):
        print(f"\\x1b[32mstep {{step}}\\x1b[0m of 3", flush=True)
        time.sleep(0.6)
    raise ModuleNotFoundError("No module named 'pkg_resources'")
"""


def picture(page: Any, name: str) -> None:
    """Write the page to the documentation, wide and narrow, where that is asked for."""
    if not os.environ.get("SCREENSHOTS"):
        return
    SCREENSHOTS.mkdir(exist_ok=True)
    for size, word in ((WIDE, "wide"), (NARROW, "narrow")):
        page.set_viewport_size(size)
        page.evaluate("window.scrollTo(0, 0)")
        page.wait_for_timeout(300)
        page.screenshot(path=SCREENSHOTS / f"{name}-{word}.png", full_page=word == "wide")
    page.set_viewport_size(WIDE)


@pytest.mark.functional
def test_story__pin_build_follow_fail_build_again(devpi_servers: MakeLive, window: OpenWindow) -> None:
    live = devpi_servers("--forkbuilder-workers", "1")
    good, other = live.host.fork("inline"), live.host.fork("extension")
    bad = live.host.fork("fails", files={"inline_backend.py": BACKEND})
    slow, waits = live.host.slow(600), live.host.fork("two-wheels")
    index = live.index_of(good, bad)
    live.outcome(index, good.project)
    page = window(f"{live.server.url}/{index}", password=ROOT_PASSWORD).page
    page.get_by_role("link", name="forks", exact=True).click()
    expect(page.locator("main h1")).to_have_text(f"Forks of {index}")
    expect(page.locator("tbody[id^=inline-] .fb-badge")).to_have_text("built")
    page.get_by_role("button", name="Build fails").click()
    expect(page.locator("#fb-log")).to_contain_text(SCRIPT)
    expect(page.locator("#fb-follow-state")).to_have_text("Following the end")
    expect(page.locator(".fb-excerpt mark")).to_have_text("ModuleNotFoundError: No module named 'pkg_resources'")
    expect(page.locator(".fb-why")).to_contain_text(
        f"devpi index {index} 'fork_build_constraints+=fails: setuptools<81'"
    )
    assert "mine" not in page.title()
    picture(page, "build-failed")
    page.get_by_role("button", name="Build again").click()
    expect(page.locator("h1 .fb-badge")).to_have_text("building")
    expect(page.locator("#fb-log")).to_contain_text("step 3")
    live.wait_for(index, bad.project, "failed")
    if os.environ.get("SCREENSHOTS"):
        live.pin(index, *(live.host.pin(one) for one in (good, bad, other, slow, waits)))
        live.outcome(index, other.project)
        live.build(index, slow.project)
        live.wait_for(index, slow.project, "building")
        live.build(index, waits.project)
        page.goto(f"{live.server.url}/{index}/+forks/{slow.project}")
        expect(page.locator("#fb-log")).to_contain_text("seconds to go")
        picture(page, "build-live")
        page.goto(f"{live.server.url}/{index}/+forks")
        page.locator("tbody[id^=inline-] summary").click()
        picture(page, "forks")
        page.goto(f"{live.server.url}/+forkbuilder")
        picture(page, "operators")
