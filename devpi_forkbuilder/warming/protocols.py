"""What warming needs of its surroundings."""

from __future__ import annotations

from typing import Protocol


class NotFetchedError(Exception):
    """Something could not be fetched from the index; `why` is a phrase, without secrets."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class Display(Protocol):
    """Where progress is shown. All methods may be called from the thread that began the command alone."""

    def begin(self, what: str, total: int) -> None:
        """A step of `total` parts begins."""

    def done(self, text: str) -> None:
        """One part has ended; `text` says which and how."""

    def note(self, text: str) -> None:
        """A remark beside the progress."""
