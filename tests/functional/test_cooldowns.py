"""A cooldown of seven days with real installers: forks by policy, public packages, and the reason of a failed build."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients import Pip, Uv
from tests.functional.conftest import MakeLive
from tests.live import Live
from tests.publicindex import PublicIndex, public_index
from tests.repositories import Repository

OLD, YESTERDAY = "2024-01-02T03:04:05.678901Z", 1


@pytest.fixture(scope="module")
def public(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PublicIndex]:
    with public_index(tmp_path_factory.mktemp("public") / "index") as index:
        index.json = True
        for version, time in (("1.0", OLD), ("2.0", moment(days=YESTERDAY))):
            wheel = index.add_wheel("publicly", version)
            index.facts[wheel.name] = {"upload-time": time}
        yield index


@pytest.fixture(scope="module")
def live(devpi_servers: MakeLive, public: PublicIndex) -> Live:
    found = devpi_servers()
    found.create("root/public", type="mirror", mirror_url=public.url, mirror_no_project_list=True)
    return found


def moment(days: float) -> str:
    """So many days ago."""
    then = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days=days)
    return then.strftime("%Y-%m-%dT%H:%M:%SZ")


def fork(live: Live, **settings: str) -> tuple[str, Repository]:
    """An index with a fork that was committed long ago, and a mirror of the public index."""
    made = live.host.fork("inline")
    return live.index(live.host.pin(made), bases=("root/public",), **settings), made


def cooldown(installer: Pip | Uv) -> tuple[str, ...]:
    """The option for seven days."""
    return ("--exclude-newer" if isinstance(installer, Uv) else "--uploaded-prior-to", moment(days=7))


@pytest.fixture(params=[pytest.param("pip_new", marks=pytest.mark.network), "uv"])
def installer(request: pytest.FixtureRequest) -> Pip | Uv:
    found: Pip | Uv = request.getfixturevalue(request.param)
    return found


@pytest.mark.functional
def test_cooldown__public_packages_come_in_the_newest_version_that_is_old_enough(
    live: Live, installer: Pip | Uv, tmp_path: Path
) -> None:
    index, _ = fork(live)
    installer.install(live.url(index), "publicly", target=tmp_path / "with", arguments=cooldown(installer)).check()
    assert [path.name for path in (tmp_path / "with").glob("*.dist-info")] == ["publicly-1.0.dist-info"]
    installer.install(live.url(index), "publicly", target=tmp_path / "without").check()
    assert [path.name for path in (tmp_path / "without").glob("*.dist-info")] == ["publicly-2.0.dist-info"]


@pytest.mark.functional
def test_cooldown__forks_by_policy(live: Live, installer: Pip | Uv) -> None:
    index, made = fork(live, fork_upload_time="commit")
    installer.install(live.url(index), made.project, arguments=cooldown(installer)).check()
    live.server.modify_index(index, fork_upload_time="published").check()
    refused = installer.install(live.url(index), made.project, arguments=cooldown(installer))
    assert refused.returncode != 0
    installer.install(live.url(index), made.project).check()


@pytest.mark.functional
def test_cooldown__reason_of_a_failed_build_is_printed(live: Live, installer: Pip | Uv) -> None:
    failing = live.host.fork("fails")
    index = live.index_of(failing, bases=("root/public",))
    refused = installer.install(live.url(index), failing.project, arguments=cooldown(installer))
    assert refused.returncode != 0
    assert f"Build of {failing.project}" in refused.output
