"""A miss on a replica, over the same miss on its primary: seconds from the request to the page with the wheel.

    python -m bench.replica [--rounds 5]

Real servers on one machine; forks with an in-tree back end, so that the build itself is short. In each round another
fork of the same kind is asked for at either server.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import tempfile
import time
from pathlib import Path

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


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="A miss on a replica, over the same miss on its primary.")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with hosted(folder / "git") as host:
            primary, replica = measure(folder, host, arguments.rounds)
    for what, seconds in (("primary", primary), ("replica", replica)):
        print(f"{what}: median {statistics.median(seconds):.2f} s, from {min(seconds):.2f} to {max(seconds):.2f}")
    more = statistics.median(replica) - statistics.median(primary)
    print(f"a miss on the replica takes {more:+.2f} s more (to hold: 1 s)")


if __name__ == "__main__":
    main()
