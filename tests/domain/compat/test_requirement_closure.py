from __future__ import annotations

from packaging.version import Version

from devpi_forkbuilder.domain.compat.requirement_closure import RequirementClosure, environment_of
from devpi_forkbuilder.domain.compat.targets import Client


def names(*requirements: str, python: tuple[int, int] = (3, 11)) -> list[str]:
    wanted = RequirementClosure(requirements, environment_of(Client("cpython", python)))
    return list(iter(wanted.next, None))


def test_wanted__names_once_and_normalized():
    assert names("Some.Name>=1", "some-name<3", "other[extra]") == ["some-name", "other"]


def test_wanted__markers_of_the_interpreter_that_builds():
    line = "tomli; python_version < '3.11'"
    assert names(line, python=(3, 10)) == ["tomli"]
    assert names(line) == []


def test_wanted__what_is_no_name_is_left_out():
    assert names("x @ https://h/x.whl", "not a requirement", "a; extra == 'test'") == []


def test_allows__versions_of_all_lines():
    wanted = RequirementClosure(["x>=1", "x<3"], {})
    assert wanted.next() == "x"
    assert wanted.allows("x", None)
    assert wanted.allows("x", Version("2"))
    assert not wanted.allows("x", Version("3"))
