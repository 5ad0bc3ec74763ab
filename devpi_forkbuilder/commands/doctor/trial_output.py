"""What a program that is tried says."""

from __future__ import annotations

LONGEST = 2000


class TrialOutput:
    """A log that keeps the last of what a trial prints."""

    def __init__(self) -> None:
        self.text = ""

    def write(self, data: bytes) -> None:
        """Keep what a program prints."""
        self.text = (self.text + data.decode("utf-8", "replace"))[-LONGEST:]

    def say(self, line: str) -> None:
        """Keep nothing of what we say ourselves."""
