"""Ten pure forks: through a cold and a warm index with pip and uv, against pip on the ten git URLs without caches.

Real git over HTTP, real setuptools builds, a new server directory for each cold run; build requirements come through
the server's own mirror of the public index, which is empty at first as well.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from bench.figures import Figure, ratio
from tests.clients import Installer, Pip, Uv, pip_environment
from tests.devpi import DevpiServer, initialise
from tests.gitserver import GitServer
from tests.processes import Running
from tests.repositories import Repositories

PROJECT = """
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"
[project]
name = "{name}"
version = "1.0.{number}"
[tool.setuptools]
packages = ["{name}"]
"""
INDEX = "root/forks"
LIMIT = 600.0
FORKS = 10
DIRECT = "pip, git URLs, no caches"
GOALS = {("pip", "cold"): 0.5, ("uv", "cold"): 0.3, ("pip", "warm"): 0.05, ("uv", "warm"): 0.05}


def make_forks(folder: Path, count: int) -> list[str]:
    """Bare repositories with one small setuptools project each; their pins, without the host's URL."""
    repositories = Repositories(folder)
    lines = []
    for number in range(count):
        name = f"forked{number}"
        files = {
            "pyproject.toml": PROJECT.format(name=name, number=number),
            f"{name}/__init__.py": "",
            "setup.cfg": None,
        }
        repository = repositories.make("pure-setuptools", name, project=name, version=f"1.0.{number}", files=files)
        lines.append(repositories.pin_line(repository, "HOST", name, f"1.0.{number}"))
    return lines


def seconds(work: Callable[[], object]) -> float:
    """How long `work` takes."""
    begun = time.monotonic()
    work()
    return time.monotonic() - begun


def figures(folder: Path, *, quick: bool) -> Iterator[Figure]:
    """Each client's time over that of pip with the git URLs."""
    rounds = [Round(folder / str(number), 2 if quick else FORKS).run() for number in range(1 if quick else 3)]
    base = [one[DIRECT] for one in rounds]
    for (client, state), goal in GOALS.items():
        name = f"{client}, {state} index"
        taken = [one[name] for one in rounds]
        yield ratio(f"ten forks by {name}, over pip and git URLs, time", taken, base, unit="s", goal=goal)


def steps(server: DevpiServer) -> dict[str, float]:
    """Step of a build to its mean seconds on a server."""
    states = server.get(f"{INDEX}/+forks").check().result
    return {step: statistics.mean(state["seconds"][step] for state in states) for step in states[0]["seconds"]}


class Round:
    """One comparison, with everything new."""

    def __init__(self, folder: Path, forks: int) -> None:
        self.folder = folder
        self.forks = forks

    def run(self) -> dict[str, float]:
        """Name to seconds."""
        folder = self.folder
        folder.mkdir(parents=True)
        lines = make_forks(folder / "git", self.forks)
        pip = Pip(pip_environment(folder / "pips", None), folder / "pip")
        uv = Uv(folder / "uv")
        template = initialise(folder / "template")
        with GitServer(folder / "git") as host:
            pins = [line.replace("HOST", host.url) for line in lines]
            direct = [pin.partition("#")[0] for pin in pins]
            taken = {DIRECT: seconds(lambda: self._direct(pip, direct))}
            for client in (pip, uv):
                name = client.name.partition("-")[0]
                with self._server(host, template, name) as server:
                    server.create_index(INDEX, type="forkbuilder", bases=["root/pypi"], forks=pins).check()
                    server.get(f"{INDEX}/+forks").check()  # waits until the server knows its interpreters
                    for state in ("cold", "warm"):
                        taken[f"{name}, {state} index"] = seconds(partial(self._install, client, server, pins))
                    print(name, *(f"{step} {taken:.2f} s" for step, taken in steps(server).items()))
        return taken

    def _server(self, host: GitServer, template: Path, name: str) -> DevpiServer:
        option = ("--forkbuilder-allow-url", f"{host.url}/", "--threads", "256", "--enable-core-metadata")
        return DevpiServer(self.folder / f"server-{name}", *option, template=template, mirror=True)

    def _direct(self, pip: Pip, urls: list[str]) -> None:
        target = str(pip.new_folder("target"))
        running: Running = pip.run("install", "--no-cache-dir", "--target", target, *urls)
        running.wait(LIMIT).check()

    def _install(self, client: Installer, server: DevpiServer, pins: list[str]) -> None:
        wanted = [pin.partition("#egg=")[2] for pin in pins]
        result = client.install(f"{server.url}/{INDEX}/+simple/", *wanted, timeout=LIMIT)
        if result.returncode:
            print(*(log.read_text() for log in (server.serverdir / ".forkbuilder").glob("logs/**/*.log")), sep="\n")
        result.check()
