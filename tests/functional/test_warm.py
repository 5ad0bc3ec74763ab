"""`warm`, `verify` and the offline server: a cache that is filled once, taken off the network, and still installs."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients import Installer
from tests.functional.conftest import MakeLive
from tests.live import Host, Live, stamped
from tests.processes import Result, Running
from tests.publicindex import BACKEND, BUILD_SYSTEM, PublicIndex, public_index
from tests.repositories import Repository
from tests.surroundings import clean_environment

pytestmark = pytest.mark.functional
PATIENCE = 120.0
OFFLINE = "--offline-mode"


@pytest.fixture
def public(tmp_path: Path) -> Iterator[PublicIndex]:
    """`alpha` requires `beta`, of which there are two versions; `sourced` has no wheel."""
    with public_index(tmp_path / "public") as index:
        index.add_wheel("alpha", "1.0", requires=["beta<2"])
        index.add_wheel("beta", "1.0")
        index.add_wheel("beta", "2.0")
        index.add_source("sourced", "1.0")
        index.add_backend()
        yield index


class Cache:
    """A server with an index of forks above a mirror, and the commands that are pointed at it."""

    def __init__(self, live: Live, public: PublicIndex, folder: Path) -> None:
        self.live = live
        self.folder = folder
        live.create("root/public", type="mirror", mirror_url=public.url, mirror_no_project_list=True)

    def index(self, *forks: Repository) -> str:
        return self.live.index_of(*forks, bases=("root/public",))

    def file(self, *lines: str, name: str = "requirements.txt") -> str:
        path = self.folder / name
        path.write_text("".join(f"{line}\n" for line in lines))
        return str(path)

    def start(self, *arguments: str) -> Running:
        environment = clean_environment(self.folder, UV_CACHE_DIR=str(self.folder / "uv-cache"))
        return Running(
            [sys.executable, "-m", "devpi_forkbuilder.commands.main", *arguments], environment, self.folder, None
        )

    def warm(self, index: str, *arguments: str) -> Result:
        return self.start("warm", "--index-url", self.live.url(index), *arguments).wait(PATIENCE)

    def verify(self, index: str, *arguments: str) -> Result:
        return self.start("verify", "--index-url", self.live.url(index), *arguments).wait(PATIENCE)

    def go_offline(self) -> None:
        server = self.live.server
        server.stop()
        server.options = (*server.options, OFFLINE)
        server.start()


@pytest.fixture
def cache(own: MakeLive, public: PublicIndex, tmp_path: Path) -> Cache:
    folder = tmp_path / "user"
    folder.mkdir()
    return Cache(own(), public, folder)


def needing_backend(host: Host) -> Repository:
    """A fork that is built by a project of the public index."""
    files = {"pyproject.toml": BUILD_SYSTEM, "inline_backend.py": None}
    return host.fork("inline", project="needing", files=files)


def test_warm__all_of_it_installs_offline(
    cache: Cache, public: PublicIndex, host: Host, installer: Installer, tmp_path: Path
) -> None:
    plain, needing = host.fork("inline", project="plain"), needing_backend(host)
    index = cache.index(plain, needing)
    lines = (host.pin(plain), host.pin(needing), "alpha", "sourced==1.0")
    manifest = cache.folder / "cache.json"
    result = cache.warm(index, "-r", cache.file(*lines), "--manifest", str(manifest)).check()
    print(result.output)
    told = [(file["name"], file["version"]) for file in json.loads(manifest.read_text())["files"]]
    assert told == [
        ("alpha", "1.0"),
        ("beta", "1.0"),
        ("needing", stamped(needing)),
        ("plain", stamped(plain)),
        ("sourced", "1.0"),
        (BACKEND, "1.0"),
    ]
    cache.go_offline()
    public.sent.clear()
    wanted = ("plain==1.0.2", "needing==1.0.2", "alpha", "sourced==1.0")
    target = tmp_path / "target"
    done = installer.install(cache.live.url(index), *wanted, target=target).check()
    print(f"{installer.name}: offline install {done.seconds:.2f} s")
    names = {path.name for path in target.glob("*.py")}
    assert names == {"inline.py", "alpha.py", "beta.py", "sourced.py"}
    assert (target / "beta.py").read_text() == "VERSION = '1.0'\n"
    assert not public.sent
    cache.verify(index, "--manifest", str(manifest)).check()
