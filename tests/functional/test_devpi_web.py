"""devpi-web's own pages of an index, whatever became of its pins."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from uv import find_uv_bin

from tests.functional.conftest import MakeLive
from tests.live import Live
from tests.processes import Running
from tests.repositories import Repository
from tests.surroundings import clean_environment

BROWSER = {"Accept": "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8", "User-Agent": "Mozilla/5.0"}
OLDEST = "5.0.0"


def older_devpi_web(folder: Path) -> dict[str, str]:
    """Install the oldest supported devpi-web beside the newest; the variables with which a server loads it."""
    command = [find_uv_bin(), "pip", "install", "--quiet", "--no-deps", "--python", sys.executable]
    target = folder / "older"
    install = [*command, "--target", str(target), f"devpi-web=={OLDEST}"]
    Running(install, clean_environment(folder), folder, None).wait(120).check()
    return {"PYTHONPATH": str(target)}


def leads_to_our_pages(live: Live, index: str, built: Repository, failing: Repository) -> None:
    forks = f"{live.server.url}/{index}/+forks"
    version = live.files(index, built.project).popitem()[0].split("-")[1]
    on_index = live.server.get(index, BROWSER).check(200).text
    assert on_index.count(f'<a href="{forks}">') == 1
    for page in (f"{index}/{built.project}", f"{index}/{built.project}/{version}"):
        shown = live.server.get(page, BROWSER).check(200).text
        assert re.search(rf'href="{re.escape(forks)}/{built.project}"[^>]*>Fork of {index}: built<', shown)
    shown = live.server.get(f"{index}/{failing.project}", BROWSER).check(200).text
    assert f"Fork of {index}: failed" in shown
    ours = live.server.get(f"{index}/+forks", BROWSER).check(200).text
    assert '<div class="header">' in ours, "devpi-web's look"
    assert "forks.css" in ours


@pytest.mark.functional
@pytest.mark.parametrize("oldest", [pytest.param(True, marks=pytest.mark.network, id=OLDEST), False])
def test_devpi_web__shows_an_index_with_unbuilt_failed_and_built_pins(
    oldest: bool, own: MakeLive, tmp_path: Path
) -> None:
    live = own(environment=older_devpi_web(tmp_path) if oldest else None)
    assert ("devpi-web-5.0.0" in re.findall(r"devpi-web-[0-9.]+[0-9]", live.server.log_text())) is oldest
    unbuilt, failing, built = live.host.fork("inline"), live.host.fork("fails"), live.host.fork("inline")
    index = live.index_of(unbuilt)
    shown = live.server.get(index, BROWSER).check(200).text
    assert "Traceback" not in shown
    live.pin(index, live.host.pin(failing), live.host.pin(built))
    assert live.outcome(index, failing.project)["state"] == "failed"
    live.file(index, built.project)
    shown = live.server.get(index, BROWSER).check(200).text
    assert f"{built.project}-{built.version}" in shown
    leads_to_our_pages(live, index, built, failing)
    log = live.server.log_text()
    assert "Traceback" not in log
    assert "metadata for project" not in log, "one line at level ERROR for each pin at each visit"


@pytest.mark.functional
def test_devpi_web__shows_the_page_of_an_unbuilt_project_and_the_list_of_indexes(live: Live) -> None:
    fork = live.host.fork("inline")
    index = live.index_of(fork)
    for page in (f"{index}/{fork.project}", index.partition("/")[0], ""):
        live.server.get(page, BROWSER).check(200)
    projects = live.server.api("GET", index).check().result["projects"]
    assert projects == [fork.project], "the API lists pins that have no file"
