"""Requests a second for simple pages, with the plugin and without it, on one machine in one run (needs `wrk`).

Two devpi-servers are started from this environment, one of them with the plugin blocked. Both hold the same wheel: a
built fork on the one, an upload on the other. The servers are asked in turns, so that a machine that slows down slows
both; ratios are medians of rounds. One row is measured while an unrelated index of both servers commits ten times a
second.
"""

from __future__ import annotations

import re
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import requests

from bench.figures import Figure, ratio
from tests.devpi import ROOT_PASSWORD, DevpiServer, initialise
from tests.live import METADATA
from tests.publicindex import public_index
from tests.repositories import Repositories

FORKS, OTHERS = 5.0, 0.95
PUBLIC_FILES = 300
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


def read_once(url: str) -> None:
    """Fetch a page; raises HTTPError unless it is there."""
    requests.get(url, headers={"User-Agent": PIP, "Accept": JSON}, timeout=60).raise_for_status()


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


def compare(name: str, ours: str, theirs: str, seconds: int, rounds: int, goal: float) -> Figure:
    """The rates of two URLs, asked in turns."""
    pairs = [(rate(ours, seconds), rate(theirs, seconds)) for _ in range(rounds)]
    mine, other = ([one for one, _ in pairs], [two for _, two in pairs])
    return ratio(name, mine, other, unit="/s", goal=goal, at_least=True)


def upload(server: DevpiServer, index: str, filename: str, content: bytes) -> None:
    """Make a plain index and upload a wheel to it, as twine would."""
    server.create_index(index, type="stage").check()
    name, version = filename.split("-")[:2]
    fields = {":action": "file_upload", "name": name, "version": version}
    files = {"content": (filename, content)}
    requests.post(
        f"{server.url}/{index}/", fields, files=files, auth=("root", ROOT_PASSWORD), timeout=30
    ).raise_for_status()


def figures(folder: Path, *, quick: bool) -> Iterator[Figure]:
    """The comparisons, with data in `folder`."""
    seconds, rounds = (1, 1) if quick else (3, 5)
    repositories = Repositories(folder / "git")
    line = repositories.pin_line(repositories.make("inline"), f"file://{folder / 'git'}")
    template = initialise(folder / "template", "--no-root-pypi")
    option = ("--forkbuilder-allow-url", f"file://{folder}", "--forkbuilder-allow-user", "root", METADATA)
    with (
        public_index(folder / "public") as public,
        DevpiServer(folder / "with", *option, template=template) as ours,
        Plain(folder / "without", METADATA, template=template) as theirs,
    ):
        public.json = True
        for number in range(PUBLIC_FILES):
            public.add("lib", f"1.{number}")
        ours.create_index("root/forks", type="forkbuilder", forks=[line]).check()
        project = line.partition("#egg=")[2].partition("==")[0]
        page = ours.get(f"root/forks/+simple/{project}/", {"Accept": JSON, "User-Agent": PIP}).check().json
        [file] = page["files"]
        content = requests.get(f"{ours.url}/root/forks/+simple/{project}/{file['url']}", timeout=30).content
        for server in (ours, theirs):
            upload(server, "root/plain", file["filename"], content)
            server.create_index(
                "root/public", type="mirror", mirror_url=public.url, mirror_no_project_list=True
            ).check()
            server.get("root/public/+simple/lib/", {"Accept": JSON, "User-Agent": PIP}).check()
        for name, index, other, path, goal in (
            ("page of a built fork", "root/forks", "root/plain", f"+simple/{project}/", FORKS),
            ("page of an uploaded project", "root/plain", "root/plain", f"+simple/{project}/", OTHERS),
            ("page of a public project of 300 files", "root/public", "root/public", "+simple/lib/", OTHERS),
            ("page of all projects", "root/plain", "root/plain", "+simple/", OTHERS),
        ):
            urls = (f"{ours.url}/{index}/{path}", f"{theirs.url}/{other}/{path}")
            yield compare(f"{name}, requests a second over devpi's alone", *urls, seconds, rounds, goal)
        for server in (ours, theirs):
            server.create_index("root/others", type="stage").check()
        urls = (f"{ours.url}/root/forks/+simple/{project}/", f"{theirs.url}/root/plain/+simple/{project}/")
        with commits((ours, theirs)):
            name = "page of a built fork while another index commits 10 times a second, over devpi's alone"
            yield compare(name, *urls, seconds, rounds, FORKS)
