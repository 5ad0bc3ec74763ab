"""A build log as HTML: whole lines, escaped, with the colours that the program meant for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from devpi_forkbuilder.domain.failing_line import failing_line
from devpi_forkbuilder.domain.terminal_text import PLAIN, plain_line, styled

MOST = 512 * 1024
"""Bytes of a log that a page shows: the end. The whole log is one click away."""
OURS = "[forkbuilder] "
AROUND = 4
"""Lines before and after the failing one that are shown with it."""


@dataclass(frozen=True, slots=True)
class LogPart:
    """Lines of a log from byte `start` on; `end` is the byte after them, `changed` the file's time of change (ns)."""

    lines: tuple[str, ...]
    start: int
    end: int
    changed: int


@dataclass(frozen=True, slots=True)
class Failing:
    """The line that says why a build failed: its number among the lines, and those around it as HTML."""

    number: int
    excerpt: str


def read_part(path: Path, start: int = 0, *, last: bool = False) -> LogPart:
    """Read the whole lines from `start` on, the last `MOST` bytes of them; `last`: what follows them, too."""
    with path.open("rb") as file:
        changed = path.stat().st_mtime_ns
        size = file.seek(0, 2)
        begin = max(0, start, size - MOST)
        file.seek(begin)
        data = file.read(MOST)
    if begin > start:
        skipped = data.find(b"\n") + 1
        begin, data = begin + skipped, data[skipped:]
    whole = len(data) if last else data.rfind(b"\n") + 1
    lines = tuple(data[:whole].decode("utf-8", "replace").split("\n"))
    return LogPart(lines[:-1] if lines[-1] == "" else lines, begin, begin + whole, changed)


def lines_as_html(lines: Iterable[str], failing: int | None = None) -> str:
    """The lines, each in an element of its own; the one with the number `failing` has an anchor."""
    style, found = PLAIN, list[str]()
    for number, line in enumerate(lines):
        runs, style = styled(line, style)
        text = "".join(
            f'<span class="{" ".join(f"t-{word}" for word in look.words)}">{escape(shown)}</span>'
            if look.words
            else escape(shown)
            for shown, look in runs
        )
        kind = ' class="fb-ours"' if line.startswith(OURS) else ""
        anchor = ' id="fb-failing"' if number == failing else ""
        found.append(f"<span{anchor}{kind}>{text}\n</span>")
    return "".join(found)


def failing_of(lines: Sequence[str]) -> Failing | None:
    """The failing line with its surroundings, without colours."""
    number = failing_line(lines)
    if number is None:
        return None
    first = max(0, number - AROUND)
    shown = (
        f"<{'mark' if at == number else 'span'}>{escape(plain_line(line))}\n</{'mark' if at == number else 'span'}>"
        for at, line in enumerate(lines[first : number + AROUND + 1], first)
    )
    return Failing(number, "".join(shown))
