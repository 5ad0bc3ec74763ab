"""docs/how-to, word for word: the blocks of shell of each page in their order, on one server, with a real git host.

What differs from the page is in FOLLOWED: names of hosts, folders and users, and answers to questions. A block that
is not run says why in a comment above it; tests/test_docs.py holds each block to one or the other. The tutorial has
a test of its own.
"""

from __future__ import annotations

import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from uv import find_uv_bin

from tests.client.shell import ENTRY
from tests.devpi import ROOT_PASSWORD, free_port, initialise, is_served
from tests.documentation import Block, blocks
from tests.functional.conftest import MakeLive
from tests.live import Live
from tests.processes import Result, Running, remember_descendants
from tests.repositories import Repository
from tests.surroundings import clean_environment

pytestmark = pytest.mark.functional
HOW_TO = Path(__file__).parent.parent.parent / "docs" / "how-to"
OLD_COMMIT, NEW_COMMIT = "2aa70e4ea1bdb016444d88430dc1f397c337a61c", "0123456789abcdef0123456789abcdef01234567"
SOURCE_COMMIT = "395afe00e207e1cbca9634504e4610d70eb34b4e"
SERVERS = ("devpi-server ", "devpi-forkbuilder up ")
PATIENCE = 120.0


class Follower:
    """Somebody who follows a page in a folder, with an index of forks that is called `main/forks` in the page."""

    def __init__(self, folder: Path, live: Live, index: str) -> None:
        self.folder, self.live, self.index = folder, live, index
        self.home = folder / "home"
        self.url = live.server.url
        self.changes: list[tuple[str, str]] = []
        self.forks: dict[str, Repository] = {}
        self.port = free_port()
        self.server: Running | None = None
        programs = folder / "bin"
        programs.mkdir(parents=True)
        self.home.mkdir()
        python = sys.executable
        entries = {"devpi-forkbuilder": "-m devpi_forkbuilder.commands.main", "devpi": f'-c "{ENTRY}"', "pip": "-m pip"}
        scripts = {name: f"{python} {words}" for name, words in entries.items()}
        scripts |= {"uv": find_uv_bin(), "devpi-server": f'{python} -c "from devpi_server.main import main; main()"'}
        for name, words in scripts.items():
            (programs / name).write_text(f'#!/bin/sh\nexec {words} "$@"\n')
            (programs / name).chmod(0o755)
        path = f"{programs}:{clean_environment(folder)['PATH']}"
        self._surroundings = clean_environment(self.home, PATH=path, UV_PYTHON_DOWNLOADS="never", UV_PYTHON=python)

    def change(self, *pairs: tuple[str, str]) -> None:
        """Read `old` as `new`; what was named first is changed first."""
        self.changes += pairs

    def fork(self, case: str, project: str, **more: str) -> Repository:
        """A fork that is pinned on the index, called as in the page."""
        fork = self.live.host.fork(case, project=project, **more)
        self.forks[project] = fork
        self.live.pin(self.index, *(self.live.host.pin(one) for one in self.forks.values()))
        return fork

    def as_user(self, url: str) -> None:
        """Use the index of the page, logged in."""
        self.run(f"devpi use {url}\ndevpi login root --password={ROOT_PASSWORD}").check()

    def write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def follow(self, block: Block, fine: tuple[int, ...] = (0,)) -> str:
        """Run a block; what it prints."""
        script = block.text
        for old, new in (*self.changes, ("http://localhost:3141", self.url), ("main/forks", self.index)):
            script = script.replace(old, new)
        if script.startswith(SERVERS):
            return self._serve(script)
        done = self.run(script)
        assert done.returncode in fine, f"line {block.line}:\n{script}\nexit status {done.returncode}\n{done.output}"
        return done.output

    def run(self, script: str) -> Result:
        command = ["bash", "-euo", "pipefail", "-c", script]
        return Running(command, self._surroundings, self.folder, None).wait(PATIENCE)

    def _serve(self, script: str) -> str:
        """Start a server in the place of the one before, and wait until it answers."""
        self.stop()
        words = f"exec {script.strip()} --host 127.0.0.1 --port {self.port}"
        output = self.folder / "server.log"
        with output.open("wb") as file:
            self.server = Running(["bash", "-euc", words], self._surroundings, self.folder, file)
        deadline = time.monotonic() + PATIENCE
        while not is_served(f"http://127.0.0.1:{self.port}"):
            assert self.server.popen.poll() is None, output.read_text()
            assert time.monotonic() < deadline, output.read_text()
            time.sleep(0.1)  # a server says that it is ready by answering
        return output.read_text()

    def stop(self) -> None:
        """End the server that the page has started."""
        server, self.server = self.server, None
        if server is not None:
            remember_descendants(server.pid)
            server.popen.terminate()
            server.wait(30)


def _cooldowns(reader: Follower) -> None:
    reader.as_user(f"{reader.url}/{reader.index}")


def _public(reader: Follower) -> None:
    reader.fork("inline", "demo-fork")
    _cooldowns(reader)


def _failing(reader: Follower) -> None:
    old = reader.fork("fails", "old-fork")
    for name in ("env-fork", "downloads-fork"):
        reader.fork("inline", name)
    reader.live.build(reader.index, "old-fork").check(202)
    assert reader.live.outcome(reader.index, "old-fork")["state"] == "failed"
    remote = reader.live.host.git.repository_url(old.name)
    reader.change(
        (OLD_COMMIT, old.commit),
        ("https://github.com/our-org/old-fork.git &&", f"{remote} old-fork &&"),
        ("main:PASSWORD", f"root:{ROOT_PASSWORD}"),
    )
    _cooldowns(reader)


def _interpreters(reader: Follower) -> None:
    fork = reader.fork("inline", "ext-fork")
    reader.fork("inline", "old-fork")
    reader.live.build(reader.index, "ext-fork").check(202)
    assert reader.live.outcome(reader.index, "ext-fork")["state"] == "built"
    reader.change((SOURCE_COMMIT, fork.commit), ("3.10", "3.11"))
    _cooldowns(reader)


def _moving(reader: Follower) -> None:
    host = reader.live.host
    utils = host.fork("inline", project="xblock-utils", version="3.1.0", tag="v3.1.0")
    lettuce = host.fork("inline", project="lettuce")
    lines = (
        f"git+{host.git.repository_url(utils.name)}@v3.1.0#egg=xblock-utils==3.1.0  # until upstream releases\n",
        f"lettuce @ git+{host.git.repository_url(lettuce.name)}@{lettuce.commit}\n",
    )
    reader.write("requirements/github.txt", "".join(lines))
    reader.write("github.in", lines[0].replace("v3.1.0#", f"{utils.commit}#") + lines[1])
    url = host.git.repository_url(lettuce.name)
    source = f'[tool.uv.sources]\nlettuce = {{ git = "{url}", rev = "{lettuce.commit}" }}\n'
    head = '[project]\nname = "ours"\nversion = "1"\nrequires-python = ">=3.10"\ndependencies = ["lettuce"]\n'
    reader.write("pyproject.toml", head + source)
    reader.run("git init -q . && git add requirements && git -c user.name=A -c user.email=a@b commit -qm x").check()
    page = f"{reader.url}/{reader.index}"
    reader.change(
        ("https://devpi.example.com/team/forks", page),
        ("pip install 'devpi-forkbuilder[client]'", "true"),
        ("login YOU", f"login root --password={ROOT_PASSWORD}"),
        ("forks pin -r requirements/github.txt", "forks pin -r requirements/github.txt --yes"),
        ("$EDITOR", "cat"),
        ("uv pip install", "uv-pip"),
        ("pip install", f"pip install --no-deps --target {reader.folder}/by-pip"),
        ("uv-pip", f"uv pip install --target {reader.folder}/by-uv"),
    )


def _operating(reader: Follower) -> None:
    fork = reader.fork("inline", "name")
    reader.live.build(reader.index, "name").check(202)
    (file,) = reader.live.outcome(reader.index, "name")["files"]
    version = re.split("-", file["filename"])[1]
    assert version.endswith(fork.commit[:12])
    folder = initialise(reader.folder / "data")
    (folder / ".forkbuilder" / "work").mkdir(parents=True)
    reader.change(
        ("remove --force name==1.0.2+20261120140457.g395afe00e207", f"remove --force name=={version} <<< yes"),
        ("~/.devpi/forkbuilder", str(folder)),
        ("devpi-forkbuilder gc", f"devpi-forkbuilder gc --serverdir {folder}"),
    )
    _cooldowns(reader)


def _private(reader: Follower) -> None:
    secrets = reader.folder / "etc"
    secrets.mkdir()
    reader.write("github.txt", "")
    (secrets / "known_hosts").touch()
    up = f"devpi-forkbuilder up --serverdir {reader.folder}/server"
    reader.change(("/etc/devpi", str(secrets)), ("devpi-forkbuilder up", up))


def _existing(reader: Follower) -> None:
    name = reader.live.host.fork("inline", project="name")
    prefix = reader.live.host.git.url
    initialise(reader.folder / "srv", "--root-passwd", ROOT_PASSWORD)
    reader.write("requirements/github.txt", f"{reader.live.host.pin(name)}\n")
    reader.run("umask 077 && head -c 40 /dev/urandom | base64 > secret").check()
    reader.url = f"http://127.0.0.1:{reader.port}"
    reader.change(
        ("/srv/devpi-secret", str(reader.folder / "secret")),
        ("/srv/devpi", str(reader.folder / "srv")),
        (
            f"https://github.com/our-org/name.git@{NEW_COMMIT}",
            f"{reader.live.host.git.repository_url(name.name)}@{name.commit}",
        ),
        ("https://github.com/our-org", prefix),
        ("login root", f"login root --password={ROOT_PASSWORD}"),
        ("user -c ann", "user -c ann password=secret"),
        ("login ann", "login ann --password=secret"),
        ("forks pin -r requirements/github.txt", "forks pin -r requirements/github.txt --yes"),
        (
            "devpi index -c bob/dev",
            "devpi user -c bob password=secret\ndevpi login bob --password=secret\ndevpi index -c bob/dev",
        ),
        ("pip install", f"pip install --no-deps --target {reader.folder}/by-pip"),
    )


def _offline(reader: Follower) -> None:
    reader.fork("inline", "demo-fork")
    reader.write("requirements.txt", "demo-fork==1.0.2\n")
    up = f"devpi-forkbuilder up --serverdir {reader.folder}/server"
    page = f"{reader.url}/{reader.index}/+simple/"
    reader.change(
        ("pip install 'devpi-forkbuilder[warm]'", "true"),
        ("--index-url URL", f"--index-url {page}"),
        ("devpi-forkbuilder up", up),
    )


Prepare = Callable[[Follower], None]


@dataclass(frozen=True, slots=True)
class Guide:
    """What a page needs before its first block, and the exit statuses, by the block's first words, that are not 0."""

    prepare: Prepare
    fine: tuple[tuple[str, int], ...] = ()


FAILS = (("devpi forks build old-fork", 1), ("git clone", 2))
FOLLOWED = {
    "cooldowns.md": Guide(_cooldowns),
    "stop-the-public-index.md": Guide(_public),
    "existing-devpi-server.md": Guide(_existing, (("devpi-forkbuilder doctor", 1),)),
    "failing-builds.md": Guide(_failing, FAILS),
    "interpreters.md": Guide(_interpreters),
    "move-from-git-urls.md": Guide(_moving),
    "operate.md": Guide(_operating, (("devpi-forkbuilder doctor", 1),)),
    "private-repositories.md": Guide(_private, (("devpi-forkbuilder doctor", 1),)),
    "warm-and-offline.md": Guide(_offline),
}
SHORT = ("stop-the-public-index.md",)


@pytest.fixture(scope="module")
def live(devpi_servers: MakeLive) -> Live:
    return devpi_servers()


@pytest.fixture
def reader(live: Live, tmp_path: Path) -> Iterator[Follower]:
    before = set(Running.ALIVE)
    follower = Follower(tmp_path / "reader", live, live.index())
    yield follower
    follower.stop()
    for running in set(Running.ALIVE) - before:
        running.kill()


@pytest.mark.parametrize(
    "name", [name if name in SHORT else pytest.param(name, marks=pytest.mark.slow) for name in sorted(FOLLOWED)]
)
def test_guide__word_for_word(reader: Follower, name: str) -> None:
    guide = FOLLOWED[name]
    followed = [block for block in blocks((HOW_TO / name).read_text(encoding="utf-8")) if not block.word]
    if shutil.which("curl") is None and any("curl " in block.text for block in followed):
        pytest.skip("the page uses curl, which is not installed")
    guide.prepare(reader)
    for block in followed:
        others = tuple(status for words, status in guide.fine if block.text.startswith(words))
        print(block.text, reader.follow(block, (0, *others)), sep="\n")
