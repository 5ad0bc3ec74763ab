"""The line of a build's log that says why it failed (pure).

A heuristic over other programs' words: what it finds is shown first, and the whole log stays below it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from devpi_forkbuilder.domain.terminal_text import plain_line

COMPILER = re.compile(
    r"\S[^:\s]*:\d+(:\d+)?: (fatal )?error: |error\[E\d+\]: |ld: .*undefined|.*: undefined reference to "
)
EXCEPTION = re.compile(r"(?!.*\bCalledProcessError\b)([A-Za-z_][\w.]*)?(Error|Exception|SystemExit)(: .*)?")
REPORT = re.compile(
    r"(\s*[\u00d7x] |ERROR: |error: |fatal: |FAILED: |CMake Error|.*: (command )?not found$)", re.IGNORECASE
)
OURS = re.compile(r"\[forkbuilder\] Failed while ")
WRAPPER = re.compile(r"(error: |\s*\u00d7 )(Failed to build|command .* failed|subprocess-exited)", re.IGNORECASE)
"""Where a front end begins to repeat that the build failed."""


def failing_line(lines: Sequence[str]) -> int | None:
    """Return the index of the line that says why the build failed; None when nothing looks like it.

    A compiler's first error comes before an exception's last line (what follows from it), and that before any report.
    """
    texts = [plain_line(line).rstrip() for line in lines]
    for fits, candidates in (
        (COMPILER.match, range(len(texts))),
        (EXCEPTION.fullmatch, range(len(texts) - 1, -1, -1)),
        (_reports, range(len(texts))),
        (_fronts(texts), range(len(texts))),
        (OURS.match, range(len(texts))),
    ):
        found = _first(texts, candidates, fits)
        if found is not None:
            return found
    return None


def _first(texts: Sequence[str], order: range, fits: Callable[[str], object]) -> int | None:
    return next((number for number in order if fits(texts[number])), None)


def _reports(text: str) -> bool:
    return bool(REPORT.match(text)) and not WRAPPER.match(text)


def _fronts(texts: Sequence[str]) -> Callable[[str], object]:
    """What the project's own code printed last before its front end began to repeat that it failed."""
    end = next((number for number, text in enumerate(texts) if WRAPPER.match(text)), 0)
    own = [text for text in texts[:end] if text.strip() and not text.startswith("[forkbuilder]")]
    return own[-1:].__contains__ if own else WRAPPER.match
