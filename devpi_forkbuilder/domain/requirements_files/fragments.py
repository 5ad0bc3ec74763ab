"""A git URL's fragment as people write it, in the form a pin has.

Accepted with a note: `#NAME==1.0` without `egg=`, one `=` for two, extras in the egg, `NAME>=1.0`, `NAME-dev` and
`NAME-1.0` (the egg naming of old setuptools) where the repository is called NAME, the hash of an archive. A fragment
without a name is accepted too: the repository has the name. All else is left for `pins` to judge.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote

from packaging.utils import canonicalize_name

from devpi_forkbuilder.domain.pins.pins import KEYS, NAME
from devpi_forkbuilder.domain.pins.urls import Problem

EGG = re.compile(r"(?P<name>[^\[=]*)(?:\[(?P<extras>[^\]]*)\])?(?:(?P<equals>=+)(?P<version>.*))?", re.DOTALL)
RANGE = re.compile(r"(?P<name>[^\[\]<>=!~]+?)\s*(?:~=|!=|[<>]=?)[^\[\]]*")
ARCHIVE_HASHES = ("md5=", "sha1=", "sha224=", "sha256=", "sha384=", "sha512=")  # pip's manual, "Hash-checking mode"
UNNAMED = "unnamed"
OLD_EGG = re.compile(r"(?P<name>.+?)-(?:dev|[0-9].*)")


@dataclass(frozen=True, slots=True)
class Fragment:
    """`fixed` is the fragment as a pin has it; `notes` say what was fixed, `problems` what could not be.

    `nameless`: no project is named, and UNNAMED stands in `fixed` instead of it.
    """

    fixed: str
    extras: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()
    nameless: bool = False


@dataclass(frozen=True, slots=True)
class Egg:
    """An egg's name, extras and `==VERSION` (or nothing)."""

    name: str
    extras: tuple[str, ...] = ()
    version: str = ""
    notes: tuple[str, ...] = ()


def read_fragment(text: str, repository: str, named: str = "") -> Fragment:
    """The fragment `text` of a URL whose repository is called `repository`; `named` is what stands before an `@`."""
    given = [unquote(part) for part in text.split("&") if part]
    parts = [part for part in given if not part.startswith(ARCHIVE_HASHES)]
    notes = [
        f"{part.partition('=')[0]} of an archive left out: the index has a hash of its own"
        for part in given
        if part not in parts
    ]
    named, equals, version = (named or "").partition("==")
    if equals:
        notes.append(
            f"a name before the @ has no version, pip refuses {named}=={version}: read as {named}, version {version}"
        )
    if parts and not parts[0].startswith(tuple(f"{key}=" for key in KEYS)) and _is_egg(parts[0], parts):
        notes.append(f"#{parts[0]} has no egg=: read as #egg={parts[0]}")
        parts[0] = f"egg={parts[0]}"
    eggs = [part.removeprefix("egg=") for part in parts if part.startswith("egg=")]
    others = [part for part in parts if not part.startswith("egg=")]
    if not eggs and not named:
        return Fragment("&".join([f"egg={UNNAMED}", *others]), notes=tuple(notes), nameless=True)
    read = [_read_egg(egg, repository, old_names=not named) for egg in eggs] or [Egg(named)]
    problems = tuple(_other_name(egg, named) for egg in read if named and not _same(egg.name, named))
    return Fragment(
        fixed="&".join([*(f"egg={named or egg.name}{egg.version or equals + version}" for egg in read), *others]),
        extras=tuple(extra for egg in read for extra in egg.extras),
        notes=(*notes, *(note for egg in read for note in egg.notes)),
        problems=problems,
    )


def extra_names(text: str | None) -> tuple[str, ...]:
    """The names between the brackets of `[a, b]`."""
    return tuple(name.strip() for name in (text or "").split(",") if name.strip())


def _is_egg(part: str, parts: list[str]) -> bool:
    """Whether the first part is a name, perhaps with a version, that only lacks its `egg=`."""
    found = EGG.fullmatch(part)
    has_egg = any(other.startswith("egg=") for other in parts)
    return not has_egg and bool(found and NAME.fullmatch(found["name"]) and found["equals"] in {None, "=="})


def _read_egg(text: str, repository: str, *, old_names: bool) -> Egg:
    ranged = RANGE.fullmatch(text)
    if ranged and NAME.fullmatch(ranged["name"]):
        return Egg(
            ranged["name"], notes=(f"{text!r} is a range, and a commit has one version: read as {ranged['name']}",)
        )
    found = EGG.fullmatch(text)
    if found is None:
        return Egg(text)
    name, version, notes = found["name"].strip(), "", list[str]()
    if found["equals"]:
        version = (
            f"=={found['version'].strip()}" if found["equals"] in {"=", "=="} else found["equals"] + found["version"]
        )
    if found["equals"] == "=":
        notes.append(f"one '=' in {text!r}: read as {name}{version}")
    old = OLD_EGG.fullmatch(name) if old_names and not version else None
    if old and _same(old["name"], repository):
        notes.append(f"{name!r} is the egg naming of old setuptools: read as project {old['name']!r}")
        name = old["name"]
    return Egg(name, extra_names(found["extras"]), version, tuple(notes))


def _same(name: str, other: str) -> bool:
    return canonicalize_name(name) == canonicalize_name(other)


def _other_name(egg: Egg, named: str) -> Problem:
    return f"{named!r} before the @ and egg={egg.name} name two projects", "keep the name before the @"
