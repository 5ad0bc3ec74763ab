"""Requests a second for simple pages, with the plugin and without it, on one machine in one run (needs `wrk`).

    python -m bench.pages [--seconds 4] [--rounds 3]

Two devpi-servers are started from this environment, one of them with the plugin blocked. Both hold the same wheel: a
built fork on the one, an upload on the other. The servers are asked in turns, so that a machine that slows down slows
both; ratios are medians of rounds. One row is measured while an unrelated index of both servers commits ten times a
second.
"""

from __future__ import annotations

import argparse
import re
import statistics
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import requests

from tests.devpi import ROOT_PASSWORD, DevpiServer, initialise
from tests.repositories import Repositories

PIP = "pip/26.3"
JSON = "application/vnd.pypi.simple.v1+json"
BLOCKED = """
import sys, devpi_server.config as config
original = config.get_pluginmanager
def without(*, load_entrypoints=True):
    manager = original(load_entrypoints=False)
    manager.set_blocked("devpi-forkbuilder")
    manager.load_setuptools_entrypoints("devpi_server")
    return manager
config.get_pluginmanager = without
import devpi_server.main as main
main.get_pluginmanager = without
main.main(["devpi-server", *sys.argv[1:]])
"""


class Plain(DevpiServer):
    """devpi-server without the plugin."""

    def _command(self) -> list[str]:
        interpreter, _module, _name, *options = super()._command()
        return [interpreter, "-c", BLOCKED, *options]


def rate(url: str, seconds: int) -> float:
    """Requests a second that `url` answers, all with 200."""
    command = ["wrk", "-t1", "-c4", f"-d{seconds}s", "-H", f"User-Agent: {PIP}", "-H", f"Accept: {JSON}", url]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert "Non-2xx" not in said, said
    return float(re.findall(r"Requests/sec:\s+([0-9.]+)", said)[0])


@contextmanager
def commits(servers: Sequence[DevpiServer], every: float = 0.1) -> Iterator[None]:
    """Register a project on an index that nobody reads, on each server, until the end of the block."""
    over = threading.Event()

    def commit(server: DevpiServer) -> None:
        with requests.Session() as session:
            session.auth = ("root", ROOT_PASSWORD)
            for number in count():
                fields = {":action": "submit", "name": f"other{number}", "version": "1.0"}
                session.post(f"{server.url}/root/others/", fields, timeout=30).raise_for_status()
                if over.wait(every):
                    return

    threads = [threading.Thread(target=commit, args=(server,)) for server in servers]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()


def compare(name: str, ours: str, theirs: str, seconds: int, rounds: int) -> None:
    """Print the rates of two URLs and the median ratio."""
    pairs = [(rate(ours, seconds), rate(theirs, seconds)) for _ in range(rounds)]
    mine, other = (statistics.median(column) for column in zip(*pairs, strict=True))
    ratio = statistics.median(one / two for one, two in pairs)
    print(f"{name:<50} {mine:8.0f}/s with   {other:8.0f}/s without   ratio {ratio:5.2f}")


def upload(server: DevpiServer, index: str, filename: str, content: bytes) -> None:
    """Make a plain index and upload a wheel to it, as twine would."""
    server.create_index(index, type="stage").check()
    name, version = filename.split("-")[:2]
    fields = {":action": "file_upload", "name": name, "version": version}
    files = {"content": (filename, content)}
    requests.post(
        f"{server.url}/{index}/", fields, files=files, auth=("root", ROOT_PASSWORD), timeout=30
    ).raise_for_status()


def main() -> None:
    """Start both servers, fill them, compare."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--seconds", type=int, default=4)
    arguments.add_argument("--rounds", type=int, default=3)
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run(Path(folder), given.seconds, given.rounds)


def run(folder: Path, seconds: int, rounds: int) -> None:
    """The comparisons, with data in `folder`."""
    repositories = Repositories(folder / "git")
    line = repositories.pin_line(repositories.make("inline"), f"file://{folder / 'git'}")
    template = initialise(folder / "template", "--no-root-pypi")
    option = ("--forkbuilder-allow-url", f"file://{folder}", "--forkbuilder-allow-user", "root")
    with (
        DevpiServer(folder / "with", *option, template=template) as ours,
        Plain(folder / "without", template=template) as theirs,
    ):
        ours.create_index("root/forks", type="forkbuilder", forks=[line]).check()
        project = line.partition("#egg=")[2].partition("==")[0]
        page = ours.get(f"root/forks/+simple/{project}/", {"Accept": JSON, "User-Agent": PIP}).check().json
        [file] = page["files"]
        content = requests.get(f"{ours.url}/root/forks/+simple/{project}/{file['url']}", timeout=30).content
        for server in (ours, theirs):
            upload(server, "root/plain", file["filename"], content)
        for name, index, path in (
            ("simple page of a built fork", "root/forks", f"+simple/{project}/"),
            ("simple page of an uploaded project", "root/plain", f"+simple/{project}/"),
            ("simple page of all projects", "root/plain", "+simple/"),
        ):
            compare(name, f"{ours.url}/{index}/{path}", f"{theirs.url}/root/plain/{path}", seconds, rounds)
        for server in (ours, theirs):
            server.create_index("root/others", type="stage").check()
        path = f"+simple/{project}/"
        with commits((ours, theirs)):
            name = "the fork, while another index commits 10 times/s"
            compare(name, f"{ours.url}/root/forks/{path}", f"{theirs.url}/root/plain/{path}", seconds, rounds)


if __name__ == "__main__":
    main()
