"""Resolving public projects reads metadata and no wheels: at a primary, its replica, a devpi behind it, offline."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import pytest

from tests.clients import Pip, Uv
from tests.functional.conftest import MakeLive
from tests.live import METADATA, Host, Live
from tests.publicindex import PublicIndex, metadata_of, public_index
from tests.sites import Site, running_site

pytestmark = pytest.mark.functional
MIB = 1024 * 1024
VERSIONS = 60
TIME = "2025-01-02T03:04:05.678901Z"
MIRROR = "root/public"


@pytest.fixture(scope="module")
def public(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PublicIndex]:
    """An index as many company proxies are: HTML, ranges, nothing else."""
    with public_index(tmp_path_factory.mktemp("public") / "index") as index:
        index.ranges = index.suffixes = True
        index.add_wheel("other", "1.0")
        for number in range(1, VERSIONS + 1):
            newer = "other>1" if number > 1 else "other"
            index.add_wheel("walked", f"1.{number}", requires=[newer], padding=MIB)
        yield index


@pytest.fixture(scope="module")
def site(
    host: Host, devpi_templates: Callable[[bool], Path], tmp_path_factory: pytest.TempPathFactory, public: PublicIndex
) -> Iterator[Site]:
    with running_site(tmp_path_factory.mktemp("site"), host, devpi_templates(False)) as found:
        found.primary.create(MIRROR, type="mirror", mirror_url=public.url, mirror_no_project_list=True)
        found.settle()
        yield found


def own_mirror(live: Live, name: str, url: str) -> str:
    live.create(name, type="mirror", mirror_url=url, mirror_no_project_list=True)
    return name


def file_of(live: Live, index: str, project: str) -> dict[str, Any]:
    [file] = live.page(index, project).check().json["files"]
    found: dict[str, Any] = {**file, "url": urljoin(f"{live.url(index)}{project}/", file["url"])}
    return found


def stored(live: Live) -> int:
    """Bytes of files that a server has."""
    return sum(path.stat().st_size for path in (live.server.serverdir / "+files").rglob("*.whl"))


@pytest.fixture(params=[pytest.param("pip_new", marks=pytest.mark.network), "uv"])
def installer(request: pytest.FixtureRequest) -> Pip | Uv:
    found: Pip | Uv = request.getfixturevalue(request.param)
    return found


def test_resolving__through_many_versions_fetches_no_wheels(
    own: MakeLive, public: PublicIndex, installer: Pip | Uv
) -> None:
    live = own()
    index = live.index(bases=(own_mirror(live, MIRROR, public.url),))
    public.bytes_sent = 0
    arguments = ("--dry-run",) if isinstance(installer, Uv) else ("--dry-run", "--ignore-installed")
    result = installer.install(live.url(index), "walked", "other", arguments=arguments).check()
    assert "walked" in result.output
    assert public.bytes_sent <= 6 * MIB, f"{public.bytes_sent / MIB:.1f} MiB"
    assert stored(live) <= 2 * MIB


def test_replica__passes_on_times_and_metadata_without_the_wheel(site: Site, public: PublicIndex) -> None:
    public.json = True
    wheel = public.add_wheel("replicated", "1.0", padding=MIB)
    public.facts[wheel.name] = {"upload-time": TIME}
    file = file_of(site.replica, MIRROR, "replicated")
    assert file["upload-time"] == TIME
    assert file["size"] == wheel.stat().st_size
    assert site.replica.server.get(f"{file['url']}.metadata").check().body == metadata_of(wheel)
    assert file_of(site.primary, MIRROR, "replicated")["upload-time"] == TIME
    assert stored(site.primary) == stored(site.replica) == 0
    site.primary.server.stop()
    try:
        assert site.replica.server.get(f"{file['url']}.metadata").check().body == metadata_of(wheel)
        assert file_of(site.replica, MIRROR, "replicated")["upload-time"] == TIME
    finally:
        site.primary.server.start()


def test_chain__passes_on_forks_and_public_files(own: MakeLive, public: PublicIndex) -> None:
    public.json = True
    wheel = public.add_wheel("chained", "1.0", padding=MIB)
    public.facts[wheel.name] = {"upload-time": TIME}
    team, cache = own(), own("--request-timeout", "60")
    fork = team.host.fork("inline")
    index = team.index(team.host.pin(fork), bases=(own_mirror(team, MIRROR, public.url),))
    name = own_mirror(cache, "root/team", team.url(index))
    near, far = file_of(cache, name, fork.project), file_of(team, index, fork.project)
    assert {key: near.get(key) for key in ("upload-time", "size", "core-metadata", "hashes")} == {
        key: far[key] for key in ("upload-time", "size", "core-metadata", "hashes")
    }
    content = cache.server.get(f"{near['url']}.metadata").check().body
    assert near["core-metadata"] == {"sha256": hashlib.sha256(content).hexdigest()}
    file = file_of(cache, name, "chained")
    assert file["upload-time"] == TIME
    assert cache.server.get(f"{file['url']}.metadata").check().body == metadata_of(wheel)
    assert stored(cache) == 0, "neither wheel was asked for"


def test_offline__metadata_that_were_read_are_there(own: MakeLive, public: PublicIndex, uv: Uv) -> None:
    public.json = True
    wheels = [public.add_wheel("offline", version, padding=MIB) for version in ("1.0", "2.0")]
    for wheel in wheels:
        public.facts[wheel.name] = {"upload-time": TIME}
    live = own()
    own_mirror(live, MIRROR, public.url)
    files = live.files(MIRROR, "offline")
    for wheel in wheels:
        live.server.get(f"{files[wheel.name]['url']}.metadata").check()
    live.server.get(files[wheels[0].name]["url"]).check()
    live.server.options = (*live.server.options, "--offline-mode")
    live.server.restart()
    listed = live.files(MIRROR, "offline")
    assert listed[wheels[0].name]["upload-time"] == TIME
    for wheel in wheels:
        answer = live.server.get(f"{files[wheel.name]['url']}.metadata").check()
        assert answer.body == metadata_of(wheel)
    uv.install(live.url(MIRROR), "offline==1.0", arguments=("--exclude-newer", "2025-06-01T00:00:00Z")).check()
    assert METADATA in live.server.options
