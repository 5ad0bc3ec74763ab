"""The simple page of one project on an index of 10,000 pins, against an index of 10 (needs `wrk`).

Two rows: pages that are asked for again, and the first page after a commit, which is made anew.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from bench.figures import Figure, ratio
from bench.pages import JSON, PIP, rate
from tests.devpi import DevpiServer, initialise
from tests.repositories import Repositories

FEW, MANY = "few/forks", "many/forks"


def filler(count: int) -> list[str]:
    """Pins that nobody asks for."""
    return [f"git+https://git.example.com/org/p{n}.git@{n:040x}#egg=filler{n}==1.0" for n in range(count)]


def first_after_commit(server: DevpiServer, index: str, project: str, number: int) -> float:
    """Seconds that the page takes when something else has just been committed."""
    server.create_user(f"user-{index.partition('/')[0]}-{number}")
    begun = time.perf_counter()
    server.get(f"{index}/+simple/{project}/", {"Accept": JSON, "User-Agent": PIP}).check()
    return time.perf_counter() - begun


def figures(folder: Path, *, quick: bool) -> Iterator[Figure]:
    """Pages that are asked for again, and the first page after a commit."""
    count, seconds, rounds, commits = (1000, 1, 1, 3) if quick else (10_000, 3, 5, 15)
    repositories = Repositories(folder / "git")
    line = repositories.pin_line(repositories.make("inline"), f"file://{folder / 'git'}")
    project = line.partition("#egg=")[2].partition("==")[0]
    template = initialise(folder / "template", "--no-root-pypi")
    urls = (f"file://{folder}", "https://git.example.com")
    allowed = [word for url in urls for word in ("--forkbuilder-allow-url", url)]
    allowed += [word for user in ("few", "many") for word in ("--forkbuilder-allow-user", user)]
    with DevpiServer(folder / "server", *allowed, template=template) as server:
        for index, pins in ((FEW, 9), (MANY, count - 1)):
            server.create_user(index.partition("/")[0])
            server.create_index(index, type="forkbuilder", forks=[line, *filler(pins)]).check()
            server.get(f"{index}/+simple/{project}/", {"Accept": JSON, "User-Agent": PIP}).check()
        kept = [
            [1 / rate(f"{server.url}/{index}/+simple/{project}/", seconds) for index in (MANY, FEW)]
            for _ in range(rounds)
        ]
        anew = [[first_after_commit(server, index, project, n) for index in (MANY, FEW)] for n in range(commits)]
    for what, rows in (("asked for again", kept), ("first after a commit", anew)):
        many, few = zip(*rows, strict=True)
        yield ratio(f"page of an index of {count:,} pins over one of 10, {what}, time", many, few, unit="s", goal=1.2)
