"""A finding of `doctor`: what was looked at, how it is, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from devpi_forkbuilder.errors import ForkbuilderError


class Verdict(str, Enum):
    """How something is: `warning` is for what works and may still not be what is wanted."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Finding:
    """`name` is a stable word, `what` a full sentence; `fix`, what to do, is empty when nothing needs to be done."""

    name: str
    state: Verdict
    what: str
    fix: str = ""

    @classmethod
    def ok(cls, name: str, what: str) -> Finding:
        """All is well."""
        return cls(name, Verdict.OK, what)

    @classmethod
    def warning(cls, name: str, what: str, fix: str) -> Finding:
        """It works, but."""
        return cls(name, Verdict.WARNING, what, fix)

    @classmethod
    def failed(cls, name: str, what: str, fix: str) -> Finding:
        """Builds will fail."""
        return cls(name, Verdict.FAILED, what, fix)

    @classmethod
    def of_error(cls, name: str, error: ForkbuilderError) -> Finding:
        """A check ended with one of our errors."""
        return cls(name, Verdict.FAILED, error.what, error.next_step)
