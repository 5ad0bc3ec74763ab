"""Old forks and the settings that make them build: found by building, for each remedy of the table."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from devpi_forkbuilder.domain.pins.orders import Order
from devpi_forkbuilder.domain.remedies import REMEDIES, applied
from devpi_forkbuilder.errors import BuildError, MismatchError
from devpi_forkbuilder.pipeline.diagnosis import diagnose, hinted
from devpi_forkbuilder.pipeline.frontend.pep517 import ProjectError
from tests.pipeline.benches import Follower, order, wheel_builder
from tests.repositories import FORKS, Content, Repositories

LEGACY = FORKS / "_legacy"
LINE = f"git+https://git.example/old.git@{'1' * 40}#egg=old==1.0"
NEWER = {"removed-in-3.12": "3.12"}
"""Fixtures that fail on this interpreter only."""


def failure(output: bytes) -> ProjectError:
    return ProjectError("hook-failed", "The fork's build failed.", next_step="Look.", output=output)


class Attempts:
    """Builds that fail with the next of `outputs`; the build after the last one succeeds."""

    def __init__(self, *outputs: bytes | BuildError | MismatchError) -> None:
        self.outputs = list(outputs)
        self.orders: list[Order] = []

    def __call__(self, order: Order) -> None:
        self.orders.append(order)
        if self.outputs:
            output = self.outputs.pop(0)
            raise failure(output) if isinstance(output, bytes) else output


def found(first: bytes, attempts: Attempts, pythons: tuple[str, ...] = ("3.13", "3.11")) -> BuildError:
    return diagnose(order(LINE, python="3.13"), failure(first), attempts, pythons, lambda _line: None)


def test_diagnose__one_remedy() -> None:
    error = found(b"use_2to3 is invalid", Attempts())
    assert error.remedy == ("fork_build_constraints: old: setuptools<58",)
    assert error.next_step == "It builds with: fork_build_constraints: old: setuptools<58"


def test_diagnose__one_fault_behind_another() -> None:
    attempts = Attempts(b"attribute 'ImpImporter'")
    error = found(b"use_2to3 is invalid", attempts)
    assert error.remedy == ("fork_build_constraints: old: setuptools<58", "fork_pythons: old: 3.11")
    assert [one.python for one in attempts.orders] == ["3.13", "3.11"]


def test_diagnose__what_does_not_help_is_not_kept() -> None:
    attempts = Attempts(b"the same", b"the same")
    error = found(b"something unknown", attempts)
    assert error.remedy == ("fork_build_constraints: old: setuptools<58",)
    assert [one.recipe.constraints for one in attempts.orders] == [
        ("setuptools<81",),
        ("setuptools<66",),
        ("setuptools<58",),
    ]


def test_diagnose__nothing_helps() -> None:
    attempts = Attempts(b"x", MismatchError("version-differs", "Another version."), b"x")
    error = found(b"unknown", attempts)
    assert error.remedy == ()
    assert "None of these makes it build: fork_build_constraints: old: setuptools<81" in error.next_step


def test_diagnose__an_interpreter_that_is_not_here() -> None:
    error = found(b"longintrepr.h", Attempts(), ("3.13", "3.11"))
    assert error.remedy == ()
    assert "fork_pythons: old: 3.10" in error.next_step


def test_diagnose__ends() -> None:
    attempts = Attempts(*(b"'MutableMapping' from 'collections' use_2to3 is invalid InvalidVersion" for _ in range(50)))
    found(b"No module named 'pkg_resources'", attempts)
    assert len(attempts.orders) <= 6


def test_hinted__names_the_line_and_how_to_try_it() -> None:
    error = hinted(order(LINE), failure(b"use_2to3 is invalid"))
    assert "fork_build_constraints: old: setuptools<58" in error.next_step
    assert "devpi forks build old --diagnose" in error.next_step
    plain = failure(b"Segmentation fault")
    assert hinted(order(LINE), plain) is plain


def test_remedies__each_has_a_fixture() -> None:
    assert {path.name for path in LEGACY.iterdir()} == {remedy.name for remedy in REMEDIES}


@pytest.mark.slow
@pytest.mark.network
@pytest.mark.parametrize("remedy", REMEDIES, ids=lambda remedy: remedy.name)
def test_diagnose__of_a_real_fork(tmp_path: Path, repositories: Repositories, remedy: object) -> None:
    name = remedy.name  # type: ignore[attr-defined]  # a Remedy
    shop, root = wheel_builder(tmp_path), LEGACY / name
    fork = repositories.empty(f"legacy-{name}")
    files: dict[str, Content] = {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}
    repositories.commit(fork, files)
    line, pythons = repositories.pin_line(fork, project=f"legacy-{name}"), shop.server_targets().pythons
    plain = order(line, python=NEWER.get(name, ""))
    if (plain.python and plain.python not in pythons) or applied(plain, remedy, pythons) is None:  # type: ignore[arg-type]  # a Remedy
        pytest.skip("this machine lacks the interpreter")
    with pytest.raises(BuildError) as caught, shop.build(plain, Follower()):
        pass
    assert "--diagnose" in caught.value.next_step
    asked = order(line, python=plain.python, diagnose=True)
    with pytest.raises(BuildError) as caught, shop.build(asked, Follower()):
        pass
    assert caught.value.remedy, caught.value.next_step
    fixed = plain
    for told in caught.value.remedy:
        setting, _, value = told.split(": ")
        fixed = applied_setting(fixed, setting, value)
    with shop.build(fixed, Follower()) as built:
        assert built.artefacts


def applied_setting(plain: Order, setting: str, value: str) -> Order:
    if setting == "fork_pythons":
        return replace(plain, python=value)
    return replace(plain, recipe=replace(plain.recipe, constraints=(*plain.recipe.constraints, value)))
