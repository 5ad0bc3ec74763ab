"""Stamped wheels: what changes, what does not, and that installers take them."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from packaging.version import Version

from devpi_forkbuilder.domain.versions import stamp
from devpi_forkbuilder.errors import MismatchError
from devpi_forkbuilder.pipeline.artifacts.restamp import date_of, stamp_wheel
from devpi_forkbuilder.pipeline.artifacts.wheel import read_wheel
from tests.archives import METADATA, members_of, write_wheel, write_zip
from tests.surroundings import clean_environment, needs_compiler

COMMIT = "1a2b3c4d5e6f" + "0" * 28
UV = Path(sys.executable).with_name("uv")
FORKS = Path(__file__).parents[2] / "forks"
EPOCH = 1795173753  # 2026-11-20 11:22:33 UTC
STAMPED = stamp(Version("1.0.2"), EPOCH, COMMIT)
OLD, NEW = "sample_fork-1.0.2", f"sample_fork-{STAMPED}"
NAME = f"{OLD}-py3-none-any.whl"


@pytest.fixture
def into(tmp_path) -> Path:
    folder = tmp_path / "stamped"
    folder.mkdir()
    return folder


def test_stamp_wheel__names(tmp_path, into):
    stamped = stamp_wheel(write_wheel(tmp_path), STAMPED, into, EPOCH)
    assert stamped == into / f"{NEW}-py3-none-any.whl"
    wheel = read_wheel(stamped)
    assert wheel.version == STAMPED
    assert [member.name for member in wheel.members] == [name.replace(OLD, NEW) for name in members_of()]
    assert list(into.iterdir()) == [stamped]


def test_stamp_wheel__content(tmp_path, into):
    path = write_wheel(tmp_path)
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(stamp_wheel(path, STAMPED, into, EPOCH)) as new:
        for name in old.namelist():
            before, after = old.read(name), new.read(name.replace(OLD, NEW))
            if name.endswith("METADATA"):
                assert after == before.replace(b"Version: 1.0.2\n", f"Version: {STAMPED}\n".encode())
                assert b"Version: 0.0 is what the text says." in after
            elif not name.endswith("RECORD"):
                assert after == before
        for info in new.infolist():
            assert info.date_time == (2026, 11, 20, 11, 22, 32)
            assert info.external_attr >> 16 == (0o100755 if "/scripts/" in info.filename else 0o100644)
            assert not info.extra


@pytest.mark.parametrize("line", ["Version:1.0.2", "VERSION:  1.0.2  ", "Version: 1.0.2\r", "version:\t01.0.2"])
def test_stamp_wheel__only_the_value_changes(tmp_path, into, line):
    metadata = METADATA.replace("Version: {version}", line)
    stamped = stamp_wheel(write_wheel(tmp_path, metadata=metadata), STAMPED, into, EPOCH)
    with zipfile.ZipFile(stamped) as archive:
        found = archive.read(f"{NEW}.dist-info/METADATA").decode()
    version = line.split(":", 1)[1].strip()
    expected = metadata.format(name="sample_fork").replace(line, line.rstrip(" ").replace(version, str(STAMPED)))
    assert found == expected


def test_stamp_wheel__equal_input_gives_equal_bytes(tmp_path, into):
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    one = stamp_wheel(write_wheel(tmp_path), STAMPED, first, EPOCH)
    two = stamp_wheel(write_wheel(into), STAMPED, second, EPOCH)
    assert one.read_bytes() == two.read_bytes()


def test_stamp_wheel__does_not_depend_on_dates_permissions_or_packing(tmp_path, into):
    plain = [(zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0)), data) for name, data in members_of().items()]
    for info, _ in plain:
        info.external_attr = (0o100700 if "/scripts/" in info.filename else 0o100600) << 16
        info.extra = b"\xfe\xca\0\0"
        info.create_system = 0
    one = stamp_wheel(write_wheel(tmp_path), STAMPED, into, EPOCH).read_bytes()
    two = stamp_wheel(write_zip(tmp_path / NAME, plain), STAMPED, into, EPOCH).read_bytes()
    assert one == two


def test_stamp_wheel__signatures_are_dropped(tmp_path, into):
    info = f"{OLD}.dist-info"
    path = write_zip(
        tmp_path / NAME, {**members_of(), f"{info}/RECORD.jws": b"{}", f"{info}/RECORD.p7s": b"x", "sample_fork/": b""}
    )
    names = [member.name for member in read_wheel(stamp_wheel(path, STAMPED, into, EPOCH)).members]
    assert "sample_fork/" in names
    assert not [name for name in names if name.endswith((".jws", ".p7s"))]
    assert names[-1] == f"{NEW}.dist-info/RECORD"


def test_stamp_wheel__build_tag_and_platform_stay(tmp_path, into):
    path = write_wheel(tmp_path).rename(tmp_path / f"{OLD}-7-py3-none-any.whl")
    assert stamp_wheel(path, STAMPED, into, EPOCH).name == f"{NEW}-7-py3-none-any.whl"


def test_stamp_wheel__same_version_is_copied(tmp_path, into):
    path = write_wheel(tmp_path, version="0.1.0+edx.2")
    copy = stamp_wheel(path, stamp(Version("0.1.0+edx.2"), EPOCH, COMMIT), into, EPOCH)
    assert copy.name == path.name
    assert copy.read_bytes() == path.read_bytes()


def test_stamp_wheel__bad_wheel_leaves_nothing(tmp_path, into):
    with pytest.raises(MismatchError):
        stamp_wheel(write_wheel(tmp_path, extra={"../x": b""}), STAMPED, into, EPOCH)
    assert not list(into.iterdir())


@pytest.mark.parametrize(
    ("epoch", "date"),
    [(0, (1980, 1, 1, 0, 0, 0)), (-1, (1980, 1, 1, 0, 0, 0)), (2**40, (2107, 12, 31, 23, 59, 58))],
)
def test_date_of__outside_of_what_a_zip_holds(epoch, date):
    assert date_of(epoch) == date


def test_stamp_wheel__pip_installs_it(tmp_path, into):
    stamped = stamp_wheel(write_wheel(tmp_path), STAMPED, into, EPOCH)
    target = tmp_path / "site"
    environment = clean_environment(tmp_path)
    run([sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--target", target, stamped], environment)
    ask = "import importlib.metadata as m, sample_fork; print(m.version('sample-fork'), sample_fork.VALUE)"
    said = run([sys.executable, "-c", ask], {**environment, "PYTHONPATH": str(target)})
    assert said.split() == [str(STAMPED), "1"]
    assert (target / "bin" / "sample_fork").stat().st_mode & 0o111


def run(command: list[str | Path], environment: dict[str, str]) -> str:
    done = subprocess.run(command, env=environment, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def build(fork: str, folder: Path) -> Path:
    """The wheel that uv makes of a fork, from a copy of its own in `folder`."""
    source, out = folder / "source", folder / "out"
    shutil.copytree(FORKS / fork, source)
    environment = clean_environment(folder.parent, SOURCE_DATE_EPOCH=str(EPOCH))
    run([UV, "build", "--wheel", "--python", sys.executable, "--out-dir", out, source], environment)
    (wheel,) = out.glob("*.whl")
    return wheel


@pytest.mark.network
@pytest.mark.parametrize("fork", ["pure-setuptools", "flit", "hatchling", "poetry"])
def test_stamp_wheel__real_build(tmp_path, into, fork):
    first, second = build(fork, tmp_path / "first"), build(fork, tmp_path / "second")
    version = stamp(read_wheel(first).version, EPOCH, COMMIT)
    stamped = stamp_wheel(first, version, into, EPOCH)
    content = stamped.read_bytes()
    assert read_wheel(stamped).version == version
    assert stamp_wheel(second, version, into, EPOCH).read_bytes() == content
    install = [UV, "pip", "install", "--no-deps", "--no-index", "--python", sys.executable, "--target"]
    run([*install, tmp_path / "site", stamped], clean_environment(tmp_path))
    assert [folder.name for folder in (tmp_path / "site").glob(f"*-{version}.dist-info")]


@pytest.mark.network
@needs_compiler
def test_stamp_wheel__compiled_build(tmp_path, into):
    wheel = read_wheel(build("extension", tmp_path / "first"))
    assert not wheel.pure
    stamped = read_wheel(stamp_wheel(wheel.path, stamp(wheel.version, EPOCH, COMMIT), into, EPOCH))
    assert (stamped.tags, stamped.pure) == (wheel.tags, False)
