from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from devpi_forkbuilder.domain.pins.pin_diff import Change, pin_diff
from devpi_forkbuilder.domain.pins.pins import Pin, parse_pins
from tests.domain.strategies import pins, quick


def pin(project: str, digit: str, version: str | None = None, folder: str | None = None) -> Pin:
    return Pin(project, f"https://git.example.com/campus/{project.lower()}.git", digit * 40, version, folder)


def kinds(stored: list[Pin], requested: list[Pin]) -> list[Change]:
    return [move.change for move in pin_diff(stored, requested).moves]


def test_moves__unchanged_input_changes_nothing():
    stored = [pin("a", "1", "1.0"), pin("b", "2")]
    found = pin_diff(stored, stored)
    assert found.changes == ()
    assert found.pins == tuple(stored)
    assert [move.change for move in found.moves] == [Change.UNCHANGED] * 2


def test_moves__a_name_or_version_spelled_otherwise_changes_nothing():
    stored = [Pin("My.Tool", "https://h.example.com/o/r", "1" * 40, "1.0")]
    found = pin_diff(stored, [Pin("my-tool", "https://h.example.com/o/r", "1" * 40, "1.0.0")])
    assert (found.changes, found.pins) == ((), tuple(stored))


def test_moves__of_each_kind():
    stored = [pin("a", "1", "1.0"), pin("b", "2", "1.0"), pin("c", "3"), pin("d", "4")]
    requested = [pin("b", "9", "1.0"), pin("a", "1", "1.1"), pin("e", "5"), pin("c", "3")]
    found = pin_diff(stored, requested)
    assert [(move.change, move.before, move.after) for move in found.moves] == [
        (Change.MOVED, stored[1], requested[0]),
        (Change.VERSION, stored[0], requested[1]),
        (Change.NEW, None, requested[2]),
        (Change.UNCHANGED, stored[2], requested[3]),
    ]
    assert [move.change for move in found.changes] == [Change.MOVED, Change.VERSION, Change.NEW]
    assert found.pins == (requested[1], requested[0], stored[2], stored[3], requested[2])


def test_moves__another_url_or_subdirectory_is_a_move():
    assert kinds([pin("a", "1")], [pin("a", "1", folder="x")]) == [Change.MOVED]
    assert kinds([pin("a", "1")], [Pin("a", "https://h.example.com/o/a", "1" * 40)]) == [Change.MOVED]


def test_moves__versions_that_are_asked_for_beside_each_other_stay():
    stored = [pin("a", "1", "1.0"), pin("a", "2", "2.0")]
    found = pin_diff(stored, [pin("a", "1", "1.0"), pin("a", "3", "3.0")])
    assert [move.change for move in found.moves] == [Change.UNCHANGED, Change.VERSION]
    assert [str(one.release) for one in found.pins] == ["1.0", "3.0"]


def test_moves__into_an_empty_list_are_all_new():
    requested = [pin("a", "1", "1.0"), pin("a", "2", "2.0"), pin("a", "1", "1.0")]
    found = pin_diff([], requested)
    assert [move.change for move in found.moves] == [Change.NEW] * 2
    assert found.pins == tuple(requested[:2])


@quick
@given(st.lists(pins, max_size=4), st.lists(pins, max_size=4))
def test_moves__what_is_stored_is_what_was_asked_for_and_asking_again_changes_nothing(stored, requested):
    stored = list({(one.name, one.release): one for one in stored}.values())
    requested = list({(one.name, one.release): one for one in requested}.values())
    found = pin_diff(stored, requested)
    assert {(one.name, one.release) for one in requested} <= {(one.name, one.release) for one in found.pins}
    assert parse_pins(map(str, found.pins)) == found.pins
    again = pin_diff(found.pins, requested)
    assert (again.changes, again.pins) == ((), found.pins)
