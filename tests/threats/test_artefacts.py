"""Wheels that no build tool makes."""

from __future__ import annotations

import os
import stat
import unicodedata
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from devpi_forkbuilder.errors import ForkbuilderError, Kind
from devpi_forkbuilder.pipeline.artifacts.wheel import read_wheel
from tests.archives import members_of, write_zip

NAME = "sample_fork-1.0.2-py3-none-any.whl"
HOLE = "HOLE"
QUICK = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

ODD = ("..", ".", "", "C:", "~", "-x", " ", "nul", "\u202e", "\x1b[0m", "a\nb", "a\\..\\b", "x" * 300, HOLE)
USUAL = (
    "a",
    "A",
    "b.py",
    "\u00e9",
    "e\u0301",
    "sample_fork",
    "__init__.py",
    "sample_fork-1.0.2.dist-info",
    "RECORD",
    "METADATA",
)
PARTS = st.sampled_from((*ODD, *USUAL))
NAMES = st.lists(PARTS, min_size=1, max_size=4).map("/".join) | st.text(min_size=1, max_size=12)
MODES = st.sampled_from([0o100644, 0o100755, 0o120777, 0o40755, 0o10644, 0o20644, 0o60644, 0o140644, 0o104755, 0])
MEMBERS = st.lists(st.tuples(NAMES, MODES, st.binary(max_size=30), st.sampled_from([0, 8, 12, 14])), max_size=4)


def wheel(folder: Path, extras: list[tuple[str, int, bytes, int]], hole: bytes) -> Path:
    """A wheel with these members beside its own, all of them in RECORD; the name `HOLE` becomes the bytes `hole`."""
    own = members_of(extra={name: data for name, _, data, _ in extras})
    pairs: list[tuple[zipfile.ZipInfo | str, bytes]] = [(n, d) for n, d in own.items() if n not in dict(_plain(extras))]
    for name, mode, data, method in extras:
        info = zipfile.ZipInfo(name)
        info.filename = name  # ZipInfo cuts names at NUL
        info.external_attr = mode << 16
        info.compress_type = method
        pairs.insert(0, (info, data))
    path = write_zip(folder / NAME, pairs)
    path.write_bytes(path.read_bytes().replace(HOLE.encode(), hole))
    return path


def fault_of(path: Path) -> ForkbuilderError | None:
    try:
        read_wheel(path)
    except ForkbuilderError as error:
        return error
    return None


def _plain(extras: list[tuple[str, int, bytes, int]]) -> list[tuple[str, bytes]]:
    return [(name, data) for name, _, data, _ in extras]


@pytest.mark.filterwarnings("ignore:Duplicate name")
@given(extras=MEMBERS, hole=st.binary(min_size=len(HOLE), max_size=len(HOLE)))
@QUICK
def test_wheel__any_members_are_refused_or_stay_inside(
    tmp_path: Path, extras: list[tuple[str, int, bytes, int]], hole: bytes
) -> None:
    try:
        path = wheel(tmp_path, extras, hole)
    except (UnicodeEncodeError, ValueError):
        return  # no archive can be written with that name
    fault = fault_of(path)
    if fault is not None:
        assert fault.kind in {Kind.MISMATCH, Kind.LIMITS}
        assert fault.message.isprintable()
        return
    with zipfile.ZipFile(path) as archive:
        infos = archive.infolist()
    names = [info.filename for info in infos]
    assert len({unicodedata.normalize("NFC", name) for name in names}) == len(names)
    for info in infos:
        target = os.path.normpath(os.path.join("/site", info.filename))  # noqa: PTH118  (what installers do)
        assert target.startswith("/site/")
        assert info.filename.isprintable()
        assert stat.S_IFMT(info.external_attr >> 16) in {0, stat.S_IFREG, stat.S_IFDIR}
        assert info.compress_type in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}


def test_wheel__the_strategy_also_makes_good_ones(tmp_path: Path) -> None:
    read_wheel(wheel(tmp_path, [("sample_fork/b.py", 0o100644, b"x", 8)], b"good"))
