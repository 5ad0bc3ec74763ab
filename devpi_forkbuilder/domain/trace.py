"""The trace that a request belongs to: the header `traceparent` (https://www.w3.org/TR/trace-context/, level 1)."""

from __future__ import annotations

import re
from dataclasses import dataclass

HEADER = "traceparent"
PATTERN = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
LONGEST = 200
"""Characters of a header that are looked at; the standard's own form has 55."""


@dataclass(frozen=True, slots=True)
class TraceParent:
    """`trace_id` (32 hex digits) is the whole journey's, `parent_id` (16) that of the caller; `flags` as they came."""

    trace_id: str
    parent_id: str
    flags: str = "00"

    @classmethod
    def parse(cls, header: str) -> TraceParent | None:
        """Read a header; None for what the standard says is to be ignored."""
        found = PATTERN.fullmatch(header.strip()) if len(header) <= LONGEST else None
        if found is None or found[1] == "ff" or (found[1] == "00" and found[5]):
            return None
        if not found[2].strip("0") or not found[3].strip("0"):
            return None
        return cls(found[2], found[3], found[4])

    def __str__(self) -> str:
        return f"00-{self.trace_id}-{self.parent_id}-{self.flags}"
