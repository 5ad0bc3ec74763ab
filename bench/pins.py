"""The simple page of one project on an index of 10,000 pins, against an index of 10 (needs `wrk`).

    python -m bench.pins [--pins 10000] [--seconds 3] [--rounds 3]

Two rows: pages that are asked for again, and the first page after a commit, which is made anew.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

from bench.pages import JSON, PIP, rate
from tests.devpi import DevpiServer, initialise
from tests.repositories import Repositories

FEW, MANY = "few/forks", "many/forks"
COMMITS = 15


def filler(count: int) -> list[str]:
    """Pins that nobody asks for."""
    return [f"git+https://git.example.com/org/p{n}.git@{n:040x}#egg=filler{n}==1.0" for n in range(count)]


def first_after_commit(server: DevpiServer, index: str, project: str, number: int) -> float:
    """Seconds that the page takes when something else has just been committed."""
    server.create_user(f"user-{index.partition('/')[0]}-{number}")
    begun = time.perf_counter()
    server.get(f"{index}/+simple/{project}/", {"Accept": JSON, "User-Agent": PIP}).check()
    return time.perf_counter() - begun


def main() -> None:
    """Make both indexes, compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pins", type=int, default=10_000)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        repositories = Repositories(folder / "git")
        line = repositories.pin_line(repositories.make("inline"), f"file://{folder / 'git'}")
        project = line.partition("#egg=")[2].partition("==")[0]
        template = initialise(folder / "template", "--no-root-pypi")
        urls = (f"file://{folder}", "https://git.example.com")
        allowed = [word for url in urls for word in ("--forkbuilder-allow-url", url)]
        allowed += [word for user in ("few", "many") for word in ("--forkbuilder-allow-user", user)]
        with DevpiServer(folder / "server", *allowed, template=template) as server:
            for index, count in ((FEW, 9), (MANY, given.pins - 1)):
                begun = time.perf_counter()
                server.create_user(index.partition("/")[0])
                server.create_index(index, type="forkbuilder", forks=[line, *filler(count)]).check()
                print(f"{index}: {count + 1} pins set in {time.perf_counter() - begun:.2f} s")
                server.get(f"{index}/+simple/{project}/", {"Accept": JSON, "User-Agent": PIP}).check()
            kept = [
                [rate(f"{server.url}/{index}/+simple/{project}/", given.seconds) for index in (MANY, FEW)]
                for _ in range(given.rounds)
            ]
            anew = [[first_after_commit(server, index, project, n) for index in (MANY, FEW)] for n in range(COMMITS)]
    many, few = (statistics.median(column) for column in zip(*kept, strict=True))
    print(f"asked for again    {many:8.0f}/s of many   {few:8.0f}/s of few   time ratio {few / many:5.2f}")
    many, few = (statistics.median(column) * 1000 for column in zip(*anew, strict=True))
    print(f"after a commit     {many:8.1f} ms of many   {few:8.1f} ms of few   time ratio {many / few:5.2f}")


if __name__ == "__main__":
    main()
