"""Bare machines: containers on which nothing but Python, git and certificates was ever installed."""

from __future__ import annotations

import os
import subprocess
import tarfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.docker.conftest import engine
from tests.docker.engine import ROOT, Engine
from tests.newcomer.registry import mounts, variables
from tests.processes import Result, Running
from tests.surroundings import clean_environment

__all__ = ["engine"]
SOURCE = "/source.tar"
UNPACK = f"tar -xf {SOURCE} && git clone -q source.git checkout"


@pytest.hookimpl(tryfirst=True)  # before the hook that leaves marked tests out
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in Path(item.path).parents:
            item.add_marker(pytest.mark.newcomer)
            item.add_marker(pytest.mark.timeout(3600))


@dataclass(frozen=True, slots=True)
class Machine:
    """Who a newcomer is on a machine, and what the machine allows. `home` holds the checkout."""

    user: str = "newcomer"
    home: str = "/srv/newcomer"
    options: tuple[str, ...] = ()


MACHINES = {
    "root": Machine("root", "/root"),
    "user": Machine(),
    "user-without-capabilities": Machine(options=("--cap-drop", "ALL", "--security-opt", "no-new-privileges")),
    "read-only": Machine(home="/data", options=("--read-only", "-v", "/data")),
}
"""The home of each is closed to others (0700), `/data` is a volume."""


@dataclass(frozen=True, slots=True)
class Bare:
    """A running container with a clone of this checkout's HEAD in the newcomer's home."""

    engine: Engine
    machine: Machine
    name: str

    def command(self, line: str, folder: str = "checkout") -> list[str]:
        """A line for bash, as the newcomer types it there."""
        who = ("-u", self.machine.user, "-e", f"HOME={self.machine.home}", "-w", f"{self.machine.home}/{folder}")
        return ["docker", "exec", *who, self.name, "bash", "-c", line]

    def start(self, line: str, output: Path, folder: str = "checkout") -> Running:
        """Start the line; what it prints goes to the file `output`."""
        with output.open("wb") as log:
            return Running(self.command(line, folder), clean_environment(self.engine.home), self.engine.home, log)

    def run(self, line: str, timeout: float, folder: str = "checkout") -> Result:
        surroundings = clean_environment(self.engine.home)
        return Running(self.command(line, folder), surroundings, self.engine.home, None).wait(timeout)


MakeBare = Callable[[str], AbstractContextManager[Bare]]


@pytest.fixture(scope="session")
def bare_image(engine: Engine) -> str:
    folder = Path(__file__).parent
    return engine.build(folder, "bare")


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """This checkout's HEAD as a bare repository in a tar file: who unpacks it owns it, as git demands."""
    folder = tmp_path_factory.mktemp("source")
    clone = ["git", "clone", "--quiet", "--bare", ROOT.as_uri(), str(folder / "source.git")]
    subprocess.run(clone, check=True, env=clean_environment(folder), capture_output=True)
    with tarfile.open(folder / "source.tar", "w") as tar:
        tar.add(folder / "source.git", arcname="source.git")
    (folder / "source.tar").chmod(0o644)
    return folder / "source.tar"


@pytest.fixture
def bare(engine: Engine, bare_image: str, source: Path) -> MakeBare:
    """Makes bare machines: `with bare("root") as machine`."""

    @contextmanager
    def make(kind: str) -> Iterator[Bare]:
        machine, name = MACHINES[kind], f"forkbuilder-tests-newcomer-{kind}-{os.getpid()}-{time.monotonic_ns()}"
        given = variables()
        words = [word for item in given.items() for word in ("-e", "=".join(item))]
        place = ("-v", f"{source}:{SOURCE}:ro", *mounts(given), *words)
        engine.out("run", "-d", "--name", name, "--init", *machine.options, *place, bare_image, "sleep", "infinity")
        made = Bare(engine, machine, name)
        try:
            made.run(UNPACK, 120.0, folder=".").check()
            yield made
        finally:
            engine.docker("rm", "-fv", name)

    return make
