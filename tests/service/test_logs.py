from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from devpi_forkbuilder.domain.pins.orders import OrderKey
from devpi_forkbuilder.errors import InfrastructureError
from devpi_forkbuilder.service.logs import Logs, tail
from tests.service.fakes import COMMIT, FileLog, order


def test_name__says_index_project_commit_version_and_python() -> None:
    logs = Logs(Path("/nowhere"))
    assert logs.name(order().key) == f"main/forks/alpha/{COMMIT}~1.0.2.log"
    assert logs.name(order(python="3.12").key) == f"main/forks/alpha/{COMMIT}~1.0.2-3.12.log"
    assert logs.name(replace(order().key, version="")) == f"main/forks/alpha/{COMMIT}.log"


@pytest.mark.parametrize("hostile", ["../../x", "..", ".", "a/b", "a\\b\0c", "\n", "/etc/passwd", ".hidden", "é"])
@pytest.mark.parametrize("field", ["index", "project", "commit", "version", "python"])
def test_name__stays_in_the_folder(tmp_path: Path, hostile: str, field: str) -> None:
    fields = {"index": "main/forks", "project": "alpha", "commit": COMMIT, "version": "", "python": "", field: hostile}
    name = Logs(tmp_path).name(OrderKey(subdirectory="", **fields))
    assert (tmp_path / name).resolve().is_relative_to(tmp_path.resolve())
    assert name.isprintable()
    assert name.isascii()


def test_start__makes_the_folder(tmp_path: Path) -> None:
    log = Logs(tmp_path).start("a/b/c.log", FileLog)
    log.write(b"x\n")
    log.close()
    assert Logs(tmp_path).find("a/b/c.log") == tmp_path / "a/b/c.log"


def test_start__folder_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    with pytest.raises(InfrastructureError) as caught:
        Logs(tmp_path).start("a/b/c.log", FileLog)
    assert caught.value.reference == "logs-unusable"


@pytest.mark.parametrize("name", ["", "nothing.log"])
def test_find__no_file(tmp_path: Path, name: str) -> None:
    assert Logs(tmp_path).find(name) is None


@pytest.mark.parametrize(
    ("n_bytes", "expected"),
    [
        (0, b""),
        (1, b"\n"),
        (5, b"four\n"),
        (6, b"four\n"),
        (10, b"four\n"),
        (11, b"three\nfour\n"),
        (18, b"two\nthree\nfour\n"),
        (19, b"one\ntwo\nthree\nfour\n"),
        (1000, b"one\ntwo\nthree\nfour\n"),
    ],
)
def test_tail__whole_lines(tmp_path: Path, n_bytes: int, expected: bytes) -> None:
    path = tmp_path / "x.log"
    path.write_bytes(b"one\ntwo\nthree\nfour\n")
    assert tail(path, n_bytes) == expected


def test_tail__a_line_longer_than_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    path.write_bytes(b"x" * 1000)
    assert tail(path, 10) == b"x" * 10
