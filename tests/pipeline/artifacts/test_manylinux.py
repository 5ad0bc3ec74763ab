"""Linux wheels and the platforms that they may claim."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

from devpi_forkbuilder.domain.compat.targets import Client
from devpi_forkbuilder.errors import InfrastructureError
from devpi_forkbuilder.pipeline.artifacts import manylinux as module
from devpi_forkbuilder.pipeline.artifacts.manylinux import (
    RetagFinding,
    judge_platform,
    machine_of,
    retag,
    retag_linux_wheel,
)
from devpi_forkbuilder.pipeline.artifacts.wheel import Wheel, read_wheel
from devpi_forkbuilder.pipeline.process.watch import TransferWatch
from devpi_forkbuilder.pipeline.sandbox.unconfined import NoSandbox
from tests.pipeline.benches import EPOCH, Follower, order, wheel_builder
from tests.pipeline.watching import Lines, never
from tests.repositories import Repositories
from tests.surroundings import needs_compiler, without_compiler

FOUND = {"overall_tag": "manylinux_2_17_x86_64", "external_libs": {}}


def answer(**changes: object) -> bytes:
    return json.dumps({**FOUND, **changes}).encode()


def test_judge__what_policy_allows():
    assert judge_platform(answer(), "x86_64") == RetagFinding(("manylinux_2_17_x86_64", "manylinux2014_x86_64"))
    assert judge_platform(answer(overall_tag="manylinux_2_28_x86_64"), "x86_64") == RetagFinding(
        ("manylinux_2_28_x86_64",)
    )
    assert judge_platform(answer(overall_tag="musllinux_1_2_aarch64"), "aarch64") == RetagFinding(
        ("musllinux_1_2_aarch64",)
    )


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (answer(external_libs={"libfoo.so.1": "/usr/lib/libfoo.so.1"}), "it links libfoo.so.1,"),
        (answer(overall_tag="linux_x86_64"), "no manylinux policy"),
        (answer(overall_tag="manylinux_2_17_aarch64"), "no manylinux policy"),
        (answer(overall_tag="manylinux_2_17_x86_64.whl/../x"), "no manylinux policy"),
        (b"", "cannot be read"),
        (b"[]", "cannot be read"),
        (b"[" * 100_000, "cannot be read"),
        (answer(overall_tag=None), "cannot be read"),
    ],
)
def test_judge__what_it_does_not(given: bytes, why: str):
    finding = judge_platform(given, "x86_64")
    assert finding.platforms == ()
    assert why in finding.why


@pytest.mark.parametrize(
    ("platforms", "machine"),
    [
        (["linux_x86_64"], "x86_64"),
        (["any"], None),
        (["manylinux_2_17_x86_64"], None),
        (["linux_x86_64", "manylinux_2_17_x86_64"], None),
        ([], None),
    ],
)
def test_machine_of__wheels_of_one_linux_platform(platforms: list[str], machine: str | None):
    assert machine_of(platforms) == machine


@pytest.fixture
def extension(tmp_path: Path, repositories: Repositories) -> Wheel:
    """A real one, as its build left it."""
    if reason := without_compiler():
        pytest.skip(reason)
    kept: list[Path] = []

    def keep(_wheel: Wheel, *_: object) -> Path:
        kept.append(tmp_path / _wheel.filename)
        kept[0].write_bytes(_wheel.path.read_bytes())
        return _wheel.path

    line = repositories.pin_line(repositories.make("extension"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("devpi_forkbuilder.pipeline.builder.retag_linux_wheel", keep)
        with wheel_builder(tmp_path / "shop").build(order(line), Follower()):
            pass
    return read_wheel(kept[0])


@pytest.mark.network
def test_repair__a_real_extension(tmp_path: Path, extension: Wheel):
    pytest.importorskip("auditwheel")
    folders = [tmp_path / name for name in ("box", "into", "box2", "into2")]
    for folder in folders:
        folder.mkdir()
    log = Lines()
    first = retag_linux_wheel(extension, NoSandbox(), folders[0], folders[1], EPOCH, TransferWatch(log, never))
    assert "manylinux_2_" in first.name
    assert "it links what every such platform has" in log.text
    again = retag_linux_wheel(extension, NoSandbox(), folders[2], folders[3], EPOCH, TransferWatch(log, never))
    assert first.read_bytes() == again.read_bytes()
    repaired = read_wheel(first)
    assert repaired.project == extension.project
    assert any(tag.platform.startswith("manylinux_2_") for tag in repaired.tags)
    older = Client("cpython", tuple(map(int, extension_python(extension))), "linux", "x86_64", "glibc", (2, 17))  # type: ignore[arg-type]  # two numbers
    if "x86_64" in first.name:
        assert older.accepts(first.name)


def extension_python(wheel: Wheel) -> tuple[str, str]:
    (tag,) = wheel.tags
    return tag.interpreter[2], tag.interpreter[3:]


def test_repair__a_full_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "PROGRAM", "json")  # any module that is there
    path = tmp_path / "x-1-cp311-cp311-linux_x86_64.whl"
    path.write_bytes(b"")
    with pytest.raises(InfrastructureError) as caught:
        module._audited(path, "x86_64", NoSandbox(), tmp_path / "missing", TransferWatch(Lines(), never))
    assert caught.value.reference == "disk-failed"


@pytest.mark.network
def test_repair__without_auditwheel_the_log_says_why(tmp_path: Path, extension: Wheel, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "PROGRAM", "a_module_that_is_not_installed")
    box, into, log = tmp_path / "box", tmp_path / "into", Lines()
    box.mkdir()
    into.mkdir()
    assert retag_linux_wheel(extension, NoSandbox(), box, into, EPOCH, TransferWatch(log, never)) == extension.path
    assert "keeps its tag linux_" in log.text
    assert "not installed" in log.text


@pytest.mark.network
def test_retag__changes_names_and_nothing_else(tmp_path: Path, extension: Wheel):
    path = retag(extension, ("manylinux_2_17_x86_64", "manylinux2014_x86_64"), tmp_path, EPOCH)
    assert path.name.endswith("-manylinux2014_x86_64.manylinux_2_17_x86_64.whl")
    with zipfile.ZipFile(extension.path) as before, zipfile.ZipFile(path) as after:
        changed = {name for name in before.namelist() if before.read(name) != after.read(name)}
        assert {name.rpartition("/")[2] for name in changed} == {"WHEEL", "RECORD"}
        assert before.namelist() == after.namelist()


@pytest.mark.network
@needs_compiler
def test_build__publishes_the_repaired_wheel(tmp_path: Path, repositories: Repositories):
    pytest.importorskip("auditwheel")
    fork, follower = repositories.make("extension"), Follower()
    with wheel_builder(tmp_path).build(order(repositories.pin_line(fork)), follower) as built:
        (wheel,) = built.artefacts
        assert f"+20260102010405.g{fork.commit[:12]}-cp" in wheel.filename
        assert "manylinux" in wheel.filename
        assert not wheel.pure
