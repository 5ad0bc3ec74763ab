"""For which interpreters a project's wheels are, by their tags (PEP 425), whatever the platform."""

from __future__ import annotations

import re
from collections.abc import Iterable

from packaging.tags import Tag
from packaging.utils import InvalidWheelFilename, parse_wheel_filename

INTERPRETER = re.compile(r"(?P<family>pypy)?(?P<major>\d)\.(?P<minor>\d{1,2})(?P<threads>t?)")
CPYTHON = re.compile(r"cp(?P<major>\d)(?P<minor>\d+)")


def is_compiled(filenames: Iterable[str]) -> bool:
    """Whether one of the files is a wheel for one platform or interpreter only."""
    return any(tag.abi != "none" or tag.platform != "any" for name in filenames for tag in _tags(name))


def uncovered(filenames: Iterable[str], interpreters: Iterable[str]) -> tuple[str, ...]:
    """Those of `interpreters` (`3.12`, `3.13t`, `pypy3.10`) that none of the files can be installed on."""
    tags = [tag for name in filenames for tag in _tags(name)]
    return tuple(one for one in dict.fromkeys(interpreters) if not any(_fits(tag, one) for tag in tags))


def covered(filenames: Iterable[str]) -> tuple[str, ...]:
    """The interpreters that the files are for, as their tags name them: `cp312`."""
    return tuple(sorted({tag.interpreter for name in filenames for tag in _tags(name)}))


def _tags(filename: str) -> frozenset[Tag]:
    try:
        return parse_wheel_filename(filename)[3]
    except InvalidWheelFilename:
        return frozenset()


def _fits(tag: Tag, interpreter: str) -> bool:
    found = INTERPRETER.fullmatch(interpreter)
    if found is None:
        return False
    major, minor = found["major"], found["minor"]
    if tag.abi == "none" and tag.interpreter in {f"py{major}", f"py{major}{minor}"}:
        return True
    if found["family"]:
        return tag.interpreter == f"pp{major}{minor}"
    if tag.abi == "abi3" and not found["threads"]:
        oldest = CPYTHON.fullmatch(tag.interpreter)
        return oldest is not None and (int(oldest["major"]), int(oldest["minor"])) <= (int(major), int(minor))
    name = f"cp{major}{minor}"
    return tag.interpreter == name and tag.abi in {f"{name}{found['threads']}", "none"}
