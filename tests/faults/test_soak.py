"""Random faults for minutes, from a seed: pins, moves, misses, kills, stops, restarts, with a replica.

FORKBUILDER_SOAK_SECONDS is how long (180), FORKBUILDER_SOAK_SEED repeats an earlier run's choices.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import random
import signal
import time
import urllib.request
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from threading import Thread

import pytest

from tests.devpi import DevpiServer
from tests.live import Host, Live, in_threads, wheel_of
from tests.repositories import Repository
from tests.sites import Site, running_site
from tests.threats.hostile import attacking

pytestmark = [pytest.mark.functional, pytest.mark.soak, pytest.mark.timeout(0)]

SECONDS = float(os.environ.get("FORKBUILDER_SOAK_SECONDS", "180"))
SEED = os.environ.get("FORKBUILDER_SOAK_SEED") or str(random.SystemRandom().randrange(10**9))
QUIET = 120.0
"""Seconds in which everything has to be whole again when the faults have ended."""
MOST_PINS = 40
MORE_FILES, MORE_MEMORY = 24, 80 * 2**20
"""What a server may keep of descriptors and bytes when all is quiet, beside what it had when it had started."""

# Whoever builds one project while another build of it runs leaves a mark. Without a sandbox's walls, to be able to.
BUILD = """
import fcntl, time
def attack(folder, settings):
    place = Path("PLACE").read_text()
    lock = open(place + "/" + settings["name"] + ".lock", "a")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        open(place + "/" + settings["name"] + ".overlap", "a").close()
    time.sleep(float(Path("SECONDS").read_text()))
    return write_wheel(folder, settings, **{"commit.txt": Path("CONTENT").read_text()})
"""


@dataclass
class Soak:
    """What happens, and what is known of it."""

    site: Site
    host: Host
    place: Path
    index: str
    chance: random.Random
    forks: list[Repository] = field(default_factory=list)
    pinned: dict[str, Repository] = field(default_factory=dict)
    clients: list[Thread] = field(default_factory=list)
    done: dict[str, int] = field(default_factory=dict)
    hashes: dict[str, str] = field(default_factory=dict)

    def step(self) -> None:
        """One thing, by chance; now and then a fault."""
        actions: dict[Callable[[], None], int] = {
            self.make: 6,
            self.move: 4,
            self.unpin: 1,
            self.miss: 14,
            self.leave: 4,
            self.stop_for_a_while: 2,
            self.kill_primary: 1,
            self.kill_replica: 1,
            self.restart_primary: 1,
        }
        (action,) = self.chance.choices(list(actions), list(actions.values()))
        self.done[action.__name__] = self.done.get(action.__name__, 0) + 1
        action()

    def make(self) -> None:
        """A new fork, pinned."""
        if len(self.forks) < MOST_PINS:
            name = f"soak-{len(self.forks)}"
            fork = self.host.fork("inline", project=name, files={**attacking(BUILD), **self.content()})
            self.forks.append(fork)
            self.pinned[name] = fork
            self.store()

    def content(self) -> dict[str, str]:
        seconds = self.chance.choice((0, 0, 0.3, 2))
        return {"PLACE": str(self.place), "SECONDS": str(seconds), "CONTENT": str(self.chance.random())}

    def move(self) -> None:
        """Another commit of a fork."""
        if self.pinned:
            fork = self.chance.choice(list(self.pinned.values()))
            self.host.repositories.commit(fork, self.content())
            self.store()

    def unpin(self) -> None:
        if self.pinned:
            del self.pinned[self.chance.choice(list(self.pinned))]
            self.store()

    def store(self) -> None:
        self.site.primary.pin(self.index, *(self.host.pin(fork) for fork in self.pinned.values()))

    def miss(self) -> None:
        """A client asks for a page, at the primary or the replica; what it gets is looked at in the end."""
        if self.pinned:
            name = self.chance.choice(list(self.pinned))
            live = self.chance.choice((self.site.primary, self.site.replica))
            self.clients += in_threads([partial(self.ask, live, name)])

    def ask(self, live: Live, name: str) -> None:
        with contextlib.suppress(Exception):  # the server may be killed meanwhile
            live.page(self.index, name)

    def leave(self) -> None:
        """A client that does not wait for its answer."""
        if self.pinned:
            url = f"{self.site.primary.url(self.index)}{self.chance.choice(list(self.pinned))}/"
            with contextlib.suppress(OSError):
                urllib.request.urlopen(url, timeout=0.1).read(1)

    def stop_for_a_while(self) -> None:
        server = self.chance.choice((self.site.primary.server, self.site.replica.server))
        os.kill(server.pid, signal.SIGSTOP)
        time.sleep(self.chance.random() * 3)
        os.kill(server.pid, signal.SIGCONT)

    def kill_primary(self) -> None:
        self.site.primary.server.kill()
        self.site.primary.server.start()

    def kill_replica(self) -> None:
        self.site.replica.server.kill()
        self.site.replica.server.start()

    def restart_primary(self) -> None:
        self.site.primary.server.restart()

    # what has to hold

    def check(self, live: Live) -> None:
        """Each pin is built; each file is of its commit, and has the hash that every server says."""
        for name, fork in self.pinned.items():
            files = live.files(self.index, name)
            assert wheel_of(fork) in files, (name, sorted(files), live.states(self.index, name))
            for filename, file in files.items():
                data = urllib.request.urlopen(file["url"].partition("#")[0], timeout=30).read()
                digest = hashlib.sha256(data).hexdigest()
                assert digest == file["hashes"]["sha256"], filename
                assert self.hashes.setdefault(filename, digest) == digest, filename
                (commit,) = [one for one in fork.commits if one[:12] in filename]
                built = zipfile.ZipFile(io.BytesIO(data)).read("commit.txt").decode()
                assert built == self.host.repositories.git("show", f"{commit}:CONTENT", at=fork.path), filename


def files_of(server: DevpiServer) -> int:
    return len(list(Path(f"/proc/{server.pid}/fd").iterdir()))


def memory_of(server: DevpiServer) -> int:
    return int(Path(f"/proc/{server.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def settle(soak: Soak) -> None:
    """Until no client waits, and every pin is built, on both servers."""
    until = time.monotonic() + QUIET
    for client in soak.clients:
        client.join(max(until - time.monotonic(), 1))
    for name in soak.pinned:
        soak.site.primary.page(soak.index, name)
        soak.site.primary.wait_for(soak.index, name, "built", timeout=QUIET)
    soak.site.settle()
    for live in (soak.site.primary, soak.site.replica):
        live.wait_for_metric("held_requests", lambda held: held == 0, QUIET)


def test_soak__random_faults(host: Host, devpi_templates: Callable[[bool], Path], tmp_path: Path) -> None:
    print(f"FORKBUILDER_SOAK_SEED={SEED}")
    place = tmp_path / "place"
    place.mkdir()
    open_builds = ("--forkbuilder-sandbox", "none", "--forkbuilder-hold", "1", "--forkbuilder-workers", "2")
    with running_site(tmp_path, host, devpi_templates(False), on_primary=open_builds) as site:
        soak = Soak(site, host, place, site.primary.index(), random.Random(SEED))  # noqa: S311  (repeated on purpose)
        site.settle()
        until = time.monotonic() + SECONDS
        while time.monotonic() < until:
            soak.step()
            time.sleep(soak.chance.random() * 0.3)  # people and clients come when they come
        settle(soak)
        for live in (site.primary, site.replica):
            soak.check(live)
        overlaps = [path.name for path in place.glob("*.overlap")]
        assert overlaps == []
        come_back(soak)
        print(f"{soak.done}, {len(soak.hashes)} files")


def come_back(soak: Soak) -> None:
    """Descriptors and memory of servers that have started anew, and have then had many clients."""
    for live in (soak.site.primary, soak.site.replica):
        live.server.restart()
        for name in soak.pinned:
            live.page(soak.index, name)
        before = files_of(live.server), memory_of(live.server)
        for _ in range(10):
            for thread in in_threads([partial(soak.ask, live, name) for name in soak.pinned]):
                thread.join(60)
        after = files_of(live.server), memory_of(live.server)
        assert after[0] <= before[0] + MORE_FILES, (before, after)
        assert after[1] <= before[1] + MORE_MEMORY, (before, after)
