"""Servers whose clocks are wrong: nothing that is promised depends on the time of day."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.clients import Uv
from tests.devpi import DevpiServer
from tests.faults.clocks import library, shifted
from tests.functional.conftest import MakeLive
from tests.live import METADATA, Host, Live, wheel_of
from tests.sites import ONLY_ASKED, Site

pytestmark = [
    pytest.mark.functional,
    pytest.mark.faults,
    pytest.mark.skipif(not library(), reason="needs faketime"),
]


@pytest.mark.parametrize("by", ["-10y", "+5y"])
def test_clock__of_a_server_is_years_off(own: MakeLive, uv: Uv, tmp_path: Path, by: str) -> None:
    live = own(environment=shifted(by))
    fork = live.host.fork("inline")
    index = live.index_of(fork)
    uv.install(live.url(index), f"{fork.project}==1.0.2", target=tmp_path / "target").check()
    assert list(live.files(index, fork.project)) == [wheel_of(fork)]


def test_clock__of_a_replica_is_behind(host: Host, devpi_templates: Callable[[bool], Path], tmp_path: Path) -> None:
    """By less than devpi's own limit: a primary refuses a replica that is 38 seconds behind, or ahead at all."""
    options = ("--role", "primary", *host.allowed, METADATA, *ONLY_ASKED)
    with (
        DevpiServer(tmp_path / "primary", *options, template=devpi_templates(False)) as primary,
        DevpiServer(tmp_path / "replica", METADATA, primary=primary, environment=shifted("-20s")) as replica,
    ):
        site = Site(Live(primary, host), [Live(replica, host)])
        fork = host.fork("inline")
        index = site.index_of(fork)
        assert list(site.replica.files(index, fork.project)) == [wheel_of(fork)]
        assert list(site.primary.files(index, fork.project)) == [wheel_of(fork)]
