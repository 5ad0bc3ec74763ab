"""What a server's health consists of."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Check:
    """One condition: a stable name, whether it holds, and a sentence for the operator (empty when there is none)."""

    name: str
    ok: bool
    message: str = ""


@dataclass(frozen=True, slots=True)
class Health:
    """All conditions that were looked at."""

    checks: tuple[Check, ...]

    @property
    def ready(self) -> bool:
        """Whether requests should be sent here."""
        return all(check.ok for check in self.checks)

    @property
    def reasons(self) -> tuple[str, ...]:
        """What is wrong, as sentences."""
        return tuple(check.message for check in self.checks if not check.ok)
