"""Progress of long commands: a bar on a terminal, a line for each part elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from devpi_forkbuilder.client.terminal import printable


class Progress:
    """Shows steps one after another, on standard error. A context: the bar ends with it.

    On a terminal rich draws, if it is installed and `TERM` is not `dumb`; everywhere else there are plain lines.
    """

    def __init__(self, environ: Mapping[str, str], *, quiet: bool = False) -> None:
        self._quiet = quiet
        self._bar = _bar() if sys.stderr.isatty() and environ.get("TERM") != "dumb" and not quiet else None
        self._task: Any = None
        self._what = ""
        self._total = self._count = 0

    def __enter__(self) -> Progress:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def begin(self, what: str, total: int) -> None:
        """A step of `total` parts begins."""
        self._what, self._total, self._count = what, total, 0
        if self._bar is not None:
            self._task = self._bar.add_task(what, total=total, part="")

    def done(self, text: str) -> None:
        """One part has ended; `text` says which and how."""
        self._count += 1
        if self._bar is not None:
            self._bar.update(self._task, advance=1, part=printable(text)[:60])
        else:
            self._line(f"{self._what} {self._count}/{self._total}  {text}")

    def note(self, text: str) -> None:
        """A remark beside the progress."""
        if self._bar is not None:
            self._bar.console.print(printable(text), markup=False, highlight=False)
        else:
            self._line(text)

    def _line(self, text: str) -> None:
        if not self._quiet:
            sys.stderr.write(f"{printable(text)}\n")
            sys.stderr.flush()


def _bar() -> Any:
    try:
        from rich.console import Console  # noqa: PLC0415  (only there with the extras `client` and `warm`)
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn  # noqa: PLC0415
        from rich.progress import Progress as Bar  # noqa: PLC0415
    except ImportError:
        return None
    columns = (TextColumn("{task.description:10}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    # markup is off: what is shown has names from files and pages in it
    return Bar(*columns, TextColumn("{task.fields[part]}", markup=False), console=Console(stderr=True, highlight=False))
