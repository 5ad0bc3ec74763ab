"""Finding and ending what a build left behind: no file of a build is looked at while one of its processes lives.

Every process of a build has the variable `FORKBUILDER_BUILD` in its first environment (proc_pid_environ(5)). A hostile
process can drop it; the tiers have a stronger means beside it (a process namespace, a user of its own, a Landlock
domain), and this is how the server sees that it has worked.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import select
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from devpi_forkbuilder.errors import InfrastructureError
from devpi_forkbuilder.pipeline.sandbox import seccomp

MARK = "FORKBUILDER_BUILD"
"""The variable's name; its value is `<server's pid>-<server's start time>-<number>-<its process namespace>`.

The machine's own namespace sees the processes of all containers, whose servers' numbers mean nothing there: without the
last part a server that starts beside a container would take the builds in it for abandoned, and end them.
"""
DEADLINE = 30.0
"""Seconds after which a process that cannot be killed is reported."""
STEP = 0.2
AT_ONCE = 128

PROC = Path("/proc")
NUMBERS = itertools.count(1)

Predicate = Callable[[int], bool]


def new_mark() -> str:
    """A value for the variable, used nowhere else on this machine."""
    return f"{os.getpid()}-{_start_time(os.getpid())}-{next(NUMBERS)}-{_namespace()}"


def carries(mark: str) -> Predicate:
    """Whether a process has this mark."""
    needle = f"{MARK}={mark}".encode()
    return lambda pid: needle in _environment(pid)


def belongs_to(uid: int) -> Predicate:
    """Whether a living process has `uid` as one of its four user ids (credentials(7)), here or in a container.

    Containers without a user namespace of their own have the same user ids; this machine sees their processes.
    """
    wanted = str(uid)

    def ours(pid: int) -> bool:
        fields = _status(pid)
        alive = not fields.get("State", "Z").startswith(("Z", "X")) or fields.get("Threads") != "1"
        return alive and wanted in fields.get("Uid", "").split()

    return ours


def belongs_here(uid: int) -> Predicate:
    """`belongs_to`, for processes that are not in a process namespace below this server's.

    Those are of another server, in a container. A build cannot make such a namespace: its system call filter refuses.
    What bubblewrap makes ends with its first process. Without a filter for this machine every process counts.
    """
    belongs = belongs_to(uid)
    if not seccomp.knows(os.uname().machine):
        return belongs
    own = _depth(os.getpid())
    return lambda pid: belongs(pid) and _depth(pid) <= own


def closes(program: str) -> Predicate:
    """Whether a process is the first of a process namespace, runs `program`, and is on its way out.

    Its memory, and so its mark, is gone by then, while the kernel still ends the namespace's other processes; it
    ends itself when that is done (pid_namespaces(7)).
    """

    def ours(pid: int) -> bool:
        fields = _status(pid)
        first = fields.get("NSpid", "").split()[1:][-1:] == ["1"]
        return first and fields.get("Name") == program and "VmSize" not in fields and fields["State"][:1] not in "ZX"

    return ours


def abandoned(pid: int) -> bool:
    """Whether a process has the mark of a server that is not there any more."""
    prefix = f"{MARK}=".encode()
    for entry in _environment(pid):
        if entry.startswith(prefix):
            return is_stale(entry[len(prefix) :].decode(errors="replace"))
    return False


def is_stale(mark: str) -> bool:
    """Whether a mark is of a server that is not there any more, or of none at all.

    One of another process namespace never is: when its first process ends, the kernel ends all others in it.
    """
    owner, start, _, namespace = [*mark.split("-", 3), "", "", ""][:4]
    if namespace not in {"", _namespace()}:
        return False
    return not owner.isdecimal() or _start_time(int(owner)) != start


def of_living_server(pid: int) -> bool:
    """Whether a process has the mark of a server that runs: a build that goes on."""
    prefix = f"{MARK}=".encode()
    return any(entry.startswith(prefix) for entry in _environment(pid)) and not abandoned(pid)


def is_there(wanted: Predicate) -> bool:
    """Whether there is a process for which `wanted` holds."""
    return any(map(wanted, _pids()))


def threads(wanted: Predicate) -> int:
    """How many threads the processes have for which `wanted` holds."""
    return sum(int(_status(pid).get("Threads", "0")) for pid in _pids() if wanted(pid))


def until_gone(ours: Predicate, *, patience: float = 0.0) -> None:
    """Kill every process for which `ours` holds, and return when there is none.

    For `patience` seconds they are only waited for. Raises InfrastructureError (`processes-remain`) when some
    live on for half a minute: they are in uninterruptible sleep.
    """
    begun = time.monotonic()
    while handles := _handles(ours):
        try:
            waited = time.monotonic() - begun
            if waited > DEADLINE:
                raise _remaining(len(handles))
            if waited >= patience:
                _kill(handles)
            _await_end(handles, STEP)
        finally:
            for handle in handles:
                os.close(handle)


def end_abandoned() -> None:
    """Kill what builds of servers that were killed have left on this machine; for the start of a server."""
    until_gone(abandoned)


def _remaining(count: int) -> InfrastructureError:
    what = f"{count} processes of a build could not be ended."
    return InfrastructureError("processes-remain", what, next_step="Look for a disk or file system that hangs.")


def _handles(ours: Predicate) -> list[int]:
    """Process descriptors (pidfd_open(2)): unlike a number, one cannot come to mean another process."""
    handles: list[int] = []
    for pid in itertools.islice(filter(ours, _pids()), AT_ONCE):
        with contextlib.suppress(ProcessLookupError):
            handle = os.pidfd_open(pid)
            if ours(pid):
                handles.append(handle)
            else:
                os.close(handle)
    return handles


def _kill(handles: list[int]) -> None:
    for handle in handles:
        with contextlib.suppress(ProcessLookupError, PermissionError):  # not ours to kill, only to wait for
            signal.pidfd_send_signal(handle, signal.SIGKILL)


def _await_end(handles: list[int], seconds: float) -> None:
    poll = select.poll()
    for handle in handles:
        poll.register(handle, select.POLLIN)
    until = time.monotonic() + seconds
    left = len(handles)
    while left and (rest := until - time.monotonic()) > 0:
        for handle, _ in poll.poll(rest * 1000):
            poll.unregister(handle)
            left -= 1


def _pids() -> Iterator[int]:
    own = os.getpid()
    for name in os.listdir(PROC):  # noqa: PTH208  (names only; several hundred of them, several times a build)
        if name.isdecimal() and int(name) != own:
            yield int(name)


def _environment(pid: int) -> list[bytes]:
    """The variables a process was started with; empty when it is not ours to read, a zombie or gone."""
    data = _read(PROC / str(pid) / "environ")
    if data:
        return data.split(b"\0")
    # A process whose first thread has ended looks like a zombie while its other threads run on.
    with contextlib.suppress(OSError):
        for task in (PROC / str(pid) / "task").iterdir():
            if data := _read(task / "environ"):
                return data.split(b"\0")
    return []


def _status(pid: int) -> dict[str, str]:
    lines = _read(PROC / str(pid) / "status").decode(errors="replace").splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def _depth(pid: int) -> int:
    """In how many process namespaces, one in the other, a process is; those above /proc's own do not count."""
    return len(_status(pid).get("NSpid", "").split())


def _namespace() -> str:
    """The number of this process's process namespace (pid_namespaces(7)); empty when it is not known."""
    try:
        return str((PROC / "self" / "ns" / "pid").stat().st_ino)
    except OSError:
        return ""


def _start_time(pid: int) -> str:
    """Field 22 of proc_pid_stat(5), in clock ticks since boot; empty when there is no such process."""
    fields = _read(PROC / str(pid) / "stat").rpartition(b")")[2].split()
    return fields[19].decode() if len(fields) > 19 else ""


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""
