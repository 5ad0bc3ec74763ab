"""Replicas with real processes: a miss is built on the primary and served by the replica."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable

import pytest

from tests.clients import Uv
from tests.devpi import DevpiServer
from tests.functional.conftest import MakeLive
from tests.live import METADATA, Host, Live, in_threads, wheel_of

REPLICATION = 0.1


class Site:
    """A primary with an index of forks, and its replicas."""

    def __init__(self, primary: Live, replicas: list[Live]) -> None:
        self.primary = primary
        self.replicas = replicas

    @property
    def replica(self) -> Live:
        return self.replicas[0]

    def settle(self) -> None:
        for replica in self.replicas:
            replica.server.wait_for(self.primary.server)


MakeSite = Callable[..., Site]


@pytest.fixture
def make_site(own: MakeLive, devpi_server: Callable[..., DevpiServer], host: Host) -> MakeSite:
    def make(replicas: int = 1, options: tuple[str, ...] = (), on_primary: tuple[str, ...] = ()) -> Site:
        primary = own("--role", "primary", *on_primary)
        made = [devpi_server(METADATA, *options, primary=primary.server) for _ in range(replicas)]
        return Site(primary, [Live(server, host) for server in made])

    return make


def test_miss__on_a_replica_is_built_on_the_primary_and_served_by_the_replica(make_site: MakeSite, host: Host) -> None:
    site, fork = make_site(), host.fork("inline")
    index = site.primary.index_of(fork)
    site.settle()
    file = site.replica.file(index, fork.project)
    print(file, site.replica.server.get(file["url"]))
    assert file["filename"] == wheel_of(fork)
    assert file["url"].startswith(site.replica.server.url)
    assert host.git.fetches(fork.name) == 1
    assert site.primary.files(index, fork.project).keys() == {file["filename"]}
    assert not list(site.replica.server.serverdir.glob(".forkbuilder/work/*"))
