"""Phrases that were replaced, in messages, help texts, docstrings and documents: none of them comes back."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TEXTS = sorted(
    [
        *(ROOT / "devpi_forkbuilder").rglob("*.py"),
        *(ROOT / "docs").rglob("*.md"),
        *ROOT.glob("*.md"),
        *(ROOT / "compose").rglob("*.md"),
    ]
)
HISTORY = ("CHANGELOG.md",)
REPLACED = {
    r"\btold\b": "reported, given, known",
    r"\bmend(s|ed|ing)?\b": "fix",
    r"\bWhose: ": "Cause:",
    r"\b(?:be|was|were) had\b": "fetched, available",
    r"[a-z]{2}\((?:s|es)\) ": "a singular and a plural",
    r"\b1 (?:faults|pins|files|lines|builds)\b(?! \d)": "1 fault, 1 pin",
    r"(?<!here )\b(?:is|are) no (?!longer|more\b|matter|use\b|good\b|way\b|harm\b|room\b|need\b)\w": "is not a",
    r"\b[Ss]ee to (?:the|its|that|a|your)\b": "check",
    r"\bto who (?:has|have|may|is)\b": "to users who, to clients that",
    r"\bwaits is let go\b|\bare let go\b": "waiting requests are released",
    r"\bis not one of (?:a devpi server|this version)": "does not come from",
    r"\bconfined by the tier\b": "in the tier",
    r"\bwhere nobody can be asked\b": "there is no terminal to ask on",
    r"URL is none\b|that is none\.\"$": "invalid",
    r"\bCommit anew\b|\bhas to be made anew\b": "commit again, recreate",
}


def replaced_phrases(text: str) -> list[str]:
    """The lines with a phrase that was replaced, with their numbers and what is written instead."""
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        for pattern, instead in REPLACED.items():
            if match := re.search(pattern, line):
                found.append(f"{number}: {match[0]!r}: write {instead}: {line.strip()}")
    return found


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_english__replaced_phrases_do_not_come_back(path: Path) -> None:
    if path.name not in HISTORY:
        assert not replaced_phrases(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("line", "fine"),
    [
        ("The URL is no index.", False),
        ("There is no index; it is no longer pinned.", True),
        ("3 file(s) could not be had", False),
        ("See to the permissions.", False),
        ("1 faults", False),
        ("1 fault, 21 faults", True),
        ("Whose: the fork", False),
        ("as said, not told", False),
        ("a repository that recommends itself", True),
    ],
)
def test_replaced_phrases__are_seen(line: str, fine: bool) -> None:
    assert bool(replaced_phrases(line)) is not fine
