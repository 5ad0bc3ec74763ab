"""Settings that make old forks build: what an old `setup.py` says when it fails, and what helps (pure).

The signs are other programs' words, so they only suggest: what is reported as a remedy has been tried
(`pipeline.diagnosis`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from devpi_forkbuilder.domain.compat.targets import INTERPRETER
from devpi_forkbuilder.domain.pins.orders import Order

MOST = 6
"""How many builds one diagnosis may start."""


@dataclass(frozen=True, slots=True)
class Remedy:
    """What helps when the output of a build has one of `signs`: a constraint for its environment, or a Python that is
    not newer than `newest`.
    """

    name: str
    signs: tuple[str, ...]
    constraint: str = ""
    newest: tuple[int, int] | None = None


REMEDIES = (
    Remedy("use-2to3", ("use_2to3 is invalid",), constraint="setuptools<58"),
    Remedy("feature", ("cannot import name 'Feature' from 'setuptools'",), constraint="setuptools<46"),
    Remedy("flat-layout", ("top-level packages discovered in a flat-layout",), constraint="setuptools<61"),
    Remedy("invalid-version", ("InvalidVersion", "Invalid version"), constraint="setuptools<66"),
    Remedy("msvccompiler", ("distutils.msvccompiler",), constraint="setuptools<74"),
    Remedy("pkg-resources", ("No module named 'pkg_resources'",), constraint="setuptools<81"),
    Remedy("cython-3", ("Cython.Compiler.Errors.CompileError",), constraint="cython<3"),
    Remedy("collections-abc", ("module 'collections' has no attribute", "from 'collections'"), newest=(3, 9)),
    Remedy("longintrepr", ("longintrepr.h",), newest=(3, 10)),
    Remedy(
        "removed-in-3.12",
        (
            *("No module named 'imp'", "No module named 'distutils'", "No module named 'asynchat'"),
            *("attribute 'ImpImporter'", "attribute 'SafeConfigParser'", "attribute 'readfp'"),
        ),
        newest=(3, 11),
    ),
)
"""From those that say most to those that are seen with everything."""
LADDER = ("pkg-resources", "invalid-version", "use-2to3")
"""What is tried where no sign is known."""


def suggested(output: bytes) -> tuple[Remedy, ...]:
    """Return the remedies whose signs are in the output of a build, the most telling first."""
    text = output.decode("utf-8", "replace")
    return tuple(remedy for remedy in REMEDIES if any(sign in text for sign in remedy.signs))


def unsigned() -> Iterator[Remedy]:
    """Yield what to try when the output says nothing that is known."""
    return (remedy for name in LADDER for remedy in REMEDIES if remedy.name == name)


def applied(order: Order, remedy: Remedy, pythons: Sequence[str]) -> Order | None:
    """Return `order` with `remedy`, or None where that changes nothing; `pythons` are the server's interpreters."""
    if remedy.newest is not None:
        python = _newest(pythons, remedy.newest)
        return None if not python or python == order.python else replace(order, python=python)
    if remedy.constraint in order.recipe.constraints:
        return None
    constraints = (*order.recipe.constraints, remedy.constraint)
    return replace(order, recipe=replace(order.recipe, constraints=constraints))


def remedy_settings(before: Order, after: Order) -> tuple[str, ...]:
    """Return the lines, `SETTING: PROJECT: VALUE`, that make `before` the order `after`."""
    project = before.pin.project
    new = [line for line in after.recipe.constraints if line not in before.recipe.constraints]
    latest = {canonicalize_name(Requirement(line).name): line for line in new}
    lines = [f"fork_build_constraints: {project}: {line}" for line in latest.values()]
    if after.python != before.python:
        lines.append(f"fork_pythons: {project}: {after.python}")
    return tuple(lines)


def suggested_lines(project: str, remedies: Iterable[Remedy]) -> tuple[str, ...]:
    """Return the same for remedies that were not tried."""
    return tuple(
        f"fork_build_constraints: {project}: {remedy.constraint}"
        if remedy.constraint
        else f"fork_pythons: {project}: {'.'.join(map(str, remedy.newest or ()))}"
        for remedy in remedies
    )


def _newest(pythons: Sequence[str], limit: tuple[int, int]) -> str:
    """The newest CPython of `pythons` that is not newer than `limit`; empty when there is none."""
    found = [(name, INTERPRETER.fullmatch(name)) for name in pythons]
    fitting = [
        ((int(parts["major"]), int(parts["minor"])), name)
        for name, parts in found
        if parts is not None and not parts["family"] and (int(parts["major"]), int(parts["minor"])) <= limit
    ]
    return max(fitting, default=((0, 0), ""))[1]
