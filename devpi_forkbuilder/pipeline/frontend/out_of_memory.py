"""Whether a command of a build failed for want of memory, by its status and what it printed.

A control group counts what it ended (`sandbox.cgroup_box`). Where there is none, a process that reaches RLIMIT_AS is
refused memory (setrlimit(2)) and says so in the words of its language, and one that the kernel ends leaves a signal.
"""

from __future__ import annotations

import re
import signal

from devpi_forkbuilder.errors import LimitsError
from devpi_forkbuilder.pipeline.process.command import Finished

REFUSED = re.compile(
    rb"^\s*MemoryError\b"  # Python, the last line of a traceback
    rb"|Cannot allocate memory"  # ENOMEM, and GCC's "virtual memory exhausted"
    rb"|std::bad_alloc"
    rb"|^memory allocation of \d+ bytes failed"  # Rust
    rb"|fatal error: runtime: (?:out of memory|cannot allocate memory)"  # Go
    rb"|JavaScript heap out of memory",
    re.MULTILINE,
)
KILLED = re.compile(rb"signal: 9\b|\bSIGKILL\b|Killed signal terminated program|^(?:\S+: )?Killed$", re.MULTILINE)
BY_SHELL = 128
"""What a shell adds to the number of the signal that ended a command."""
LINES = 40
"""Of the end of what was printed; what a project says before it goes on does not count."""


def judge_memory(done: Finished, label: str) -> None:
    """Raise LimitsError (`memory-refused`, `killed`) when a command that failed has run out of memory."""
    if not done.returncode:
        return
    said = b"\n".join(done.tail.splitlines()[-LINES:])
    if REFUSED.search(said):
        raise LimitsError(
            "memory-refused",
            f"{label} ran out of memory: a process was refused more.",
            next_step="The server's --forkbuilder-limit-memory is the bound of each process of a build.",
        )
    if done.returncode in (-signal.SIGKILL, BY_SHELL + signal.SIGKILL) or KILLED.search(said):
        raise LimitsError(
            "killed",
            f"{label} was killed (SIGKILL), as the kernel does when the machine or container is out of memory.",
            next_step="Give the server more memory, or bound builds: --forkbuilder-limit-total-memory, "
            "--forkbuilder-workers.",
        )
