"""A primary that is down, frozen, killed and started again: who reads from a replica is served all the same."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urljoin

import pytest

from tests.clients import Uv
from tests.devpi import Answer
from tests.functional.conftest import each_storage
from tests.live import Host, Live, in_threads, wheel_of
from tests.postgres import Storage
from tests.sites import Site, running_site

pytestmark = pytest.mark.functional
SOON = 6.0
"""Seconds within which a miss is answered when the primary is silent: a connection attempt and a pause."""
AT_ONCE = 1.0


@pytest.fixture
def site(host: Host, storage: Storage, tmp_path: Path) -> Iterator[Site]:
    """A primary on the test's storage, and a replica on SQLite."""
    with running_site(tmp_path, host, storage.template, on_primary=storage.options) as made:
        yield made


def timed(ask: Callable[[], Answer]) -> tuple[Answer, float]:
    began = time.monotonic()
    return ask(), time.monotonic() - began


def placeholder(replica: Live, index: str, page: Answer) -> Answer:
    """What a client that chose the page's placeholder is told."""
    (url,) = {file["url"] for file in page.check().json["files"]}
    return replica.server.get(urljoin(f"{replica.url(index)}project/", url))


@each_storage
def test_primary_dead__what_is_built_is_served_and_misses_say_so(site: Site, host: Host) -> None:
    built, fork, other = host.fork("inline"), host.fork("counts"), host.fork("fails")
    index = site.index_of(built, fork, other)
    replica = site.replica
    replica.file(index, built.project)
    site.primary.server.kill()
    page, seconds = timed(lambda: replica.page(index, built.project))
    assert page.check().json["files"][0]["filename"] == wheel_of(built)
    assert seconds < AT_ONCE
    page, seconds = timed(lambda: replica.page(index, fork.project))
    told = placeholder(replica, index, page)
    assert told.status == 424
    assert f"the primary at {site.primary.server.url} cannot be reached" in told.reason
    assert seconds < SOON
    # states, as far as this server knows them, and a write that says what is wrong
    states = {state["project"]: state["state"] for state in replica.server.get(f"{index}/+forks").check().result}
    assert states == {"inline": "built", "counts": "failed", "fails": "wanted"}
    answer = replica.server.api("POST", f"{index}/+forks/{fork.project}/build", {})
    assert (answer.status, "cannot be reached" in answer.json["message"]) == (502, True)


def test_primary_dead__is_left_alone_after_a_few_failures_and_found_again(site: Site, host: Host) -> None:
    forks = [host.fork("counts", project=f"counted{number}") for number in range(3)]
    index = site.index_of(*forks)
    site.primary.server.kill()
    threads = in_threads([lambda fork=fork: site.replica.page(index, fork.project).check() for fork in forks])  # type: ignore[misc]
    for thread in threads:
        thread.join(SOON * 2)
    assert site.replica.metric("primary_given_up") == 1
    _, seconds = timed(lambda: site.replica.page(index, forks[0].project))
    assert seconds < AT_ONCE
    site.primary.server.start()
    deadline = time.monotonic() + 30
    while (file := site.replica.file(index, forks[0].project))["filename"] != wheel_of(forks[0]):
        assert time.monotonic() < deadline, file
        time.sleep(0.2)  # a server that gave up gives no other sign of a new try than its answer
    assert site.replica.metric("primary_given_up") == 0


@each_storage
def test_primary_frozen__a_miss_is_answered_within_seconds(site: Site, host: Host) -> None:
    built, fork = host.fork("inline"), host.fork("counts")
    index = site.index_of(fork, built)  # what comes after it would be built ahead
    site.replica.file(index, built.project)
    os.kill(site.primary.server.pid, signal.SIGSTOP)
    try:
        page, seconds = timed(lambda: site.replica.page(index, built.project))
        assert seconds < AT_ONCE
        assert page.check().json["files"][0]["filename"] == wheel_of(built)
        page, seconds = timed(lambda: site.replica.page(index, fork.project))
        assert "cannot be reached" in placeholder(site.replica, index, page).reason
        assert seconds < SOON
    finally:
        os.kill(site.primary.server.pid, signal.SIGCONT)
    assert site.replica.files(index, fork.project).keys() == {wheel_of(fork)}


@each_storage
def test_one_miss__at_a_primary_and_two_replicas_is_built_once(host: Host, storage: Storage, tmp_path: Path) -> None:
    fork = host.slow(2)
    with running_site(tmp_path, host, storage.template, replicas=2, on_primary=storage.options) as site:
        index, everywhere = site.index_of(fork), [site.primary, *site.replicas]
        found: list[str] = []
        asks = [lambda live=live: found.append(live.file(index, fork.project)["filename"]) for live in everywhere * 2]  # type: ignore[misc]
        for thread in in_threads(asks):
            thread.join(60)
        assert found == [wheel_of(fork)] * len(asks)
        assert site.primary.metric("built_total") == 1
    assert host.git.fetches(fork.name) == 1


def test_primary_back_during_the_hold__is_used(site: Site, host: Host) -> None:
    """The first question fails, and the primary comes while this replica still tries."""
    fork = host.fork("inline")
    index = site.index_of(fork)
    os.kill(site.primary.server.pid, signal.SIGSTOP)
    answers: list[Answer] = []
    try:
        (waiting,) = in_threads([lambda: answers.append(site.replica.page(index, fork.project))])
        site.replica.wait_for_metric("conversations", lambda value: value == 1)
    finally:
        os.kill(site.primary.server.pid, signal.SIGCONT)
    waiting.join(60)
    assert answers[0].check().json["files"][0]["filename"] == wheel_of(fork)


def test_primary_killed_during_a_build__the_waiting_clients_get_their_wheel(site: Site, host: Host, uv: Uv) -> None:
    fork = host.slow(3)
    index = site.index_of(fork)
    running = uv.start(site.replica.url(index), fork.project)
    site.replica.wait_for_log(index, fork, "seconds to go")
    site.primary.server.kill()
    site.primary.server.start()
    running.wait(90).check()
    assert host.git.fetches(fork.name) >= 1
    assert site.replica.file(index, fork.project)["filename"] == wheel_of(fork)


def test_primary_dead_for_good__a_held_request_ends_with_the_servers_limit(
    host: Host, devpi_templates: Callable[[bool], Path], tmp_path: Path
) -> None:
    fork = host.slow(30)
    options = ("--forkbuilder-wait", "4", "--forkbuilder-hold", "1")
    with running_site(tmp_path, host, devpi_templates(False), options=options) as site:
        index = site.index_of(fork)
        answers: list[tuple[Answer, float]] = []
        (waiting,) = in_threads([lambda: answers.append(timed(lambda: site.replica.page(index, fork.project)))])
        site.replica.wait_for(index, fork.project, "building")
        site.primary.server.kill()
        waiting.join(30)
        ((page, seconds),) = answers
        assert "did not end in time" in placeholder(site.replica, index, page).reason
        assert seconds < 7


def test_replica_killed_during_replication__ends_equal_to_the_primary(site: Site, host: Host) -> None:
    forks = [host.fork("inline", project=f"part{number}") for number in range(8)]
    index = site.index_of(*forks)
    threads = in_threads([lambda fork=fork: site.primary.files(index, fork.project) for fork in forks])  # type: ignore[misc]
    for number in range(3):
        site.primary.wait_for_metric("built_total", lambda value, least=number * 2 + 1: value >= least)  # type: ignore[misc]
        site.replica.server.kill()
        site.replica.server.start()
    for thread in threads:
        thread.join(120)
    site.settle()
    site.wait_for_files(site.replica)
    assert {name for fork in forks for name in site.replica.files(index, fork.project)} == set(map(wheel_of, forks))


def test_promotion__the_replica_builds_on_and_nothing_is_built_again(
    host: Host, devpi_templates: Callable[[bool], Path], tmp_path: Path
) -> None:
    old, new = host.fork("inline"), host.fork("counts")
    with running_site(tmp_path, host, devpi_templates(False)) as site:
        index = site.index_of(old, new)
        before = site.replica.file(index, old.project)
        site.wait_for_files(site.replica)
        site.primary.server.kill()
        server = site.replica.server
        server.stop()
        server.options = ("--role", "primary", *host.allowed, "--enable-core-metadata")
        server.start()
        assert site.replica.file(index, old.project) == before
        assert host.git.fetches(old.name) == 1
        assert site.replica.file(index, new.project)["filename"] == wheel_of(new)
        assert host.git.fetches(new.name) == 1
        server.restart()
        assert site.replica.state(index, old.project)["state"] == "built"
