"""The text of one requirement line to a git requirement, in all the forms that are in use.

`git+URL@REF#egg=NAME==1.0`, `-e`, `NAME[extra] @ git+URL@REF ; marker`, options behind it, and the URL of an archive
that a git host makes of a commit. What is read otherwise than written gets a note; what cannot be read, a fault.
Source: PEP 508, and pip's manual, "VCS Support".
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from devpi_forkbuilder.domain.pins.pins import Fault
from devpi_forkbuilder.domain.requirements_files.archive_urls import Archive, read_archive_url
from devpi_forkbuilder.domain.requirements_files.fragments import Fragment, extra_names, read_fragment
from devpi_forkbuilder.domain.requirements_files.gitlines import (
    GitLine,
    LinePlace,
    Written,
    judged,
    plain_url,
    repository_name,
    split_ref,
)

EDITABLE = re.compile(r"(?:-e\s*|--editable(?:\s*=\s*|\s+))(?P<rest>\S.*)", re.DOTALL)
LOCATION = r"(?:git\+|git://|git@[^\s/:]+:|https?://)\S.*"
NAMED = re.compile(rf"(?P<name>[^\s\[\]@;#/:]+)(?:\s*\[(?P<extras>[^\]]*)\])?\s*@\s*(?P<rest>{LOCATION})", re.DOTALL)
BARE = re.compile(LOCATION, re.DOTALL)
HTTP = re.compile("https?://")
ELSEWHERE = re.compile(r"(?:^|[\s\"'=@])git\+(?:[a-z]+:|git@)")
OPTIONS = re.compile(r"(?<!\s)\s+--?[A-Za-z].*", re.DOTALL)
PARTS = re.compile(r"(?P<url>[^\s;]+)\s*(?:;\s*(?P<marker>.*))?", re.DOTALL)
VARIABLE = re.compile(r"\$\{([A-Z0-9_]+)\}")
LOGIN = re.compile(r"(?P<scheme>https?://)(?P<login>[^/\s@]+)@")
SYNTAX = "git+URL@COMMIT#egg=NAME or NAME @ git+URL@COMMIT"


def read_git_line(
    text: str, place: LinePlace, environ: Mapping[str, str], comment: str = ""
) -> GitLine | tuple[Fault, ...] | None:
    """The git requirement in a logical line's text, its faults, or None when it is an ordinary line."""
    bare, notes = _without_login(text)
    expanded, unset = expand(bare, environ)
    editable = EDITABLE.fullmatch(expanded)
    body = _unquoted(editable["rest"] if editable else expanded)
    named = NAMED.fullmatch(body)
    if named is None and not BARE.fullmatch(body):
        return (
            place.faults([("a git URL in a form that pip does not read", f"write {SYNTAX}")]) if _stray(bare) else None
        )
    rest = named["rest"] if named else body
    archive = read_archive_url(re.split(r"[\s;#]", rest, maxsplit=1)[0])
    if archive is None and HTTP.match(rest):
        return None
    if unset:
        return place.faults(
            [(f"the environment variable {name} is not set", "set it, or write its value") for name in unset]
        )
    parts = PARTS.fullmatch(OPTIONS.sub("", rest).strip())
    if parts is None:
        return place.faults([("something follows the URL", f"write {SYNTAX}, and a marker after ' ; '")])
    location, ref, fragment = _split(parts["url"], named["name"] if named else "", archive)
    extras = (*extra_names(named["extras"] if named else None), *fragment.extras)
    written = Written(
        location=location,
        ref=ref,
        fragment=fragment.fixed,
        extras=tuple(dict.fromkeys(extras)),
        marker=(parts["marker"] or "").strip() or None,
        editable=editable is not None,
        comment=comment,
        notes=(*notes, *((archive.note,) if archive else ()), *fragment.notes),
        nameless=fragment.nameless,
    )
    return judged(written, place, fragment.problems)


def expand(text: str, environ: Mapping[str, str]) -> tuple[str, tuple[str, ...]]:
    """`text` with `${NAME}` replaced as pip does it, and the names that have no value, which are left as they are."""
    unset = tuple(dict.fromkeys(name for name in VARIABLE.findall(text) if not environ.get(name)))
    return VARIABLE.sub(lambda found: environ.get(found[1]) or found[0], text), unset


def _split(url: str, named: str, archive: Archive | None) -> tuple[str, str | None, Fragment]:
    before, _, fragment = url.partition("#")
    location, ref = (archive.url, archive.ref) if archive else split_ref(before)
    return location, ref, read_fragment(fragment, repository_name(plain_url(location)[0]), named)


def _without_login(text: str) -> tuple[str, tuple[str, ...]]:
    """`text` without user info that comes from variables: a pin has no credentials, so their values are not read."""
    found = LOGIN.search(text)
    names = ", ".join(VARIABLE.findall(found["login"])) if found else ""
    if not names:
        return text, ()
    note = f"user info from {names} left out: the server has its own credentials (--forkbuilder-credentials)"
    return LOGIN.sub(r"\g<scheme>", text, count=1), (note,)


def _unquoted(text: str) -> str:
    quoted = re.fullmatch(r"""(["'])(?P<inside>.*)\1""", text, re.DOTALL)
    return quoted["inside"] if quoted else text


def _stray(text: str) -> bool:
    return ELSEWHERE.search(text) is not None
