"""Resolving a public project of 60 versions of 1 MiB: through the index, against the public index itself, with uv.

The public index has ranges and no metadata files, as many company proxies. Both sides take turns; each round has a new
server and new caches.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from bench.figures import Figure, ratio
from tests.clients import Uv
from tests.devpi import DevpiServer, initialise
from tests.live import METADATA
from tests.publicindex import PublicIndex, public_index

VERSIONS, MIB = 60, 1024 * 1024
FETCHED, TIMES = 6.0, 1.3


def figures(folder: Path, *, quick: bool) -> Iterator[Figure]:
    """Bytes that are fetched from the public index, and the time over that without us."""
    template = initialise(folder / "template", "--no-root-pypi")
    with public_index(folder / "public") as public:
        public.ranges = public.suffixes = True
        public.add_wheel("other", "1.0")
        for number in range(1, VERSIONS + 1):
            requires = ["other>1" if number > 1 else "other"]
            public.add_wheel("walked", f"1.{number}", requires=requires, padding=MIB)
        ours, theirs, fetched = [], [], []
        for number in range(1 if quick else 5):
            uv = Uv(folder / f"uv-{number}")
            theirs.append(resolved(uv, public.url))
            with DevpiServer(folder / f"server-{number}", METADATA, template=template) as server:
                server.create_index(
                    "root/public", type="mirror", mirror_url=public.url, mirror_no_project_list=True
                ).check()
                server.create_index("root/forks", type="forkbuilder", bases=["root/public"]).check()
                taken, n_bytes = through(server, uv, public)
                ours.append(taken)
                fetched.append(n_bytes / MIB)
    yield Figure("60 versions of 1 MiB through the index, fetched", max(fetched), "MiB", FETCHED)
    yield ratio("60 versions of 1 MiB through the index, time over that without", ours, theirs, unit="s", goal=TIMES)


def through(server: DevpiServer, uv: Uv, public: PublicIndex) -> tuple[float, int]:
    """Seconds through a server's index, and bytes that it fetched."""
    before = public.bytes_sent
    taken = resolved(uv, server.index_url("root/forks"))
    return taken, public.bytes_sent - before


def resolved(uv: Uv, url: str) -> float:
    """Seconds that uv takes to walk through all versions."""
    begun = time.monotonic()
    uv.install(url, "walked", "other", arguments=("--dry-run",)).check()
    return time.monotonic() - begun
