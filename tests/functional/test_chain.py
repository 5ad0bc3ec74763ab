"""devpi as it is, without the plugin, as a local cache of the team's index, and another one as a cache of that."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.clients import Pip, Uv
from tests.devpi import Answer, DevpiServer, PlainServer
from tests.functional.conftest import MakeLive
from tests.live import SIMPLE_JSON, Live, in_threads, wheel_of
from tests.repositories import Repository

pytestmark = pytest.mark.functional
PATIENT = ("--request-timeout", "300")
BEYOND_DEVPI = 8
"""Seconds of a build that is longer than devpi waits for a page by itself (5); pip waits 15 without a byte."""
CACHE = "root/cache"
AT_ONCE = 0
"""The `mirror_cache_expiry` with which a cache asks upstream for each page."""


@dataclass(frozen=True, slots=True)
class Cache:
    """A plain devpi with a mirror index."""

    server: DevpiServer

    @property
    def url(self) -> str:
        """What an installer is given."""
        return self.server.index_url(CACHE)

    def page(self, project: str) -> Answer:
        return self.server.get(f"{CACHE}/+simple/{project}/", {"Accept": SIMPLE_JSON, "User-Agent": "pip/26.3"})


MakeCache = Callable[..., Cache]


@pytest.fixture
def cache_of(tmp_path: Path, devpi_templates: Callable[[bool], Path]) -> Iterator[MakeCache]:
    """Makes caches: `cache_of(URL of a simple index)`."""
    with ExitStack() as stack:

        def make(upstream: str, expiry: int = 1800) -> Cache:
            folder = tmp_path / f"cache-{len(list(tmp_path.glob('cache-*')))}"
            server = stack.enter_context(PlainServer(folder, *PATIENT, template=devpi_templates(False)))
            settings = {"mirror_url": upstream, "mirror_no_project_list": True, "mirror_cache_expiry": expiry}
            server.create_index(CACHE, type="mirror", **settings).check()
            return Cache(server)

        yield make


@pytest.fixture
def team(own: MakeLive) -> Live:
    """A server whose held answers begin at once: the caches see newlines."""
    return own("--forkbuilder-hold", "0")


@pytest.mark.network
@pytest.mark.slow
def test_two_plain_caches__a_cold_build_comes_through_and_stays(
    team: Live, cache_of: MakeCache, pip_new: Pip, uv: Uv, tmp_path: Path
) -> None:
    fork = team.host.slow(BEYOND_DEVPI)
    local = cache_of(team.url(team.index_of(fork)))
    further = cache_of(local.url)
    cold = pip_new.install(further.url, "slow==1.0.2", target=tmp_path / "cold").check()
    assert cold.seconds > BEYOND_DEVPI
    assert (tmp_path / "cold" / "slow.py").is_file()
    assert team.host.git.fetches(fork.name) == 1
    team.server.stop()
    pip_new.install(local.url, "slow==1.0.2", target=tmp_path / "local").check()  # the page is there, the file too
    local.server.stop()
    for client, name in ((pip_new, "by-pip"), (uv, "by-uv")):
        client.install(further.url, "slow==1.0.2", target=tmp_path / name).check()
        assert (tmp_path / name / "slow.py").is_file()


def test_plain_cache__offline_serves_pages_that_have_expired(team: Live, cache_of: MakeCache, uv: Uv) -> None:
    fork = team.host.fork("inline")
    local = cache_of(team.url(team.index_of(fork)), AT_ONCE)
    uv.install(local.url, "inline").check()
    team.server.stop()
    uv.install(local.url, "inline").check()
    assert names(local.page("inline")) == [wheel_of(fork)]


def test_plain_cache__keeps_no_failure_of_a_build_that_it_waited_for(team: Live, cache_of: MakeCache) -> None:
    """The answer had begun when the build failed: what devpi did not get to its end, it does not keep."""
    fork = team.host.fork("inline")
    index = team.index_of(fork)
    local = cache_of(team.url(index))
    assert while_it_fails(team, fork, local).status == 502
    assert team.state(index, "inline")["state"] == "failed"
    assert local.page("inline").status == 502  # remembered upstream, and told by an ordinary 503
    team.host.git.reset(fork.name)
    team.build(index, "inline", force=True).check(202)
    team.wait_for(index, "inline", "built")
    assert names(local.page("inline")) == [wheel_of(fork)]


def test_plain_cache__good_files_stay_when_another_pin_fails(team: Live, cache_of: MakeCache) -> None:
    good, bad = team.host.fork("inline", version="1.0.1"), team.host.fork("inline")
    index = team.index_of(good)
    local = cache_of(team.url(index), AT_ONCE)
    assert names(local.page("inline")) == [wheel_of(good)]
    team.pin(index, team.host.pin(good), team.host.pin(bad))
    assert names(while_it_fails(team, bad, local)) == [wheel_of(good)]
    assert {state["state"] for state in team.states(index, "inline")} == {"built", "failed"}
    assert names(local.page("inline")) == [wheel_of(good)]


def while_it_fails(team: Live, fork: Repository, local: Cache) -> Answer:
    """What a cache answers whose page was held upstream when the build of a fork failed."""
    gate = team.host.git.hold(fork.name)
    answers: list[Answer] = []
    (asking,) = in_threads([lambda: answers.append(local.page(fork.project))])
    gate.wait_until_reached()
    team.host.git.hide(fork.name)
    team.wait_for_metric("held_requests", lambda held: held == 1)
    gate.open()
    asking.join(60)
    assert "its answer is cut off" in team.server.log_text()
    return answers[0]


def names(page: Answer) -> list[str]:
    return [file["filename"] for file in page.check().json["files"]]
