"""Passes over folders: what goes, what builds that run keep, and when the server makes one."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from pathlib import Path

import pytest

from devpi_forkbuilder.domain.states import State
from devpi_forkbuilder.domain.tidy import DAY, KeepLimits, Stored, TidyKind, TidyPlan, TidyReport
from devpi_forkbuilder.errors import InfrastructureError
from devpi_forkbuilder.pipeline.git.archive_store import ArchivedSource, Sources
from devpi_forkbuilder.pipeline.process.programs import uv_program
from devpi_forkbuilder.pipeline.process.work_dir import BEGUN, owner_of
from devpi_forkbuilder.service.records import Record, Records
from devpi_forkbuilder.service.tidy.daily import HASTE, DailyTidy, LastReport
from devpi_forkbuilder.service.tidy.engine import Shelf, TidyPass
from devpi_forkbuilder.service.tidy.folders import LogShelf, MirrorShelf, SourceShelf, WorkShelf
from devpi_forkbuilder.service.tidy.uv_cache import UvCacheShelf
from tests.service.fakes import ManualClock, order

GONE = 4_000_000.1
"""A process that is no more."""
PLENTY = 2**50


def aged(path: Path, days: float, now: float = 1_800_000_000.0) -> Path:
    os.utime(path, (now - days * DAY,) * 2)
    return path


def make_pass(
    *shelves: Shelf,
    limits: dict[TidyKind, KeepLimits] | None = None,
    free: int = 0,
    space: int = PLENTY,
    dry: bool = False,
) -> TidyReport:
    plan = TidyPlan(limits or {}, free)
    return TidyPass(shelves, plan, ManualClock(), dry_run=dry, space=lambda _place: space).run()


def running_build(work: Path, days: float) -> Path:
    folder = work / f"build-{owner_of(os.getpid())}-x"
    folder.mkdir(parents=True)
    (folder / BEGUN).touch()
    aged(folder / BEGUN, days)
    return folder


def test_logs__old_ones_go_and_those_of_running_builds_stay(tmp_path: Path) -> None:
    logs, records = tmp_path / "logs", Records(tmp_path / "records.sqlite")
    for name, days in (("old", 100), ("young", 0), ("running", 100)):
        (logs / "u" / "i" / name).mkdir(parents=True)
        (logs / "u" / "i" / name / "c.log").write_text("x")
        aged(logs / "u" / "i" / name / "c.log", days)
    records.put(Record(order("a").key, State.BUILT, log="u/i/old/c.log"))
    records.put(Record(order("b").key, State.BUILDING, log="u/i/running/c.log"))
    shelf = LogShelf(logs, tmp_path / "records.sqlite", ManualClock().now)
    report = make_pass(shelf, limits={TidyKind.LOGS: KeepLimits(age=90 * DAY)})
    assert sorted(path.parent.name for path in logs.rglob("*.log")) == ["running", "young"]
    (one,) = report.kinds
    assert (one.count, one.removed, one.freed, one.kept) == (3, 1, 1, {"used by a build": 2})
    records.close()


def test_logs__stay_for_a_day_when_the_records_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "records.sqlite").write_bytes(b"no database at all" * 100)
    (tmp_path / "logs").mkdir()
    for days in (0.5, 2.0):
        (tmp_path / "logs" / f"{days}.log").write_text("x")
        aged(tmp_path / "logs" / f"{days}.log", days)
    shelf = LogShelf(tmp_path / "logs", tmp_path / "records.sqlite", ManualClock().now)
    make_pass(shelf, limits={TidyKind.LOGS: KeepLimits(size=0)})
    assert [path.name for path in (tmp_path / "logs").iterdir()] == ["0.5.log"]
    with pytest.raises(sqlite3.DatabaseError):
        sqlite3.connect(tmp_path / "records.sqlite").execute("SELECT 1 FROM records")  # and it is where it was


def test_work__only_folders_of_dead_processes_go(tmp_path: Path) -> None:
    live = running_build(tmp_path, 0)
    dead = tmp_path / f"build-{GONE}-y" / "box"
    dead.mkdir(parents=True)
    (dead / "file").write_bytes(bytes(5000))
    report = make_pass(WorkShelf(tmp_path), dry=True)
    assert (report.kinds[0].removed, dead.exists()) == (1, True)
    report = make_pass(WorkShelf(tmp_path))
    assert (live.exists(), dead.parent.exists()) == (True, False)
    assert report.kinds[0].freed >= 5000


def mirror(folder: Path, name: str, days: float) -> Path:
    (folder / name / "objects").mkdir(parents=True)
    (folder / name / "objects" / "pack").write_bytes(bytes(8192))
    (folder / f"{name}-commits").mkdir()
    (folder / f"{name}.lock").touch()
    aged(folder / f"{name}.lock", days)
    return aged(folder / name, days)


AGE = {TidyKind.MIRRORS: KeepLimits(age=180 * DAY)}


def test_mirrors__unused_ones_go_whole(tmp_path: Path) -> None:
    old, used = mirror(tmp_path, "a", 200), mirror(tmp_path, "b", 200)
    aged(tmp_path / "b.lock", 1)  # opened yesterday
    make_pass(MirrorShelf(tmp_path, ()), limits=AGE)
    assert [old.exists(), (tmp_path / "a-commits").exists(), used.exists()] == [False, False, True]


def test_mirrors__locked_ones_stay(tmp_path: Path) -> None:
    old = mirror(tmp_path, "a", 200)
    with (tmp_path / "a.lock").open("ab") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        report = make_pass(MirrorShelf(tmp_path, ()), limits=AGE)
    assert (old.exists(), report.kinds[0].kept) == (True, {"in use": 1})


def test_mirrors__that_a_running_build_may_use_stay(tmp_path: Path) -> None:
    """Its fetch is over and the lock free, and the source is still to be archived from it."""
    before, since = mirror(tmp_path, "a", 300), mirror(tmp_path, "b", 200)
    running_build(tmp_path / "work", 250)
    make_pass(MirrorShelf(tmp_path, (tmp_path / "work",)), limits=AGE)
    assert (before.exists(), since.exists()) == (False, True)


def test_mirrors__what_an_interrupted_removal_left_goes(tmp_path: Path) -> None:
    (tmp_path / "a.removed" / "objects").mkdir(parents=True)
    make_pass(MirrorShelf(tmp_path, ()))
    assert list(tmp_path.iterdir()) == []


def archive(sources: Sources, commit: str, tree: str, days: float) -> None:
    sources.write(f"https://git.example/{tree}", commit, ArchivedSource(tree, tree, b"commit"))
    sources.archive(tree).parent.mkdir(exist_ok=True)
    sources.archive(tree).write_bytes(bytes(100))
    aged(sources.archive(tree), days)
    for note in sources.root.glob(f"commits/*/{commit}.json"):
        aged(note, days)


def test_sources__of_pinned_commits_stay_whatever_the_limits(tmp_path: Path) -> None:
    sources = Sources(tmp_path)
    pinned, old = "1" * 40, "2" * 40
    archive(sources, pinned, "a" * 40, 500)
    archive(sources, old, "b" * 40, 500)
    shelf = SourceShelf(tmp_path, (), lambda: frozenset({pinned}))
    make_pass(shelf)
    assert sources.find("https://git.example/" + "b" * 40, old)  # no limits: nothing goes
    report = make_pass(shelf, limits={TidyKind.SOURCES: KeepLimits(age=365 * DAY, size=0)})
    assert sources.find("https://git.example/" + "a" * 40, pinned)
    assert sources.read("https://git.example/" + "b" * 40, old) is None
    assert (report.kinds[0].removed, report.kinds[0].kept) == (1, {"pinned": 1})


def test_sources__with_a_note_that_cannot_be_read_all_stay(tmp_path: Path) -> None:
    sources = Sources(tmp_path)
    archive(sources, "2" * 40, "b" * 40, 500)
    (tmp_path / "commits" / "x").mkdir()
    (tmp_path / "commits" / "x" / f"{'3' * 40}.json").write_text("{")
    report = make_pass(SourceShelf(tmp_path, (), frozenset), limits={TidyKind.SOURCES: KeepLimits(age=1)})
    assert "no archived source is removed" in report.faults[0]
    assert sources.archive("b" * 40).exists()


def test_uv_cache__is_cleared_by_uv_beyond_its_size(tmp_path: Path) -> None:
    cache = tmp_path / "uv-cache"
    cache.mkdir()
    (cache / "CACHEDIR.TAG").write_text("Signature: 8a477f597d28d172789f06886806bc55")
    (cache / "archive-v0").mkdir()
    (cache / "archive-v0" / "big").write_bytes(bytes(300_000))
    shelf = UvCacheShelf(cache, lambda: uv_program(os.environ["PATH"]))
    assert make_pass(shelf, limits={TidyKind.UV_CACHE: KeepLimits(size=2**20)}).freed == 0
    report = make_pass(shelf, limits={TidyKind.UV_CACHE: KeepLimits(size=2**17)})
    assert report.faults == ()
    assert report.freed >= 300_000
    assert not (cache / "archive-v0" / "big").exists()


def test_uv_cache__that_another_uv_uses_stays(tmp_path: Path) -> None:
    cache = tmp_path / "uv-cache"
    (cache / "archive-v0").mkdir(parents=True)
    (cache / "archive-v0" / "big").write_bytes(bytes(300_000))
    with (cache / ".lock").open("ab") as held:  # as uv holds it while it installs
        fcntl.flock(held, fcntl.LOCK_SH)
        shelf = UvCacheShelf(cache, lambda: uv_program(os.environ["PATH"]), patience=1.0)
        report = make_pass(shelf, limits={TidyKind.UV_CACHE: KeepLimits(size=1)})
    assert (report.freed, report.kinds[0].kept) == (0, {"in use": 1})
    assert (cache / "archive-v0" / "big").exists()


class FakeShelf:
    def __init__(self, kind: TidyKind, place: Path, found: list[Stored], fault: Exception | None = None) -> None:
        self.kind, self.place, self.found, self.fault = kind, place, found, fault
        self.removed: list[str] = []

    def stored(self) -> list[Stored]:
        if self.fault is not None:
            raise self.fault
        return self.found

    def remove(self, stored: Stored) -> str:
        self.removed.append(stored.name)
        return ""


def test_pass__makes_room_of_what_can_be_fetched_again(tmp_path: Path) -> None:
    logs = FakeShelf(TidyKind.LOGS, tmp_path, [Stored("log", 100, 0.0)])
    mirrored = FakeShelf(TidyKind.MIRRORED, tmp_path, [Stored(name, 40, 0.0) for name in "abc"])
    mirrors = FakeShelf(TidyKind.MIRRORS, tmp_path, [Stored("m", 40, 0.0)])
    shelves = (logs, mirrored, mirrors)
    report = TidyPass(
        shelves,
        TidyPlan({}, free=100),
        ManualClock(),
        space=lambda _place: 20 + 40 * sum(len(one.removed) for one in shelves),
    ).run()
    assert (logs.removed, len(mirrored.removed), mirrors.removed) == ([], 2, [])
    assert (report.short, report.free[str(tmp_path)]) == (False, (20, 100))


def test_pass__that_is_dry_makes_the_same_choice(tmp_path: Path) -> None:
    mirrored = FakeShelf(TidyKind.MIRRORED, tmp_path, [Stored(name, 40, 0.0) for name in "abc"])
    report = make_pass(mirrored, free=100, space=20, dry=True)
    assert (mirrored.removed, report.freed, report.short) == ([], 80, False)


def test_pass__says_when_there_is_nothing_left_to_remove(tmp_path: Path) -> None:
    assert make_pass(FakeShelf(TidyKind.MIRRORED, tmp_path, []), free=100, space=20).short


def test_pass__one_kind_that_fails_does_not_keep_the_others(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    logs = FakeShelf(TidyKind.LOGS, tmp_path, [], OSError(5, "Input/output error"))
    mirrors = FakeShelf(TidyKind.MIRRORS, tmp_path, [], InfrastructureError("x", "The folder is odd."))
    sources = FakeShelf(TidyKind.SOURCES, tmp_path, [], RuntimeError("secret"))
    work = FakeShelf(TidyKind.WORK, tmp_path, [Stored("w", 1, dead=True)])
    report = make_pass(logs, mirrors, sources, work)
    assert work.removed == ["w"]
    assert report.faults[:2] == ("logs: [Errno 5] Input/output error", "mirrors: The folder is odd.")
    assert "secret" not in " ".join(report.faults)
    assert "tidying sources" in caplog.text


def daily(tmp_path: Path, clock: ManualClock, *, short: bool = False) -> tuple[DailyTidy, list[float]]:
    made: list[float] = []

    def make() -> TidyReport:
        made.append(clock.now())
        return TidyReport(clock.now(), 0.0, False, ())

    return DailyTidy(make, LastReport(tmp_path / "gc.json"), clock, interval=DAY, short=lambda: short), made


def test_daily__once_a_day_over_restarts(tmp_path: Path) -> None:
    clock = ManualClock()
    tidy, made = daily(tmp_path, clock)
    assert tidy.last is None
    assert tidy.pass_if_due()
    assert tidy.last
    assert tidy.last.started == clock.now()
    clock.advance(DAY - 1)
    again, _ = daily(tmp_path, clock)
    assert again.pass_if_due() is None
    clock.advance(1)
    assert tidy.pass_if_due()
    clock.jump(-10 * DAY)
    assert tidy.due()
    assert len(made) == 2


def test_daily__sooner_when_a_disk_is_short_and_not_all_the_time(tmp_path: Path) -> None:
    clock = ManualClock()
    tidy, _ = daily(tmp_path, clock, short=True)
    tidy.pass_if_due()
    clock.advance(HASTE - 1)
    assert not tidy.due()
    clock.advance(1)
    assert tidy.due()


def test_daily__a_report_that_cannot_be_kept_or_read_is_no_fault(tmp_path: Path) -> None:
    (tmp_path / "gc.json").write_text("[1]")
    clock = ManualClock()
    tidy, made = daily(tmp_path, clock)
    assert tidy.last is None
    (tmp_path / "gc.json").unlink()
    (tmp_path / "gc.json").mkdir()
    assert tidy.pass_if_due()
    assert len(made) == 1
