"""From devpi-server's command line to values, and from those to the builder that they ask for."""

from __future__ import annotations

import dataclasses
import json
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from devpi_server.config import parseoptions

from devpi_forkbuilder.assembly import bounded_by, tier_of
from devpi_forkbuilder.domain.pins.orders import Order
from devpi_forkbuilder.domain.pins.pins import Pin
from devpi_forkbuilder.equipment import make_builder
from devpi_forkbuilder.errors import InfrastructureError
from devpi_forkbuilder.options import Options
from devpi_forkbuilder.pipeline.builder import WheelBuilder
from devpi_forkbuilder.pipeline.late_builder import Unable
from devpi_forkbuilder.pipeline.sandbox.rlimits import GIBIBYTE, MEBIBYTE, ResourceLimits
from devpi_forkbuilder.pipeline.sandbox.tier_uid import UidSandbox
from tests.pipeline.benches import Follower
from tests.pipeline.rooms import ROOT, OpenRoom, Room
from tests.repositories import Repositories
from tests.server.app import plugins
from tests.threats.hostile import attacking

SIZES = ("memory", "total-memory", "file-size", "folder")
NUMBERS = ("cpu", "processes", "open-files")


def read(*arguments: str, folder: Path = Path("/srv/devpi")) -> Options:
    config = parseoptions(plugins(), ["devpi-server", "--serverdir", str(folder), *arguments])
    return Options.read(config.args, folder, {})


def test_limits__defaults_are_those_of_the_sandbox() -> None:
    assert read().limits == ResourceLimits()


@pytest.mark.parametrize(
    ("option", "text", "field", "value"),
    [
        ("memory", "512M", "memory", 512 * MEBIBYTE),
        ("total-memory", "3G", "total_memory", 3 * GIBIBYTE),
        ("file-size", "10k", "file_size", 10 * 1024),
        ("folder", "20M", "folder", 20 * MEBIBYTE),
        ("folder", "4096", "folder", 4096),
        ("cpu", "60", "cpu", 60),
        ("processes", "32", "processes", 32),
        ("open-files", "100", "open_files", 100),
    ],
)
def test_limits__each_option_sets_its_own(option: str, text: str, field: str, value: int) -> None:
    limits = read(f"--forkbuilder-limit-{option}", text).limits
    assert dataclasses.replace(ResourceLimits(), **{field: value}) == limits


@pytest.mark.parametrize(
    ("option", "text"),
    [
        *((option, text) for option in SIZES for text in ("", "0", "1.5G", "-1", "4 G", "G", "10X", "²M")),
        *((option, text) for option in NUMBERS for text in ("", "0", "-1", "1.5", "4G", "²", "many")),
    ],
)
def test_limits__wrong_values_are_refused_with_a_line_that_helps(
    option: str, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        read(f"--forkbuilder-limit-{option}={text}")
    said = capsys.readouterr().err
    assert f"--forkbuilder-limit-{option}" in said
    assert repr(text) in said
    assert ("512M or 4G" if option in SIZES else "above zero") in said


def test_limits__reach_the_builder(scratch: Path) -> None:
    builder = make_builder(read("--forkbuilder-sandbox", "none", "--forkbuilder-limit-folder", "20M", folder=scratch))
    assert isinstance(builder, WheelBuilder)
    assert builder.limits.folder == 20 * MEBIBYTE


@pytest.fixture
def scratch() -> Iterator[Path]:
    """Not tmp_path: its parents are closed to the users of builds."""
    with tempfile.TemporaryDirectory(prefix="forkbuilder-options-", dir="/var/tmp") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.mark.parametrize("tier", ["bwrap", "uid", "none"])
def test_tier__is_the_one_that_ran(scratch: Path, repositories: Repositories, tier: str) -> None:
    """What the status says, what the provenance says, and what the build saw are the same."""
    if tier == "uid" and not ROOT:
        pytest.skip("needs root")
    allowed = ("--forkbuilder-allow-url", f"file://{repositories.folder}/")
    builder = make_builder(read("--forkbuilder-sandbox", tier, *allowed, folder=scratch))
    if isinstance(builder, Unable):
        pytest.skip(builder.identity)
    look = "json.dumps([os.getcwd().startswith('/build/'), os.getuid()])"
    fork = repositories.make("inline", files={"inline_backend.py": _looking(look)})
    with builder.build(Order("root/forks", Pin.parse(repositories.pin_line(fork))), Follower()) as built:
        with zipfile.ZipFile(built.artefacts[0].path) as archive:
            inside, uid = json.loads(archive.read("seen.json"))
        assert built.provenance["sandbox"] == tier_of(builder) == tier
        assert ("bubblewrap" in built.provenance["sandbox_program"]) == (tier == "bwrap")
        assert built.provenance["bounded"] == " ".join(bounded_by(builder))
    assert inside == (tier == "bwrap")
    if ROOT:
        assert (uid != 0) == (tier != "none")


def test_tier__of_a_builder_that_cannot_build() -> None:
    unable = Unable(InfrastructureError("no-sandbox", "Nothing works here."))
    assert (tier_of(unable), bounded_by(unable)) == ("unavailable", ())


@pytest.mark.skipif(not ROOT, reason="needs root")
@pytest.mark.parametrize("tier", ["bwrap", "uid"])
def test_first_uid__begins_the_users_of_builds(scratch: Path, repositories: Repositories, tier: str) -> None:
    allowed = ("--forkbuilder-allow-url", f"file://{repositories.folder}/", "--forkbuilder-first-uid", "61800")
    builder = make_builder(read("--forkbuilder-sandbox", tier, *allowed, folder=scratch))
    if isinstance(builder, Unable):
        pytest.skip(builder.identity)
    fork = repositories.make("inline", files={"inline_backend.py": _looking("str(os.getuid())")})
    order = Order("root/forks", Pin.parse(repositories.pin_line(fork)))
    with builder.build(order, Follower()) as built, zipfile.ZipFile(built.artefacts[0].path) as archive:
        assert 61800 <= int(archive.read("seen.json")) < 61928


@pytest.mark.skipif(not ROOT, reason="needs root")
def test_first_uid__of_the_tier_uid() -> None:
    with tempfile.TemporaryDirectory(prefix="forkbuilder-options-", dir="/var/tmp") as name:
        Path(name).chmod(0o755)
        room = Room("uid", Path(name), demoted=False)
        work = room.work()
        sandbox = UidSandbox.find(ResourceLimits(), room.folder, 61800)
        box = OpenRoom(room, sandbox.box(work), work)
        try:
            _, text = box.shell("id -u")
        finally:
            box.box.end()
    assert 61800 <= int(text) < 61928


def _looking(expression: str) -> str:
    code = f"def attack(folder, settings):\n    return write_wheel(folder, settings, **{{'seen.json': {expression}}})\n"
    return str(attacking(code)["inline_backend.py"])
