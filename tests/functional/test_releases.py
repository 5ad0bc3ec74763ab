"""What is published: plain releases with source distributions, and forks whose builds need more than one file."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from tests.clients import Pip, Uv
from tests.functional.conftest import MakeLive
from tests.live import Live, stamped
from tests.repositories import Repository
from tests.surroundings import needs_compiler

PUBLIC = ("--request-timeout", "30")
PURE = ("-py3-none-any.whl", "-py2.py3-none-any.whl")


@pytest.fixture(scope="module")
def public(devpi_servers: MakeLive) -> Live:
    """A server with `root/pypi`, from which back ends come."""
    return devpi_servers(*PUBLIC, mirror=True)


@pytest.fixture(scope="module")
def other(devpi_servers: MakeLive) -> Live:
    """Another such server, which knows nothing of the first."""
    return devpi_servers(*PUBLIC, mirror=True)


def _plain(live: Live, *forks: Repository) -> str:
    return live.index_of(*forks, bases=("root/pypi",), fork_versions="plain")


@pytest.mark.functional
@pytest.mark.network
@pytest.mark.parametrize("case", ["pure-setuptools", "hatchling"])
def test_plain__wheel_and_source_distribution_are_installable(
    public: Live, pip_new: Pip, uv: Uv, case: str, tmp_path: Path
) -> None:
    fork = public.host.fork(case)
    index, stem = _plain(public, fork), fork.project.replace("-", "_")
    names = set(public.files(index, fork.project))
    assert {name.removeprefix(f"{stem}-1.0.2") for name in names} in ({".tar.gz", tags} for tags in PURE)
    uv.install(public.url(index), f"{fork.project}==1.0.2", target=tmp_path / "wheel").check()
    assert (tmp_path / "wheel" / f"{stem}-1.0.2.dist-info").is_dir()
    from_source = ("--no-binary", fork.project)
    for client, place in ((pip_new, "pip"), (uv, "uv")):
        client.install(
            public.url(index), f"{fork.project}==1.0.2", arguments=from_source, target=tmp_path / place
        ).check()
        assert (tmp_path / place / f"{stem}-1.0.2.dist-info").is_dir()


@pytest.mark.slow
@pytest.mark.network
@pytest.mark.functional
def test_plain__two_servers_make_the_same_files(public: Live, other: Live) -> None:
    forks = [public.host.fork(case) for case in ("pure-setuptools", "hatchling")]
    made = [_hashes(live, _plain(live, *forks), forks) for live in (public, other)]
    assert made[0] == made[1]
    assert len(made[0]) == 4


def _hashes(live: Live, index: str, forks: list[Repository]) -> dict[str, str]:
    return {name: file["hashes"]["sha256"] for fork in forks for name, file in live.files(index, fork.project).items()}


@pytest.mark.slow
@pytest.mark.network
@pytest.mark.functional
def test_stamped__two_servers_make_the_same_wheels_with_real_back_ends(public: Live, other: Live) -> None:
    cases = ("pure-setuptools", "hatchling", "flit", "poetry", "version-from-tags")
    forks = [public.host.fork(case) for case in cases]
    made = [_hashes(live, live.index_of(*forks, bases=("root/pypi",)), forks) for live in (public, other)]
    assert made[0] == made[1]
    assert len(made[0]) == len(cases)


@pytest.mark.network
@pytest.mark.functional
@pytest.mark.parametrize(
    "case",
    [
        "version-from-tags",
        "setup-py-reads-requirements",
        pytest.param("extension", marks=needs_compiler),
        "flit",
        "poetry",
    ],
)
def test_real_back_ends__build_and_install(public: Live, uv: Uv, case: str, tmp_path: Path) -> None:
    fork = public.host.fork(case)
    index = public.index_of(fork, bases=("root/pypi",))
    uv.install(public.url(index), f"{fork.project}==1.0.2", target=tmp_path / "target").check()
    stem = fork.project.replace("-", "_")
    assert (tmp_path / "target" / f"{stem}-{stamped(fork)}.dist-info").is_dir()
    assert list((tmp_path / "target").glob(f"{stem}*"))


@pytest.mark.functional
@pytest.mark.parametrize(("case", "module"), [("subdirectory", "subdirectory.py"), ("submodule", "submodule_part.py")])
def test_in_tree_back_ends__build_and_install(live: Live, uv: Uv, case: str, module: str, tmp_path: Path) -> None:
    fork = live.host.fork(case)
    index = live.index_of(fork)
    uv.install(live.url(index), f"{fork.project}==1.0.2", target=tmp_path / "target").check()
    assert (tmp_path / "target" / module).is_file()
    (state,) = live.states(index, fork.project)
    assert state["subdirectory"] == fork.subdirectory
    file = live.file(index, fork.project)
    content = live.server.get(file["url"].partition("#")[0]).check().body
    assert hashlib.sha256(content).hexdigest() == file["hashes"]["sha256"] == state["files"][0]["sha256"]


@pytest.mark.functional
def test_plain__a_second_commit_of_one_version_never_replaces_the_first(live: Live) -> None:
    fork = live.host.fork("same-version-two-commits")
    index = live.index(live.host.pin(fork, commit=fork.commits[0]), fork_versions="plain")
    first = live.file(index, fork.project)["hashes"]["sha256"]
    live.pin(index, live.host.pin(fork))
    failed = live.outcome(index, fork.project)
    assert (failed["state"], failed["error"]["kind"]) == ("failed", "mismatch")
    assert "fork_versions=stamped" in failed["error"]["message"]
    kept = live.files(index, fork.project)[f"{fork.project.replace('-', '_')}-1.0.2-py3-none-any.whl"]
    assert kept["hashes"]["sha256"] == first
