"""A miss on a replica, over the same miss on its primary: seconds from the request to the page with the wheel.

Real servers on one machine; forks with an in-tree back end, so that the build itself is short. In each round another
fork of the same kind is asked for at either server.
"""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

from bench.figures import Figure
from tests.devpi import initialise
from tests.live import Host, Live, hosted
from tests.sites import running_site


def miss(server: Live, index: str, project: str) -> float:
    """How long the page takes."""
    began = time.monotonic()
    file = server.file(index, project)
    took = time.monotonic() - began
    assert "/failed/" not in file["url"], file
    return took


def measure(folder: Path, host: Host, rounds: int) -> tuple[list[float], list[float]]:
    """Seconds at the primary, and at the replica."""
    template = initialise(folder / "template", "--no-root-pypi")
    names = (f"forked{number}" for number in itertools.count(1))
    with running_site(folder / "site", host, template, threads=32) as site:
        times: dict[Live, list[float]] = {site.primary: [], site.replica: []}
        for number in range(rounds + 1):
            for server, found in times.items():
                fork = host.fork("inline", project=next(names))
                took = miss(server, site.index_of(fork), fork.project)
                if number:  # the first round makes caches warm
                    found.append(took)
    return times[site.primary], times[site.replica]


def figures(folder: Path, *, quick: bool) -> Iterator[Figure]:
    """How much longer a miss takes on the replica."""
    with hosted(folder / "git") as host:
        primary, replica = (statistics.median(times) for times in measure(folder, host, 1 if quick else 5))
    detail = f"{replica:.2f} s on the replica, {primary:.2f} s on the primary"
    yield Figure("miss on a replica, over one on the primary", replica - primary, "s", 0.2, detail=detail)
