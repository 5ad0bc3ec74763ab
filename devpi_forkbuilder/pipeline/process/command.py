"""A command to run and what became of it, as values; `process.py` is the only module that runs one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

MEBIBYTE = 1024 * 1024


class Bound(Protocol):
    """What holds for a command and everything it starts, taken together."""

    def judge(self, status: int | None) -> None:
        """Raises LimitsError when they used more than they may. `status`: the exit status, None while it runs."""


@dataclass(frozen=True, slots=True)
class Command:
    """An argument list with all that its run needs; nothing is inherited from the server's own environment.

    `timeout` and `silence` (no output at all) are in seconds; `silence` None: no such limit. `label` names the
    command in messages (`git fetch`). With `capture`, standard output is kept (at most `capture_limit` bytes; more
    is a LimitsError) and does not go to the log; otherwise both outputs go to the log as they come. `bound` is asked
    while the command runs, and when it has ended.
    """

    argv: tuple[str, ...]
    env: Mapping[str, str]
    cwd: Path
    timeout: float
    label: str
    silence: float | None = None
    capture: bool = False
    capture_limit: int = 64 * MEBIBYTE
    stdin: bytes = b""
    bound: Bound | None = None


@dataclass(frozen=True, slots=True)
class Finished:
    """How a command ended: exit status (negative: the signal), wall seconds, captured standard output, output's end.

    `tail` is the last 16 KiB of what went to the log.
    """

    returncode: int
    seconds: float
    stdout: bytes = b""
    tail: bytes = b""
