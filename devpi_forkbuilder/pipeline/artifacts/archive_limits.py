"""What any archive may contain, a wheel or a source distribution: how much, and under which names."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from devpi_forkbuilder.pipeline.artifacts.fault_list import Faults, shown_values
from devpi_forkbuilder.pipeline.process.command import MEBIBYTE

LONGEST_NAME = 1000
DRIVE = re.compile(r"[A-Za-z]:")


@dataclass(frozen=True, slots=True)
class ArchiveLimits:
    """How large an archive may be once unpacked (bytes, members), and how much smaller it may be packed.

    `ratio` (unpacked to packed) counts only above `free` unpacked bytes: small files compress well.
    """

    members: int = 60_000
    unpacked: int = 1536 * MEBIBYTE
    ratio: int = 50
    free: int = 64 * MEBIBYTE

    def judge(self, unpacked: int, packed: int, members: int, faults: Faults) -> None:
        """Note what goes past these limits."""
        if members > self.members:
            faults.limit("archive-too-many", f"it has {members} members, {self.members} are allowed")
        if unpacked > self.unpacked:
            faults.limit("archive-too-large", f"it unpacks to {unpacked} bytes, {self.unpacked} are allowed")
        if unpacked > self.free and unpacked > self.ratio * packed:
            faults.limit("archive-bomb", f"it unpacks to more than {self.ratio} times its size ({unpacked} bytes)")


LIMITS = ArchiveLimits()


def judge_names(names: list[str], faults: Faults) -> None:
    """Note names that are given twice, that leave the folder they are unpacked to, or are not plain."""
    seen: set[str] = set()
    for name in names:
        plain = name.removesuffix("/")
        if plain in seen:
            faults.add("archive-duplicate", f"it has {shown_values(name)} twice")
        seen.add(plain)
        problem = _name_problem(plain)
        if problem:
            faults.add("archive-name", f"the name {shown_values(name)} {problem}")
    if faults:
        return
    files = {name for name in names if not name.endswith("/")}
    inside = {name[:at] for name in names for at, letter in enumerate(name) if letter == "/"} & files
    for name in sorted(inside):
        faults.add("archive-name", f"{shown_values(name)} is a file and a folder")


def judge_alike(names: list[str], faults: Faults) -> None:
    """Note names that are one on file systems, and for imports, that do not tell letters apart as this one does.

    macOS and Windows take `A.py` and `a.py` for one file; macOS normalizes names, as Python does those of modules
    (Unicode Standard Annex 15, forms NFC and NFKC).
    """
    seen: dict[str, str] = {}
    for name in names:
        plain = name.removesuffix("/")
        other = seen.setdefault(_folded(plain), plain)
        if other != plain:
            faults.add(
                "archive-duplicate", f"{shown_values(other)} and {shown_values(plain)} are one name on other machines"
            )
    files = {_folded(name): name for name in names if not name.endswith("/")}
    for name in names:
        for at, letter in enumerate(name):
            alike = files.get(_folded(name[:at])) if letter == "/" else None
            if alike is not None and alike != name[:at]:
                faults.add(
                    "archive-duplicate",
                    f"{shown_values(alike)} is a folder as well on other machines: {shown_values(name)}",
                )
                return


def _folded(name: str) -> str:
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())


def _name_problem(name: str) -> str:
    if len(name) > LONGEST_NAME:
        return f"is longer than {LONGEST_NAME} characters"
    if "\\" in name:
        return "has a backslash"
    if not name.isprintable():
        return "has a character that cannot be printed"
    if name.startswith("/") or DRIVE.match(name):
        return "is absolute"
    if {"", ".", ".."} & set(name.split("/")):
        return "is not a plain relative path"
    return ""
