"""What a program printed for a terminal, as runs of text with style words (pure).

Colours and weights are kept (SGR sequences of ECMA-48, 8.3.117, with xterm's bright colours); all other escape
sequences and control characters are left out. No markup is made here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

COLOURS = ("black", "red", "green", "yellow", "blue", "magenta", "cyan", "white")
SEQUENCE = re.compile(
    r"\x1b\[(?P<sgr>[0-9;]*)m"
    r"|\x1b\[[0-?]*[ -/]*[@-~]"  # other control sequences
    r"|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?"  # titles and links
    r"|\x1b[@-Z\\^_]?"
    r"|[\x00-\x08\x0b-\x1f\x7f]"
)
MOST = 10_000
"""Characters of a line that are shown; a program may print a megabyte without a line end."""


@dataclass(frozen=True, slots=True)
class Style:
    """How text looks: names of colours, and weights."""

    colour: str = ""
    bright: bool = False
    background: str = ""
    bold: bool = False
    faint: bool = False
    italic: bool = False
    underlined: bool = False

    @property
    def words(self) -> tuple[str, ...]:
        """The style as words: `red`, `bright-red`, `on-red`, `bold`, ..."""
        colour = (f"bright-{self.colour}" if self.bright else self.colour) if self.colour else ""
        weights = ("bold", "faint", "italic", "underlined")
        background = f"on-{self.background}" if self.background else ""
        return tuple(filter(None, (colour, background, *(name for name in weights if getattr(self, name)))))


PLAIN = Style()
Run = tuple[str, Style]


def plain_line(line: str) -> str:
    """Return `line` without escape sequences and control characters, as `styled` shows it."""
    return "".join(text for text, _ in styled(line)[0])


def styled(line: str, style: Style = PLAIN) -> tuple[list[Run], Style]:
    """Return the runs of a line (without its line end), and the style that the next one begins with.

    Of what a carriage return has overwritten, as progress bars do, only the last is kept.
    """
    visible = line.rstrip("\r").rpartition("\r")[2]
    if len(visible) > MOST:
        visible = f"{visible[:MOST]} ... {len(visible) - MOST} more characters"
    runs: list[Run] = []
    at = 0
    for match in SEQUENCE.finditer(visible):
        if match.start() > at:
            runs.append((visible[at : match.start()], style))
        at = match.end()
        if match["sgr"] is not None:
            style = _changed(style, match["sgr"])
    if at < len(visible):
        runs.append((visible[at:], style))
    return runs, style


def _changed(style: Style, codes: str) -> Style:
    numbers = iter([int(code[:4] or 0) for code in codes.split(";")])
    for number in numbers:
        style = _one(style, number, numbers)
    return style


def _one(style: Style, number: int, rest: Iterator[int]) -> Style:
    if number in SWITCHES:
        return PLAIN if number == 0 else replace(style, **SWITCHES[number])
    if 30 <= number <= 37 or 90 <= number <= 97:
        return replace(style, colour=COLOURS[number % 10], bright=number >= 90)
    if 40 <= number <= 47 or 100 <= number <= 107:
        return replace(style, background=COLOURS[number % 10])
    if number in {38, 48}:
        return _indexed(style, number == 38, rest)
    return style


def _indexed(style: Style, foreground: bool, rest: Iterator[int]) -> Style:
    """One of 256 colours, of which the first 16 have names, or one in red, green and blue, which are left out."""
    kind = next(rest, 0)
    if kind == 2:
        for _ in range(3):
            next(rest, 0)
    index = next(rest, 255) if kind == 5 else 255
    if index >= 16:
        return style
    if foreground:
        return replace(style, colour=COLOURS[index % 8], bright=index >= 8)
    return replace(style, background=COLOURS[index % 8])


SWITCHES: dict[int, dict[str, Any]] = {
    0: {},
    1: {"bold": True},
    2: {"faint": True},
    3: {"italic": True},
    4: {"underlined": True},
    22: {"bold": False, "faint": False},
    23: {"italic": False},
    24: {"underlined": False},
    39: {"colour": "", "bright": False},
    49: {"background": ""},
}
