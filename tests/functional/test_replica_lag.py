"""How far a replica is behind its primary."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.live import SIMPLE_JSON, Host, Live
from tests.repositories import Repository
from tests.sites import Site, running_site

pytestmark = pytest.mark.functional
LAG = 5.0
"""Seconds after which a replica knows a new pin."""


@pytest.fixture
def site(host: Host, devpi_templates: Callable[[bool], Path], tmp_path: Path) -> Iterator[Site]:
    with running_site(tmp_path, host, devpi_templates(False)) as made:
        yield made


def test_replica__knows_a_new_pin_soon(site: Site, host: Host, record_property: Callable[[str, object], None]) -> None:
    """Between the primary's answer to who pins and the first answer of the replica that is about the pin."""
    forks = [host.fork("inline", project=f"pinned{number}") for number in range(10)]
    index, lags = site.index_of(), []
    for number, fork in enumerate(forks):
        assert not names_a_file(site.replica, index, fork)
        site.primary.pin(index, *map(host.pin, forks[: number + 1]))
        pinned = time.monotonic()
        while not names_a_file(site.replica, index, fork):
            assert time.monotonic() - pinned < LAG
        lags.append(time.monotonic() - pinned)
    print(f"a replica knows a new pin after {statistics.median(lags):.3f} s (median), {max(lags):.3f} s at most")
    record_property("lag_seconds_median", round(statistics.median(lags), 3))
    record_property("lag_seconds_most", round(max(lags), 3))
    assert max(lags) <= LAG


def names_a_file(replica: Live, index: str, fork: Repository) -> bool:
    """Whether the replica knows the fork: this page asks no primary, and has a placeholder for what is not built."""
    answer = replica.server.get(f"{index}/+cached/{fork.project}/", {"Accept": SIMPLE_JSON})
    return answer.status == 200 and bool(answer.json["files"])
