from __future__ import annotations

import pytest

from devpi_forkbuilder.domain.pins.orders import Order
from devpi_forkbuilder.domain.pins.pins import Pin
from devpi_forkbuilder.domain.remedies import LADDER, REMEDIES, applied, remedy_settings, suggested, suggested_lines

PIN = Pin("old", "https://git.example/old.git", "1" * 40, "1.0")
ORDER = Order("root/forks", PIN, python="3.13")
BY_NAME = {remedy.name: remedy for remedy in REMEDIES}


@pytest.mark.parametrize(
    ("output", "first"),
    [
        (b"error in old setup command: use_2to3 is invalid.", "use-2to3"),
        (b"ModuleNotFoundError: No module named 'pkg_resources'", "pkg-resources"),
        (b"packaging.version.InvalidVersion: Invalid version: '1.0-edx'", "invalid-version"),
        (b"ModuleNotFoundError: No module named 'imp'", "removed-in-3.12"),
        (b"\xff\xfe fatal error: longintrepr.h: No such file", "longintrepr"),
    ],
)
def test_suggested(output: bytes, first: str) -> None:
    assert suggested(output)[0].name == first


def test_suggested__nothing_known() -> None:
    assert suggested(b"Segmentation fault") == ()
    assert set(LADDER) <= set(BY_NAME)


def test_applied__constraints_add_up_and_the_last_of_a_project_is_told() -> None:
    once = applied(ORDER, BY_NAME["pkg-resources"], ())
    assert once is not None
    twice = applied(once, BY_NAME["use-2to3"], ())
    assert twice is not None
    assert twice.recipe.constraints == ("setuptools<81", "setuptools<58")
    assert remedy_settings(ORDER, twice) == ("fork_build_constraints: old: setuptools<58",)
    assert applied(twice, BY_NAME["use-2to3"], ()) is None


@pytest.mark.parametrize(
    ("pythons", "chosen"),
    [
        (("3.13", "3.12", "3.11", "3.10", "pypy3.10", "3.9"), "3.11"),
        (("3.13", "3.9", "3.10"), "3.10"),
        (("3.13", "pypy3.9"), None),
        ((), None),
    ],
)
def test_applied__newest_interpreter_that_fits(pythons: tuple[str, ...], chosen: str | None) -> None:
    changed = applied(ORDER, BY_NAME["removed-in-3.12"], pythons)
    assert (changed.python if changed else None) == chosen
    if changed:
        assert remedy_settings(ORDER, changed) == (f"fork_pythons: old: {chosen}",)


def test_suggested_lines__are_settings() -> None:
    assert suggested_lines("old", REMEDIES[:1]) == ("fork_build_constraints: old: setuptools<58",)
    assert suggested_lines("old", [BY_NAME["longintrepr"]]) == ("fork_pythons: old: 3.10",)


def test_remedies__each_has_one_effect_and_signs() -> None:
    for remedy in REMEDIES:
        assert bool(remedy.constraint) is not bool(remedy.newest)
        assert remedy.signs
