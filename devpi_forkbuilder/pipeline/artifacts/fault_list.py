"""Faults of one file, collected so that they are reported together."""

from __future__ import annotations

from dataclasses import dataclass, field

from devpi_forkbuilder.errors import LimitsError, MismatchError

SHOWN = 8
NEXT_STEP = "Fix the fork's build; 'uv build' in a checkout makes the same file to look at."


def shown_values(name: str | bytes) -> str:
    """A name from a hostile file as it may stand in a message: ASCII, quoted, 100 characters at most."""
    text = ascii(name[:100])
    return text if len(name) <= 100 and len(text) <= 100 else f"{text[:100]}..."


@dataclass(slots=True)
class Faults:
    """What is wrong with the file called `subject`; `limits` are those that only go past a limit.

    Each fault is a reference (as `ForkbuilderError.reference`) and the end of a sentence.
    """

    subject: str
    mismatches: list[tuple[str, str]] = field(default_factory=list)
    limits: list[tuple[str, str]] = field(default_factory=list)

    def add(self, reference: str, what: str) -> None:
        """Note that the file is not what it should be."""
        self.mismatches.append((reference, what))

    def limit(self, reference: str, what: str) -> None:
        """Note that the file goes past a limit."""
        self.limits.append((reference, what))

    def __bool__(self) -> bool:
        return bool(self.mismatches or self.limits)

    def check(self) -> None:
        """Raise one error for all faults so far: MismatchError, or LimitsError if nothing else is wrong."""
        found = self.mismatches + self.limits
        if not found:
            return
        said = [what for _, what in found[:SHOWN]]
        if len(found) > SHOWN:
            said.append(f"and {len(found) - SHOWN} more faults")
        error = MismatchError if self.mismatches else LimitsError
        raise error(found[0][0], f"{shown_values(self.subject)} is refused: {'; '.join(said)}.", next_step=NEXT_STEP)
