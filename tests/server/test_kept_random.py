"""Kept pages against pages that are made, while everything that a page may depend on is changed at random."""

from __future__ import annotations

import base64
import os
import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from devpi_server.filestore import get_hashes
from pyramid.router import default_execution_policy

from devpi_forkbuilder.devpi.index import ForkbuilderIndex
from tests.devpinames import CLOCK
from tests.publicindex import PublicIndex, public_index
from tests.server.app import PASSWORD, SIMPLE_JSON, App, make_wheel, pin
from tests.server.conftest import MakeApp

FORKS, BASE, TEAM, PLAIN, MIRROR, GONE = (
    "root/forks",
    "root/base",
    "root/team",
    "root/plain",
    "root/mirror",
    "root/gone",
)
OTHERS = "others/plain"
PROJECTS = ("alpha", "beta", "gamma")
COMPARED = ("ETag", "Vary", "Cache-Control", "Content-Type", "WWW-Authenticate")
AGENT = 'pip/26.3 {"python":"%s.1","implementation":{"name":"CPython"},"system":{"name":"Linux"},"cpu":"x86_64"}'
ASKERS: tuple[tuple[bool, dict[str, str]], ...] = (
    (False, {"User_Agent": AGENT % "3.11", "Accept": SIMPLE_JSON}),
    (False, {"User_Agent": AGENT % "3.12", "Accept": "text/html"}),
    (True, {"User_Agent": "pip/26.3", "Accept": SIMPLE_JSON}),
)
READERS = 2


class World:
    """A server whose indexes are changed at random; `made` answers past the cache."""

    def __init__(self, app: App, public: PublicIndex, folder: Path, seed: int, clock: list[float]) -> None:
        self.app = app
        self.public = public
        self.folder = folder
        self.random = random.Random(seed)  # noqa: S311 - a test that can be run again
        self.clock = clock
        self.number = 0
        app.request("PUT", f"/{MIRROR}", {"type": "mirror", "mirror_url": public.url, "mirror_cache_expiry": 100})
        app.make_index(BASE, bases=[MIRROR])
        app.request("PUT", f"/{PLAIN}", {"bases": [MIRROR]})
        app.make_index(FORKS, pin("alpha"), bases=[BASE])
        app.request("PUT", f"/{TEAM}", {"bases": [FORKS, PLAIN]})
        app.request("PUT", "/others", {"password": "x"})
        app.request("PUT", f"/{OTHERS}", {"bases": []})
        token = app.request("POST", "/+login", {"user": "root", "password": PASSWORD}).json["result"]["password"]
        self.login = "Basic " + base64.b64encode(f"root:{token}".encode()).decode()
        self.changes: tuple[Callable[[], None], ...] = (
            self.pin,
            self.pin,
            self.upload,
            self.upload,
            self.delete_project,
            self.whitelist,
            self.order_of_bases,
            self.close_or_open,
            self.make_or_delete,
            self.publish_upstream,
            self.expire,
            self.unrelated,
            self.expiry,
        )

    def step(self) -> str:
        change = self.random.choice(self.changes)
        change()
        return change.__name__

    def path(self) -> str:
        form = self.random.choice(("+simple", "+simple", "+cached"))
        index = self.random.choice((FORKS, TEAM, BASE, PLAIN, GONE))
        return f"/{index}/{form}/{self.random.choice(PROJECTS)}/"

    def asker(self) -> int:
        return self.random.randrange(len(ASKERS))

    def pin(self) -> None:
        index = self.random.choice((FORKS, BASE))
        lines = [
            pin(project, f"{self.random.randrange(3):040x}", version)
            for project in self.random.sample(PROJECTS, self.random.randrange(3))
            for version in self.random.sample(("1.0", "2.0"), self.random.randrange(1, 3))
        ]
        self._settings(index, forks=lines)

    def upload(self) -> None:
        index, project = self.random.choice((PLAIN, TEAM, BASE, FORKS)), self.random.choice(PROJECTS)
        self.number += 1
        wheel = make_wheel(self.folder / "uploads", project, f"7.{self.number}")
        with self.app.xom.keyfs.write_transaction():
            stage = self.app.xom.model.getstage(index)
            stage.set_versiondata({"name": project, "version": f"7.{self.number}"})
            with wheel.open("rb") as content:
                hashes = get_hashes(content)
                stage.store_releasefile(project, f"7.{self.number}", wheel.name, content, hashes=hashes)

    def delete_project(self) -> None:
        index, project = self.random.choice((PLAIN, TEAM, BASE, FORKS)), self.random.choice(PROJECTS)
        with self.app.xom.keyfs.write_transaction():
            stage = self.app.xom.model.getstage(index)
            if stage.has_project_perstage(project):
                versions = sorted(stage.list_versions_perstage(project))
                if versions and self.random.random() < 0.5:
                    stage.del_versiondata(project, self.random.choice(versions))
                else:
                    stage.del_project(project)

    def whitelist(self) -> None:
        index = self.random.choice((FORKS, BASE, TEAM, PLAIN))
        names = self.random.choice(([], ["alpha"], ["*"], ["beta", "gamma"]))
        how = self.random.choice(("union", "intersection"))
        self._settings(index, mirror_whitelist=names, mirror_whitelist_inheritance=how)

    def order_of_bases(self) -> None:
        bases = self.random.sample((FORKS, PLAIN, BASE, MIRROR), self.random.randrange(1, 5))
        self._settings(TEAM, bases=bases)

    def close_or_open(self) -> None:
        self._settings(self.random.choice((FORKS, BASE)), description=self.random.choice(("closed", "open", "")))

    def make_or_delete(self) -> None:
        with self.app.xom.keyfs.write_transaction():
            stage = self.app.xom.model.getstage(GONE)
            if stage is not None:
                stage.delete()
            else:
                bases = self.random.sample((FORKS, PLAIN, BASE), 2)
                self.app.xom.model.get_user("root").create_stage("gone", type="forkbuilder", bases=bases, forks=[])

    def publish_upstream(self) -> None:
        self.number += 1
        self.public.add(self.random.choice(PROJECTS), f"9.{self.number}")

    def expire(self) -> None:
        self.clock[0] += self.random.choice((50.0, 150.0))

    def unrelated(self) -> None:
        self.number += 1
        with self.app.xom.keyfs.write_transaction():
            self.app.xom.model.getstage(OTHERS).add_project_name(f"other{self.number}")

    def expiry(self) -> None:
        self._settings(MIRROR, mirror_cache_expiry=self.random.choice((0, 100, 1000)))

    def _settings(self, index: str, **settings: object) -> None:
        with self.app.xom.keyfs.write_transaction():
            self.app.xom.model.getstage(index).modify(**settings)

    def ask(self, path: str, asker: int) -> tuple[object, ...]:
        known, headers = ASKERS[asker]
        login = {"Authorization": self.login} if known else {}
        answer = self.app.request("GET", path, user=None, **headers, **login)
        return answer.status, answer.body, tuple(answer.headers.get(name) for name in COMPARED)

    def made(self, path: str, asker: int) -> tuple[object, ...]:
        kept = self.app.wsgi.app.execution_policy
        self.app.wsgi.app.execution_policy = default_execution_policy
        try:
            return self.ask(path, asker)
        finally:
            self.app.wsgi.app.execution_policy = kept


@pytest.fixture
def world(make_app: MakeApp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    clock = [1_800_000_000.0]
    monkeypatch.setattr(CLOCK, lambda: clock[0])

    def readers(customizer: Any, *_: object, **__: object) -> list[str]:
        """As a plugin would, from a setting: only root may read what is closed."""
        return ["root"] if customizer.stage.ixconfig.get("description") == "closed" else [":ANONYMOUS:"]

    monkeypatch.setattr(ForkbuilderIndex, "get_principals_for_pkg_read", readers, raising=False)
    with public_index(tmp_path / "public") as public:
        public.add("beta", "1.0")
        app = make_app("--forkbuilder-hold", "30", "--forkbuilder-workers", "2")
        yield World(app, public, tmp_path, 20_261_121, clock)


def compare(world: World, steps: int) -> int:
    """Change while others read, then compare; the number of comparisons that a kept page took part in."""
    hits = 0
    find = world.app.context.pages.find

    def counting(key: Any) -> Any:
        nonlocal hits
        found = find(key)
        hits += found is not None
        return found

    with ThreadPoolExecutor(READERS) as pool:
        for step in range(steps):
            reading = [pool.submit(world.ask, world.path(), world.asker()) for _ in range(READERS)]
            change = world.step()
            for one in reading:
                one.result(60)
            path, asker = world.path(), world.asker()
            world.ask(path, asker)  # a miss is built now
            world.app.context.pages.find = counting  # type: ignore[method-assign]
            assert world.ask(path, asker) == world.made(path, asker), (step, change, path, asker)
            world.app.context.pages.find = find  # type: ignore[method-assign]
    return hits


def test_kept__is_what_would_be_made(world: World) -> None:
    assert compare(world, 200) > 25


STEPS = int(os.environ.get("RANDOM_STEPS", "1000"))
"""Changes of the long run; RANDOM_STEPS=10000 takes a quarter of an hour and more."""


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_kept__is_what_would_be_made_in_many_steps(world: World) -> None:
    assert compare(world, STEPS) > STEPS // 10
