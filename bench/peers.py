"""The page of a public project of 300 files: requests a second, against other index servers on the same files.

Each peer is installed from the package index into an environment of its own, with its usual server; rounds take turns.
Needs `wrk`. Peers do different things: pypiserver and simple-repository-server list a folder here, both devpis and
proxpi pass a public index on. Bare waitress gives these bytes from memory and does nothing else: what a server in
Python reaches at most. None of the others knows pins.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from uv import find_uv_bin

from bench.figures import Figure, ratio
from bench.pages import JSON, PUBLIC_FILES, Plain, rate, read_once
from tests.devpi import DevpiServer, free_port, initialise
from tests.live import METADATA
from tests.processes import Running
from tests.publicindex import public_index
from tests.surroundings import clean_environment

PROJECT = "lib"
START = 60.0
GOALS = {"devpi alone": 0.95, "proxpi": None, "bare waitress": None}
"""Without a goal: both answer from memory, for one index, whoever asks."""
Command = Callable[[Path, Path, str, int], tuple[list[str], dict[str, str]]]


def _pypiserver(programs: Path, files: Path, _url: str, port: int) -> tuple[list[str], dict[str, str]]:
    words = ["run", "-i", "127.0.0.1", "-p", str(port), "--server", "auto", "--disable-fallback", str(files)]
    return [str(programs / "pypi-server"), *words], {}


def _simple_repository(programs: Path, files: Path, _url: str, port: int) -> tuple[list[str], dict[str, str]]:
    return [str(programs / "simple-repository-server"), "--host", "127.0.0.1", "--port", str(port), str(files)], {}


def _proxpi(programs: Path, _files: Path, url: str, port: int) -> tuple[list[str], dict[str, str]]:
    words = ["--listen", f"127.0.0.1:{port}", "proxpi.server:app"]
    return [str(programs / "waitress-serve"), *words], {"PROXPI_INDEX_URL": url}


FIXED = """
import sys, urllib.request, waitress
request = urllib.request.Request(sys.argv[1], headers={"Accept": sys.argv[3]})
with urllib.request.urlopen(request) as answer:
    kind, body = answer.headers["Content-Type"], answer.read()
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", kind), ("Content-Length", str(len(body)))])
    return [body]
waitress.serve(app, listen="127.0.0.1:" + sys.argv[2], threads=4)
"""


def _waitress(programs: Path, _files: Path, url: str, port: int) -> tuple[list[str], dict[str, str]]:
    return [str(programs / "python"), "-c", FIXED, f"{url}{PROJECT}/", str(port), JSON], {}


PEERS: dict[str, tuple[tuple[str, ...], Command, str]] = {
    "pypiserver": (("pypiserver", "waitress"), _pypiserver, "simple/lib/"),
    "proxpi": (("proxpi", "waitress"), _proxpi, "index/lib/"),
    "bare waitress": (("waitress",), _waitress, ""),
    "simple-repository-server": (("simple-repository-server",), _simple_repository, "simple/lib/"),
}
"""Name to requirements, command and path of the page."""


def figures(folder: Path, *, quick: bool) -> Iterator[Figure]:
    """Rates of all, and ours over each."""
    seconds, rounds = (1, 1) if quick else (3, 4)
    template = initialise(folder / "template", "--no-root-pypi")
    with ExitStack() as stack:
        public = stack.enter_context(public_index(folder / "public"))
        public.json = True
        for number in range(PUBLIC_FILES):
            public.add(PROJECT, f"1.{number}")
        urls = {}
        for name, kind in (("ours", DevpiServer), ("devpi alone", Plain)):
            server = stack.enter_context(kind(folder / name, METADATA, template=template))
            server.create_index(
                "root/public", type="mirror", mirror_url=public.url, mirror_no_project_list=True
            ).check()
            server.create_index("root/team", type="forkbuilder" if name == "ours" else "stage", bases=["root/public"])
            urls[name] = f"{server.index_url('root/team')}{PROJECT}/"
        for name in PEERS:
            urls[name] = stack.enter_context(peer(folder / name, name, public.folder, public.url))
        for url in urls.values():
            read_once(url)  # devpi alone answers 404 to some of those who ask for a new page at the same time
            if not quick:
                rate(url, 1)
        rates = [{name: rate(url, seconds) for name, url in urls.items()} for _ in range(rounds)]
    for name in list(urls)[1:]:
        mine, theirs = ([row[one] for row in rates] for one in ("ours", name))
        goal = GOALS.get(name, 1.0)
        yield ratio(f"public page, over {name}", mine, theirs, unit="/s", goal=goal, at_least=True)
    yield Figure("public page through an index of forks", statistics.median(row["ours"] for row in rates), "/s")


@contextmanager
def peer(folder: Path, name: str, files: Path, url: str) -> Iterator[str]:
    """Install and start a peer; the URL of the project's page."""
    requirements, command, path = PEERS[name]
    folder.mkdir()
    programs, port = folder / "env" / "bin", free_port()
    uv = find_uv_bin()
    subprocess.run([uv, "venv", "-q", "--python", sys.executable, str(folder / "env")], check=True)
    subprocess.run([uv, "pip", "install", "-q", "--python", str(programs / "python"), *requirements], check=True)
    words, environment = command(programs, by_project(folder, files), url, port)
    with (folder / "log").open("ab") as log:
        running = Running(words, clean_environment(folder, **environment), folder, log)
    page = f"http://127.0.0.1:{port}/{path}"
    try:
        wait_for(page, folder / "log")
        yield page
    finally:
        running.kill()


def by_project(folder: Path, files: Path) -> Path:
    """The files as folders for each project, which simple-repository-server wants and pypiserver takes."""
    place = folder / "packages"
    (place / PROJECT).mkdir(parents=True)
    for file in (files / "files").iterdir():
        (place / PROJECT / file.name).write_bytes(file.read_bytes())
    return place


def wait_for(url: str, log: Path) -> None:
    """Wait until the page is there."""
    deadline = time.monotonic() + START
    while not answers(url):
        if time.monotonic() > deadline:
            raise SystemExit(f"{url} did not come:\n{log.read_text(errors='replace')[-2000:]}")
        time.sleep(0.1)  # a program of others: it tells nobody when it listens


def answers(url: str) -> bool:
    """Whether the page is there now."""
    try:
        request = urllib.request.Request(url, headers={"Accept": JSON})  # noqa: S310 - http on this machine
        with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310 - as above
            return bool(answer.status == 200)
    except OSError:
        return False
