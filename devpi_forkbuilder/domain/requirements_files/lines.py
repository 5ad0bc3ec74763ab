"""The logical lines of a requirements file: continuations joined, comments apart, every character's place kept.

Source: pip's manual, "Requirements File Format" (comments are cut after continuations are joined; a comment line
inside a continuation ends it). Lines are counted as `str.splitlines` does, which is how pip counts them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

BYTE_ORDER_MARK = "\ufeff"
COMMENT_LINE = re.compile(r"\s*#")
COMMENT = re.compile(r"(?:^|(?<!\s)\s+)#.*$", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Logical:
    """One logical line.

    `number` and `last` are its first and last physical line, from 1; `raw` is all of its text with line ends, so that
    the `raw` of all lines is the file; `text` is what pip reads of it, without comment, continuations joined; `comment`
    has the `#`, or is empty; `span` are the offsets in the file of the characters that `text` comes from.
    """

    number: int
    last: int
    raw: str
    text: str
    comment: str
    span: tuple[int, int]


def logical_lines(text: str) -> tuple[Logical, ...]:
    """The logical lines of a file's whole text; a byte order mark belongs to no line's `text`."""
    return tuple(_logical(*group) for group in _groups(text))


def _groups(text: str) -> Iterator[tuple[int, int, list[str]]]:
    """(first line number, offset, physical lines with their ends) of each logical line."""
    first, offset, group = 1, 0, list[str]()
    for number, physical in enumerate(text.splitlines(keepends=True), 1):
        group.append(physical)
        if not _continues(physical):
            yield first, offset, group
            offset += sum(map(len, group))
            first, group = number + 1, []
    if group:
        yield first, offset, group


def _body(physical: str) -> str:
    return physical.splitlines()[0]


def _continues(physical: str) -> bool:
    body = _body(physical)
    return body.endswith("\\") and not COMMENT_LINE.match(body)


def _logical(number: int, offset: int, group: list[str]) -> Logical:
    joined, places = _joined(group, offset)
    found = COMMENT.search(joined)
    cut = found.start() if found else len(joined)
    text = joined[:cut].strip()
    comment = found.group().strip() if found else ""
    begin = len(joined) - len(joined.lstrip())
    span = (places[begin], places[begin + len(text) - 1] + 1) if text else (offset, offset)
    return Logical(number, number + len(group) - 1, "".join(group), text, comment, span)


def _joined(group: list[str], offset: int) -> tuple[str, list[int]]:
    """The joined text and, for each of its characters, the offset in the file."""
    pieces: list[str] = []
    places: list[int] = []
    for physical in group:
        body, start = _body(physical), offset
        if offset == 0 and body.startswith(BYTE_ORDER_MARK):
            body, start = body[1:], 1
        if _continues(physical):
            body = body.rstrip("\\")
        elif pieces and COMMENT_LINE.match(body):
            # pip reads a comment line inside a continuation as a comment even when nothing separates the two
            pieces.append(" ")
            places.append(start)
        pieces.append(body)
        places.extend(range(start, start + len(body)))
        offset += len(physical)
    return "".join(pieces), places
