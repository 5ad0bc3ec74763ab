"""What goes first, and what never goes."""

from __future__ import annotations

import json

from devpi_forkbuilder.domain.tidy import (
    DAY,
    KeepLimits,
    KindReport,
    Stored,
    TidyKind,
    TidyPlan,
    TidyReport,
    expired,
    least_missed,
)

NOW = 1_800_000_000.0


def stored(name: str, size: int, days: float | None, needed: str = "", *, dead: bool = False) -> Stored:
    return Stored(name, size, None if days is None else NOW - days * DAY, needed, dead)


def names(found: object) -> list[str]:
    return [one.name for one in found]  # type: ignore[attr-defined]  # an iterator of them


def test_expired__without_limits_nothing_goes_but_the_dead() -> None:
    found = [stored("old", 10, 1000), stored("dead", 10, 0, dead=True), stored("waited-for", 10, 0, "x", dead=True)]
    assert names(expired(found, KeepLimits(), NOW)) == ["dead"]


def test_expired__by_age_what_is_needed_or_of_unknown_age_stays() -> None:
    found = [
        stored("old", 1, 91),
        stored("young", 1, 89),
        stored("needed", 1, 500, "pinned"),
        stored("unknown", 1, None),
    ]
    assert names(expired(found, KeepLimits(age=90 * DAY), NOW)) == ["old"]


def test_expired__by_size_the_largest_and_least_used_first() -> None:
    found = [
        stored("big-fresh", 100, 1),
        stored("small-old", 10, 50),
        stored("big-old", 100, 50),
        stored("tiny", 1, 50),
    ]
    assert names(expired(found, KeepLimits(size=150), NOW)) == ["big-old"]
    assert names(expired(found, KeepLimits(size=105), NOW)) == ["big-old", "small-old"]
    assert names(expired(found, KeepLimits(size=1000), NOW)) == []


def test_expired__what_is_needed_counts_for_the_size_and_stays() -> None:
    found = [stored("needed", 100, 50, "pinned"), stored("other", 10, 1)]
    assert names(expired(found, KeepLimits(size=50), NOW)) == ["other"]


def test_least_missed__takes_no_more_than_asked() -> None:
    found = [stored("a", 10, 3), stored("b", 10, 2), stored("c", 10, 1)]
    assert names(least_missed(found, 15, NOW)) == ["a", "b"]
    assert names(least_missed(found, 0, NOW)) == []


def test_plan__later_limits_win_and_others_keep_their_defaults() -> None:
    plan = TidyPlan.of([(TidyKind.LOGS, 5.0), (TidyKind.LOGS, None)], [(TidyKind.MIRRORED, 7)], 3)
    assert plan.of_kind(TidyKind.LOGS) == KeepLimits(age=None, size=2 * 2**30)
    assert (plan.of_kind(TidyKind.MIRRORED), plan.free) == (KeepLimits(size=7), 3)
    assert plan.of_kind(TidyKind.SOURCES) == plan.of_kind(TidyKind.SUPERSEDED) == KeepLimits()


def test_report__comes_back_from_json() -> None:
    kinds = (KindReport(TidyKind.LOGS, 3, 30, 1, 10, {"in use": 2}), KindReport(TidyKind.MIRRORS, fault="gone"))
    report = TidyReport(NOW, 1.5, False, kinds, {"/srv": (1, 11)}, short=True)
    assert TidyReport.from_json(json.loads(json.dumps(report.to_json()))) == report
    assert (report.freed, report.faults) == (10, ("mirrors: gone",))
