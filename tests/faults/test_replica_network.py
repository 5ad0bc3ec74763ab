"""The network between a primary and its replica cut and restored."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.clients import Uv
from tests.devpi import Answer, DevpiServer
from tests.functional.test_replica_faults import AT_ONCE, SOON, timed
from tests.live import METADATA, Host, Live, hosted, in_threads, wheel_of
from tests.networks import FarServer, Networks, lacking, two_networks, until
from tests.sites import ONLY_ASKED, Site

pytestmark = pytest.mark.functional
GIVEN_UP = 45.0
"""Seconds within which a replica goes on in any case: devpi gives a connection up after 37.5 and then pauses for 5.

Usually it is sooner. What the primary had to say while the cable was out is sent again by TCP, in steps that double
(RFC 6298): after 0.2 s, 0.6, 1.4 and so on to 12.6, 25.4 and 51. So a replica goes on at the next step after the cable
is back, which is at most about as long as the primary's words had been on hold.
"""
PATIENCE = 60.0
"""Seconds for which a replica tries a primary that is away, for a request that waits for a build."""


@pytest.fixture
def networks() -> Iterator[Networks]:
    missing = lacking()
    if missing:
        pytest.skip(missing)
    with two_networks() as made:
        yield made


@pytest.fixture
def apart(networks: Networks, devpi_templates: Callable[[bool], Path], tmp_path: Path) -> Iterator[tuple[Site, Host]]:
    """A primary here, with a git host; its replica in the other network."""
    with hosted(tmp_path / "host") as host:
        # the locks on user ids for confined builds are per network namespace: with the same ids as servers of the
        # machine's own network, each would end the other's builds
        free = ("--forkbuilder-sandbox", "none")
        own = ("--host", "0.0.0.0", "--role", "primary", *host.allowed, METADATA, *ONLY_ASKED, *free)
        with (
            DevpiServer(tmp_path / "primary", *own, template=devpi_templates(False)) as primary,
            FarServer(tmp_path / "replica", networks, primary, METADATA) as replica,
        ):
            yield Site(Live(primary, host), [Live(replica, host)]), host


@pytest.mark.faults
@pytest.mark.parametrize(("seconds", "limit"), [(20, 20.0), (30, 10.0)])
def test_cable_pulled_during_a_build__the_client_waits_and_gets_its_wheel(
    seconds: int,
    limit: float,
    apart: tuple[Site, Host],
    networks: Networks,
    uv: Uv,
    record_property: Callable[[str, object], None],
) -> None:
    site, host = apart
    before, fork = host.fork("inline"), host.slow(5)
    index = site.index_of(before, fork)
    site.replica.file(index, before.project)
    running = uv.start(site.replica.url(index), fork.project)
    site.replica.wait_for_log(index, fork, "seconds to go")
    networks.pull()
    pulled = time.monotonic()
    site.primary.wait_for(index, fork.project, "built")
    began = time.monotonic()
    assert site.replica.file(index, before.project)["filename"] == wheel_of(before)
    assert time.monotonic() - began < 1
    assert site.replica.server.serial() < site.primary.server.serial()  # the cable is out indeed
    until(pulled + seconds)
    assert running.popen.poll() is None
    networks.plug()
    plugged = time.monotonic()
    site.settle()
    site.wait_for_files(site.replica)
    converged = time.monotonic() - plugged
    running.wait(60).check()
    served = time.monotonic() - plugged
    print(f"cable out {seconds} s: equal {converged:.1f} s after it was back, the client served after {served:.1f} s")
    record_property("converged_seconds", round(converged, 2))
    record_property("served_seconds", round(served, 2))
    assert site.replica.file(index, fork.project)["filename"] == wheel_of(fork)
    assert host.git.fetches(fork.name) == 1
    assert converged <= limit


@pytest.mark.faults
def test_cable_pulled_for_longer_than_a_client_is_kept__the_replica_ends_equal(
    apart: tuple[Site, Host], networks: Networks, record_property: Callable[[str, object], None]
) -> None:
    site, host = apart
    fork = host.slow(5)
    index = site.index_of(fork)
    pages: list[tuple[Answer, float]] = []
    (waiting,) = in_threads([lambda: pages.append((site.replica.page(index, fork.project), time.monotonic()))])
    site.replica.wait_for_log(index, fork, "seconds to go")
    networks.pull()
    pulled = time.monotonic()
    waiting.join(PATIENCE + 20)
    ((page, answered),) = pages
    assert answered - pulled < PATIENCE + 10
    assert "/failed/" in page.check().json["files"][0]["url"]
    until(pulled + 70)
    networks.plug()
    plugged = time.monotonic()
    site.settle()
    site.wait_for_files(site.replica)
    converged = time.monotonic() - plugged
    print(f"cable out 70 s: client answered after {answered - pulled:.1f} s, equal {converged:.1f} s after it was back")
    record_property("converged_seconds", round(converged, 2))
    assert site.replica.file(index, fork.project)["filename"] == wheel_of(fork)
    assert host.git.fetches(fork.name) == 1
    assert converged <= GIVEN_UP


WAYS = {
    "interface down at the primary": (Networks.pull, Networks.plug),
    "interface down at the replica": (Networks.pull_there, Networks.plug_there),
    "packets lost": (Networks.lose, Networks.find),
}


@pytest.mark.faults
@pytest.mark.parametrize("way", WAYS)
def test_pinned_while_the_network_is_cut__the_replica_tells_what_it_knew_and_catches_up(
    way: str, apart: tuple[Site, Host], networks: Networks, record_property: Callable[[str, object], None]
) -> None:
    """Until it hears of the pin, a replica answers as before, at once and without an error of the server."""
    cut, restore = WAYS[way]
    site, host = apart
    before, waiting, new = host.fork("inline"), host.fork("counts"), host.fork("fails", project="new")
    index = site.index_of(before, waiting)
    site.replica.file(index, before.project)
    cut(networks)
    began = time.monotonic()
    site.primary.pin(index, *map(host.pin, (before, waiting, new)))
    assert site.primary.state(index, "new")["state"] == "wanted"
    assert timed(lambda: site.replica.page(index, "new"))[0].status == 404
    page, seconds = timed(lambda: site.replica.page(index, before.project))
    assert [file["filename"] for file in page.check().json["files"]] == [wheel_of(before)]
    assert seconds < AT_ONCE
    page, seconds = timed(lambda: site.replica.page(index, waiting.project))
    assert "/failed/primary-unreachable/" in page.check().json["files"][0]["url"]
    assert seconds < SOON
    until(began + 20)
    restore(networks)
    restored = time.monotonic()
    site.settle()
    lag = time.monotonic() - restored
    page, _ = timed(lambda: site.replica.page(index, "new"))
    assert page.check().json["files"]
    print(f"{way} for 20 s: the replica knew the pin {lag:.1f} s after the network was back")
    record_property("lag_seconds", round(lag, 2))
    assert lag <= GIVEN_UP
