"""What people and scripts see: lines, tables and JSON on standard output, messages on standard error.

On a terminal rich draws, if it is installed; everywhere else there is plain text without colours. `NO_COLOR` is
respected (no-color.org).
"""

from __future__ import annotations

import contextlib
import copy
import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f]+")
STYLES = {
    **dict.fromkeys(("built", "new"), "green"),
    **dict.fromkeys(("failed", "fault"), "red"),
    **dict.fromkeys(("moved", "version", "removed", "note"), "yellow"),
    **dict.fromkeys(("queued", "fetching", "building", "checking", "publishing"), "cyan"),
    **dict.fromkeys(("wanted", "unchanged"), "bright_black"),
}
"""The colour of a cell that says a state or a change."""
COLOURED = frozenset({"state", "change"})
"""The columns, by their headers, of which cells have colours: a project may be called `failed`."""
CODES = {"red": "31", "yellow": "33"}


@dataclass(frozen=True, slots=True)
class Table:
    """Headers and rows of equal length."""

    headers: Sequence[str]
    rows: Sequence[Sequence[str]]


class Live(Protocol):
    """A table that changes while work goes on."""

    def changed(self) -> None:
        """There is something new to show."""


class Changing(Protocol):
    """What a live table is drawn from."""

    def table(self) -> Table:
        """How it stands now; asked several times a second, from another thread."""

    def news(self) -> Iterable[str]:
        """What has changed since the last call, in lines, for where no table can be drawn anew."""


def counted(number: int, noun: str) -> str:
    """A number with its noun: `1 pin`, `2 pins`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def plain(table: Table) -> list[str]:
    """A table as lines of text, columns two spaces apart."""
    cells = [[printable(cell) for cell in row] for row in (table.headers, *table.rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]


def printable(text: str) -> str:
    """`text` in one line, without what a terminal would obey."""
    return UNPRINTABLE.sub(" ", text)


class Screen:
    """Where a command writes. `wants_json` silences all of standard output but `json`."""

    def __init__(self, environ: Mapping[str, str], *, wants_json: bool = False) -> None:
        self.wants_json = wants_json
        self.out: Any = sys.stdout
        self.err: Any = sys.stderr
        self._coloured = not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"
        streams: tuple[Any, ...] = (self.out, self.err)
        for stream in streams:  # a name that the terminal's encoding lacks must not end a command
            with contextlib.suppress(AttributeError):
                stream.reconfigure(errors="backslashreplace")
        self._console = _console(self.out) if self.out.isatty() and environ.get("TERM") != "dumb" else None

    def aside(self) -> Screen:
        """A screen whose lines and tables go to standard error, for what comes beside a file on standard output."""
        beside = copy.copy(self)
        beside.out, beside.wants_json = self.err, False
        beside._console = _console(self.err) if self._console is not None and self.err.isatty() else None
        return beside

    def line(self, text: str = "") -> None:
        """A line for people."""
        if not self.wants_json:
            print(printable(text), file=self.out, flush=True)

    def table(self, table: Table) -> None:
        """A table for people; nothing when it has no rows."""
        if self.wants_json or not table.rows:
            return
        if self._console is not None:
            self._console.print(_drawn(table))
        else:
            self.out.write("".join(f"{line}\n" for line in plain(table)))
            self.out.flush()

    def json(self, value: object) -> None:
        """A value for scripts, if they asked."""
        if self.wants_json:
            print(json.dumps(value, indent=2), file=self.out, flush=True)

    def exact(self, text: str) -> None:
        """Text as it is, in UTF-8."""
        self.out.flush()
        self.out.buffer.write(text.encode())
        self.out.buffer.flush()

    def note(self, text: str) -> None:
        """A message beside the output."""
        self._message(text, "yellow")

    def fault(self, text: str) -> None:
        """A message on what went wrong."""
        self._message(text, "red")

    def confirmed(self, question: str) -> bool | None:
        """The answer of whoever sits there; None when nobody does."""
        if not sys.stdin.isatty():
            return None
        self.err.write(f"{question} [y/N] ")
        self.err.flush()
        return sys.stdin.readline().strip().lower() in {"y", "yes"}

    @contextlib.contextmanager
    def live(self, changing: Changing) -> Iterator[Live]:
        """Show something while it changes: a table on a terminal, lines elsewhere."""
        if self.wants_json or self._console is None:
            yield _Lines(self, changing)
            return
        from rich.live import Live as RichLive  # noqa: PLC0415  (only there with the extra `client`)

        with RichLive(get_renderable=lambda: _drawn(changing.table()), console=self._console) as drawing:
            yield _Drawing(drawing)

    def _message(self, text: str, colour: str) -> None:
        shown = printable(text)
        if self._coloured and self.err.isatty():
            shown = f"\x1b[{CODES[colour]}m{shown}\x1b[0m"
        self.out.flush()
        print(shown, file=self.err, flush=True)


class _Lines:
    def __init__(self, screen: Screen, changing: Changing) -> None:
        self.screen = screen
        self.changing = changing

    def changed(self) -> None:
        for line in self.changing.news():
            self.screen.line(line)


class _Drawing:
    def __init__(self, drawing: Any) -> None:
        self.drawing = drawing

    def changed(self) -> None:
        self.drawing.refresh()


def _console(stream: Any) -> Any:
    try:
        from rich.console import Console  # noqa: PLC0415  (only there with the extra `client`)
    except ImportError:
        return None
    return Console(file=stream, highlight=False)


def _drawn(table: Table) -> Any:
    from rich.table import Table as RichTable  # noqa: PLC0415  (as above)
    from rich.text import Text  # noqa: PLC0415

    drawn = RichTable(box=None, pad_edge=False, header_style="bold")
    for header in table.headers:
        drawn.add_column(header, overflow="fold")
    styles = [STYLES if header in COLOURED else {} for header in table.headers]
    for row in table.rows:  # Text, for a string would be read as markup
        cells = zip(row, styles, strict=True)
        drawn.add_row(*(Text(printable(cell), style=style.get(cell.partition(" ")[0], "")) for cell, style in cells))
    return drawn
