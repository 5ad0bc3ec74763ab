from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from devpi_forkbuilder.domain.states import State
from devpi_forkbuilder.errors import InfrastructureError, Kind
from devpi_forkbuilder.service.records import Failure, Record, Records
from tests.service.fakes import order

FULL = Record(
    key=order(python="3.12").key,
    state=State.FAILED,
    fingerprint="f" * 64,
    attempts=3,
    error=Failure(Kind.SOURCE, "commit-missing", State.FETCHING, "Höst says no."),
    commit_time=1_700_000_000,
    queued_at=1.5,
    started_at=2.5,
    finished_at=3.5,
    seconds={"fetch": 0.25},
    retry_at=99.5,
    log="main/forks/alpha/x.log",
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "records.sqlite"


@pytest.fixture
def records(path: Path) -> Iterator[Records]:
    records = Records(path)
    yield records
    records.close()


def test_get__nothing_there(records: Records) -> None:
    assert records.get(FULL.key) is None


@pytest.mark.parametrize("record", [FULL, Record(order().key, State.WANTED)], ids=["full", "bare"])
def test_put__comes_back_equal(records: Records, record: Record) -> None:
    records.put(record)
    assert records.get(record.key) == record


def test_put__replaces(records: Records) -> None:
    records.put(FULL)
    records.put(replace(FULL, state=State.BUILT, error=None))
    assert records.of_index("main/forks") == (replace(FULL, state=State.BUILT, error=None),)


def test_put__survives_reopening(records: Records, path: Path) -> None:
    records.put(FULL)
    records.close()
    again = Records(path)
    assert again.get(FULL.key) == FULL
    again.close()


def test_of_project__only_that_project_of_that_index(records: Records) -> None:
    keys = [order("alpha").key, order("alpha", python="3.12").key, order("beta").key, order(index="other/x").key]
    for key in keys:
        records.put(Record(key, State.WANTED))
    assert {record.key for record in records.of_project("main/forks", "alpha")} == set(keys[:2])
    assert {record.key for record in records.of_index("main/forks")} == set(keys[:3])


def test_forget__one_index(records: Records) -> None:
    for index in ("main/forks", "other/x"):
        records.put(Record(order(index=index).key, State.WANTED))
    records.forget("main/forks")
    assert records.of_index("main/forks") == ()
    assert len(records.of_index("other/x")) == 1


@pytest.mark.parametrize("state", list(State))
def test_recover__only_ended_ones_stay(records: Records, state: State) -> None:
    records.put(replace(FULL, state=state))
    left = records.recover()
    found = records.get(FULL.key)
    assert found is not None
    if state.ended:
        assert (left, found.state) == ((), state)
    else:
        assert (left, found.state, found.started_at) == ((FULL.key,), State.WANTED, None)
        assert found.commit_time == FULL.commit_time


def test_recover__oldest_first(records: Records) -> None:
    for project, moment in (("a", 30.0), ("b", 10.0), ("c", 20.0)):
        records.put(Record(order(project).key, State.QUEUED, queued_at=moment))
    assert [key.project for key in records.recover()] == ["b", "c", "a"]


def test_logs__named_ones(records: Records) -> None:
    records.put(FULL)
    records.put(Record(order("beta").key, State.WANTED))
    assert records.logs() == {FULL.log}


def test_open__newer_schema_is_left_alone(records: Records, path: Path) -> None:
    records.close()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version=7")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(InfrastructureError, match="schema 7") as caught:
        Records(path)
    assert caught.value.reference == "records-newer"
    assert not caught.value.retryable
    assert path.read_bytes() == before


def test_open__damaged_is_set_aside(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path.parent.mkdir()
    path.write_bytes(b"not a database at all, but long enough to be looked at" * 100)
    records = Records(path)
    records.put(FULL)
    assert records.get(FULL.key) == FULL
    assert not records.lost
    (aside,) = path.parent.glob("records.sqlite.damaged-*")
    assert aside.read_bytes().startswith(b"not a database")
    assert f"set aside as {aside}" in caplog.text
    records.close()


def test_open__damaged_in_its_pages(path: Path) -> None:
    records = Records(path)
    for number in range(200):
        records.put(replace(FULL, key=replace(FULL.key, project=f"p{number}")))
    records.close()
    content = bytearray(path.read_bytes())
    content[8192:20000] = b"\xff" * (20000 - 8192)
    path.write_bytes(content)
    records = Records(path)
    assert records.of_index(FULL.key.index) == ()
    records.close()
    assert list(path.parent.glob("records.sqlite.damaged-*"))


def test_open__file_that_cannot_be_used(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").touch()
    records = Records(tmp_path / "file" / "records.sqlite")
    records.put(FULL)
    assert records.get(FULL.key) == FULL
    assert records.lost
    assert "What is built is served" in caplog.text
    records.close()


def test_put__closed(records: Records) -> None:
    records.close()
    with pytest.raises(InfrastructureError):
        records.put(FULL)


def test_put__from_many_threads(records: Records) -> None:
    orders = [order(f"p{number}") for number in range(100)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda x: records.put(Record(x.key, State.QUEUED)), orders))
    assert {record.key for record in records.of_index("main/forks")} == {x.key for x in orders}


def test_put__is_seen_by_another_process_at_once(records: Records, path: Path) -> None:
    records.put(FULL)
    other = Records(path)
    assert other.get(FULL.key) == FULL
    other.close()
