"""The whole pipeline on real repositories, over file:// and HTTP: what it yields, what it raises, what it leaves."""

from __future__ import annotations

import json
import os
import sys
import threading
import zipfile
from pathlib import Path

import pytest

from devpi_forkbuilder.domain.pins.orders import Recipe, Versions
from devpi_forkbuilder.domain.pins.pins import Pin
from devpi_forkbuilder.domain.states import State
from devpi_forkbuilder.errors import BuildError, ForkbuilderError, InfrastructureError, LimitsError, MismatchError
from devpi_forkbuilder.pipeline.checkout.pretend_version import pretend_version
from devpi_forkbuilder.pipeline.process.time_limits import BuildLimits
from devpi_forkbuilder.pipeline.process.work_dir import discard, owner_of, sweep_leftovers, work_folder
from devpi_forkbuilder.pipeline.protocols import CancelledError
from devpi_forkbuilder.pipeline.sandbox.probe import choose_tier
from tests.pipeline.benches import Follower, order, wheel_builder

STATES = [State.FETCHING, State.BUILDING, State.CHECKING]


def leftovers(folder: Path) -> list[Path]:
    return list((folder / "builds").iterdir())


def failure(shop, line, kind, follower=None, **more) -> ForkbuilderError:
    with pytest.raises(kind) as caught, shop.build(order(line, **more), follower or Follower()):
        pytest.fail("built")
    assert leftovers(shop.work.parent) == []
    return caught.value


def test_build__stamped(tmp_path, repositories):
    fork = repositories.make("inline")
    shop, follower = wheel_builder(tmp_path), Follower()
    with shop.build(order(repositories.pin_line(fork)), follower) as built:
        (wheel,) = built.artefacts
        version = f"1.0.2+20260102010405.g{fork.commit[:12]}"
        assert wheel.filename == f"inline-{version}-py3-none-any.whl"
        assert wheel.version == version
        assert wheel.pure
        assert wheel.metadata["version"] == version
        assert wheel.path.stat().st_size == wheel.size
        assert built.commit_time == follower.time == fork.time()
        assert follower.states == STATES
    assert not wheel.path.exists()
    assert leftovers(tmp_path) == []


def test_build__provenance(tmp_path, repositories):
    fork = repositories.make("inline")
    with wheel_builder(tmp_path).build(order(repositories.pin_line(fork)), Follower()) as built:
        known = built.provenance
    assert known["commit"] == fork.commit
    assert known["tree"] == repositories.git("rev-parse", f"{fork.commit}^{{tree}}", at=fork.path).strip()
    assert known["url"] == fork.file_url
    assert known["built_version"] == "1.0.2"
    assert (known["sandbox"], known["bounded"]) == ("none", "")
    assert known["requires"] == ""
    assert set(known) >= {"python", "uv", "git", "plugin"}
    assert str(tmp_path / "builds") not in json.dumps(known)


def test_build__plain_has_the_version_as_built_and_no_sdist_where_there_is_none(tmp_path, repositories):
    line = repositories.pin_line(repositories.make("inline"))
    follower = Follower()
    with wheel_builder(tmp_path).build(order(line, versions=Versions.PLAIN), follower) as built:
        assert [artefact.filename for artefact in built.artefacts] == ["inline-1.0.2-py3-none-any.whl"]
    assert "no source distribution" in follower.log.text


def test_build__local_label_is_never_stamped(tmp_path, repositories):
    fork = repositories.make("inline", version="0.1.0+edx.2")
    with wheel_builder(tmp_path).build(order(repositories.pin_line(fork)), Follower()) as built:
        assert built.artefacts[0].version == "0.1.0+edx.2"


def test_build__two_servers_make_the_same_bytes(tmp_path, repositories):
    line = repositories.pin_line(repositories.make("inline"))
    digests = set()
    for name in ("one", "a-rather-longer-name"):
        with wheel_builder(tmp_path / name).build(order(line), Follower()) as built:
            digests.add(built.artefacts[0].sha256)
    assert len(digests) == 1


@pytest.mark.network
@pytest.mark.parametrize(
    "case",
    [
        "pure-setuptools",
        pytest.param("hatchling", marks=pytest.mark.slow),
        pytest.param("setup-py-reads-requirements", marks=pytest.mark.slow),
    ],
)
def test_build__two_servers_make_the_same_bytes_with_usual_back_ends(tmp_path, repositories, case):
    line = repositories.pin_line(repositories.make(case))
    files = []
    for name in ("one", "a-rather-longer-name"):
        with wheel_builder(tmp_path / name).build(order(line, versions=Versions.PLAIN), Follower()) as built:
            files.append([(artefact.filename, artefact.sha256) for artefact in built.artefacts])
    assert files[0] == files[1]
    assert files[0][0][0].endswith(".whl")


@pytest.mark.network
@pytest.mark.parametrize("tier", ["bwrap", "uid", "landlock"])
def test_build__confined_makes_the_same_bytes_as_unconfined(tmp_path, repositories, tier):
    try:
        sandbox = choose_tier(tier, scratch=tmp_path)
    except InfrastructureError as error:
        pytest.skip(error.what)
    if not sandbox.reaches(Path(sys.base_prefix)):
        pytest.skip(f"builds of the tier {tier} cannot pass to {sys.base_prefix}")
    line = repositories.pin_line(repositories.make("pure-setuptools"))
    digests = []
    for name, walls in (("confined", sandbox), ("open", None)):
        with wheel_builder(tmp_path / name, sandbox=walls).build(order(line), Follower()) as built:
            digests.append(built.artefacts[0].sha256)
    assert digests[0] == digests[1]
    assert leftovers(tmp_path / "confined") == []


def test_build__over_http_with_subdirectory_and_submodule(tmp_path, repositories, git_server):
    shop = wheel_builder(tmp_path)
    for case in ("subdirectory", "submodule"):
        line = repositories.pin_line(repositories.make(case), git_server.url)
        with shop.build(order(line), Follower()) as built:
            assert built.artefacts[0].filename.startswith(f"{case}-1.0.2+")


@pytest.mark.parametrize(
    ("case", "kind", "reference", "states"),
    [
        ("fails", BuildError, "build-failed", 2),
        ("no-wheel", BuildError, "build-failed", 2),
        ("two-wheels", MismatchError, "several-wheels", 3),
        ("other-name", MismatchError, "name-differs", 3),
        ("other-version", MismatchError, "version-differs", 3),
    ],
)
def test_build__failing_forks(tmp_path, repositories, case, kind, reference, states):
    follower = Follower()
    line = repositories.pin_line(repositories.make(case))
    error = failure(wheel_builder(tmp_path), line, kind, follower)
    assert error.reference == reference
    assert follower.states == STATES[:states]


def test_build__silent_fork(tmp_path, repositories):
    shop = wheel_builder(tmp_path, limits=BuildLimits(timeout=60, silence=0.5))
    assert failure(shop, repositories.pin_line(repositories.make("hangs")), LimitsError).reference == "silence"


def test_build__endless_fork(tmp_path, repositories):
    shop = wheel_builder(tmp_path, limits=BuildLimits(timeout=3, silence=60))
    assert failure(shop, repositories.pin_line(repositories.make("endless-output")), LimitsError).reference == "timeout"


class StopsInside:
    """Cancelled as soon as the build itself has said something."""

    def __init__(self) -> None:
        self.follower = Follower(self.asked)

    def asked(self) -> bool:
        return b"hanging" in self.follower.lines.written


def test_build__cancelled_while_it_hangs(tmp_path, repositories):
    line = repositories.pin_line(repositories.make("hangs"))
    shop, stop = wheel_builder(tmp_path), StopsInside()
    with pytest.raises(CancelledError), shop.build(order(line), stop.follower):
        pytest.fail("built")
    assert leftovers(tmp_path) == []


def test_build__environment_of_the_build_has_the_recipe_and_nothing_of_the_server(tmp_path, repositories, monkeypatch):
    monkeypatch.setenv("DEVPI_SECRET", "hunter2")
    line = repositories.pin_line(repositories.make("prints-secrets-env"))
    recipe = Recipe(env=(("WITH_SPEEDUPS", "0"),))
    with wheel_builder(tmp_path).build(order(line, recipe=recipe), Follower()) as built:
        found = json.loads(zipfile.ZipFile(built.artefacts[0].path).read("environment.json"))
    assert found["WITH_SPEEDUPS"] == "0"
    assert "DEVPI_SECRET" not in found


def test_build__unknown_interpreter(tmp_path, repositories):
    line = repositories.pin_line(repositories.make("inline"))
    follower = Follower()
    error = failure(wheel_builder(tmp_path), line, InfrastructureError, follower, python="3.99")
    assert error.reference == "interpreter-missing"
    assert follower.states == []


def test_build__full_disk(tmp_path, repositories):
    shop = wheel_builder(tmp_path, free_floor=1 << 62)
    error = failure(shop, repositories.pin_line(repositories.make("inline")), InfrastructureError)
    assert error.reference == "disk-full"
    assert error.retryable


def test_build__work_folder_that_cannot_be_made(tmp_path, repositories):
    (tmp_path / "builds").write_text("a file is in the way")
    line = repositories.pin_line(repositories.make("inline"))
    with pytest.raises(InfrastructureError) as caught, wheel_builder(tmp_path).build(order(line), Follower()):
        pytest.fail("built")
    assert caught.value.reference == "disk-failed"


def test_build__errors_of_who_uses_the_files_are_theirs(tmp_path, repositories):
    line = repositories.pin_line(repositories.make("inline"))
    with pytest.raises(FileNotFoundError), wheel_builder(tmp_path).build(order(line), Follower()):
        raise FileNotFoundError
    assert leftovers(tmp_path) == []


def test_build__several_at_once(tmp_path, repositories):
    shop = wheel_builder(tmp_path)
    lines = [repositories.pin_line(repositories.make("inline", name, project=name)) for name in ("one", "two", "three")]
    names: list[str] = []

    def work(line: str) -> None:
        with shop.build(order(line), Follower()) as built:
            names.append(built.artefacts[0].filename.partition("-")[0])

    threads = [threading.Thread(target=work, args=(line,)) for line in lines]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(names) == ["one", "three", "two"]
    assert leftovers(tmp_path) == []


@pytest.mark.network
def test_build__version_from_tags(tmp_path, repositories):
    fork = repositories.make("version-from-tags")
    with wheel_builder(tmp_path).build(order(repositories.pin_line(fork)), Follower()) as built:
        assert built.provenance["built_version"] == "1.0.2"


@pytest.mark.network
def test_build__version_from_a_tag_that_is_missing_is_the_pins(tmp_path, repositories):
    fork = repositories.make("version-from-tags")
    repositories.git("update-ref", "-d", "refs/tags/v1.0.2", at=fork.path)
    follower = Follower()
    with wheel_builder(tmp_path).build(order(repositories.pin_line(fork, version="3.1")), follower) as built:
        assert built.provenance["built_version"] == "3.1"
    assert "the back end gets 3.1" in follower.log.text


def test_told_version__names_the_project():
    pin = Pin.parse(f"git+https://h/x@{'a' * 40}#egg=Some.name-x==1.2")
    assert ("SETUPTOOLS_SCM_PRETEND_VERSION_FOR_SOME_NAME_X", "1.2") in pretend_version(pin, pin.version)


def test_identity__names_tools_and_tier(tmp_path):
    identity = wheel_builder(tmp_path).identity
    for word in ("devpi-forkbuilder", "uv ", "git ", "sandbox none"):
        assert word in identity


def test_sweep__removes_those_of_the_dead_and_keeps_those_of_the_living(tmp_path):
    with work_folder(tmp_path, owner_of(os.getpid())) as living:
        dead = tmp_path / "build-4194304.12345-abc"
        reused = tmp_path / f"build-{os.getpid()}.1-abc"
        odd = tmp_path / "build-x"
        for path in (dead, reused, odd):
            (path / "box").mkdir(parents=True)
        (tmp_path / "mirrors").mkdir()
        assert set(sweep_leftovers(tmp_path)) == {dead, reused, odd}
        assert sorted(path.name for path in tmp_path.iterdir()) == sorted([living.root.name, "mirrors"])


def test_sweep__traces_of_git_commands_of_a_killed_server(tmp_path):
    shop = wheel_builder(tmp_path)
    home = shop.source.mirrors.git.home
    own = f"trace-{owner_of(os.getpid())}-x"
    for name in ("trace-old", "trace-4194304.12345-abc", own):
        (home / name).mkdir(parents=True)
    shop.sweep()
    assert [path.name for path in home.iterdir()] == [own]


def test_sweep__nothing_there(tmp_path):
    assert sweep_leftovers(tmp_path / "never-made") == ()


def test_discard__write_protected_folders_and_links_out(tmp_path):
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "file").touch()
    root = tmp_path / "root"
    (root / "a" / "b").mkdir(parents=True)
    (root / "a" / "b" / "file").touch()
    (root / "out").symlink_to(kept)
    for path in (root / "a" / "b", root / "a"):
        path.chmod(0)
    discard(root)
    assert not root.exists()
    assert (kept / "file").exists()
    assert kept.stat().st_mode & 0o700
