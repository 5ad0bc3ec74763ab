"""The system call filter of every build: a classic BPF program for seccomp(2).

It takes away what no build needs and what has let programs out of boxes: namespaces of their own, io_uring, keyrings,
tracing, other instruction sets' system calls; memory that no limit counts; and the socket families that the box's
network rule does not cover. Where a build shares processes or files with the server (`Sharing`), it also takes away
what would reach those.
"""

from __future__ import annotations

import enum
import errno
import socket
import struct

from devpi_forkbuilder.pipeline.sandbox import system_calls as calls

NEW_NAMESPACES = 0x7E020080
"""CLONE_NEWTIME, NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID and NEWNET of clone(2)."""
PARENTS_CHILD = 0x8000
"""CLONE_PARENT of clone(2): the new process would be the server's child, and nobody would wait for it."""
FOREIGN_ABI = 0x40000000
"""The bit that marks x32 system calls on x86_64; above any real number elsewhere."""

LOAD, JUMP_EQUAL, JUMP_ANY_BIT, JUMP_NOT_BELOW, AND, RETURN = 0x20, 0x15, 0x45, 0x35, 0x54, 0x06
NUMBER, ARCHITECTURE, FIRST_ARGUMENT = 0, 4, 16
ALLOW, FAIL, NOTIFY = 0x7FFF0000, 0x00050000, 0x7FC00000

MACHINES = {
    "x86_64": (0xC000003E, calls.X86_64),
    "aarch64": (0xC00000B7, calls.GENERIC),
    "riscv64": (0xC00000F3, calls.GENERIC),
}
"""`uname -m` to the AUDIT_ARCH value and the column of the numbers."""

LOCAL: tuple[int, ...] = ()
INTERNET = (socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK)
"""Families beside the local one (unix(7)). A build that shares files with the server has that one without the network
only, and then its own connections and no datagrams: what they name is in memory, where no filter looks."""
CONNECTIONS = (socket.SOCK_STREAM, socket.SOCK_SEQPACKET)
TYPE_OF_SOCKET = 0xF

# As programs expect: "not there" where they know another way, "not allowed" elsewhere.
ABSENT = frozenset({"io_uring_setup", "clone3", *calls.UNCOUNTED, *calls.WATCHES})
SPECIAL = frozenset({"clone", "unshare", "socket"})
PROCESS, PROCESS_OF_IO = 0, 1
"""PRIO_PROCESS of setpriority(2) and IOPRIO_WHO_PROCESS of ioprio_set(2): the second argument is a thread's id."""


class Sharing(enum.IntEnum):
    """What a build has in common with the server; each includes the one before it."""

    NOTHING = 0
    PROCESSES = 1
    """It sees the server's processes and socket files."""
    FILES = 2
    """It runs as the server's user: calls for modes, owners and times are not done but handed to a listener."""


def knows(machine: str) -> bool:
    """Whether there is a filter for `machine` (`uname -m`)."""
    return machine in MACHINES


def program(machine: str, families: tuple[int, ...], sharing: Sharing = Sharing.NOTHING) -> bytes | None:
    """The filter for `machine`, with sockets of these address families beside the local one (`LOCAL`, `INTERNET`).

    None for machines whose numbers are unknown.
    """
    if not knows(machine):
        return None
    architecture, column = MACHINES[machine]
    escapes = calls.numbers(calls.ESCAPES, column)
    code = [
        _step(LOAD, ARCHITECTURE),
        _step(JUMP_EQUAL, architecture, yes=1),
        _step(RETURN, FAIL | errno.ENOSYS),
        _step(LOAD, NUMBER),
        _step(JUMP_NOT_BELOW, FOREIGN_ABI, no=1),
        _step(RETURN, FAIL | errno.ENOSYS),
        *_refused(escapes),
        *_refused(calls.numbers(calls.UNCOUNTED, column)),
        *_on(escapes["clone"], _unless_any_bit(NEW_NAMESPACES | PARENTS_CHILD)),
        *_on(escapes["unshare"], _unless_any_bit(NEW_NAMESPACES)),
        *_on(escapes["socket"], _sockets(families, sharing)),
    ]
    if sharing >= Sharing.PROCESSES and not families:
        for number in calls.numbers(calls.CONNECT, column).values():
            code += _on(number, [_step(RETURN, NOTIFY)])
    if sharing >= Sharing.PROCESSES:
        code += _of_processes(column)
    if sharing >= Sharing.FILES:
        code += _of_files(column)
    return b"".join([*code, _step(RETURN, ALLOW)])


def listening_call(machine: str) -> int:
    """The number of seccomp(2), which prctl(2) cannot stand in for where a filter has a listener."""
    return calls.SECCOMP[MACHINES[machine][1]]


def handed_over(machine: str) -> dict[int, str]:
    """The calls that a listener may get, by their numbers."""
    column = MACHINES[machine][1]
    return {number: name for name, number in calls.numbers({**calls.ATTRIBUTES, **calls.CONNECT}, column).items()}


def _of_processes(column: int) -> list[bytes]:
    code = _refused(calls.numbers(calls.OTHER_PROCESSES, column))
    for number in calls.numbers(calls.OF_A_PROCESS, column).values():
        code += _on(number, _only_with((0, 0)))
    kinds = calls.numbers(calls.OF_A_KIND, column)
    code += _on(kinds["setpriority"], _only_with((0, PROCESS), (1, 0)))
    return code + _on(kinds["ioprio_set"], _only_with((0, PROCESS_OF_IO), (1, 0)))


def _of_files(column: int) -> list[bytes]:
    code = _refused(calls.numbers(calls.WATCHES, column))
    for number in calls.numbers(calls.EXTENDED_ATTRIBUTES, column).values():
        code += _on(number, [_step(RETURN, FAIL | errno.EOPNOTSUPP)])
    for number in calls.numbers(calls.ATTRIBUTES, column).values():
        code += _on(number, [_step(RETURN, NOTIFY)])
    code += _on(calls.FCNTL["fcntl"][column], _without(calls.LEASES_AND_OWNERS))
    return code + _on(calls.IOCTL["ioctl"][column], _without(calls.OWNERS))


def _refused(numbers: dict[str, int]) -> list[bytes]:
    code = []
    for name, number in numbers.items():
        if name not in SPECIAL:
            code += _on(number, [_step(RETURN, FAIL | (errno.ENOSYS if name in ABSENT else errno.EPERM))])
    return code


def _step(operation: int, value: int, *, yes: int = 0, no: int = 0) -> bytes:
    """One `struct sock_filter`; `yes` and `no` are how many steps a jump leaves out."""
    return struct.pack("=HBBI", operation, yes, no, value)


def _on(number: int, block: list[bytes]) -> list[bytes]:
    """Steps that are done, and end the program, for one system call."""
    return [_step(JUMP_EQUAL, number, no=len(block)), *block]


def _unless_any_bit(mask: int) -> list[bytes]:
    return [
        _step(LOAD, FIRST_ARGUMENT),
        _step(JUMP_ANY_BIT, mask, no=1),
        _step(RETURN, FAIL | errno.EPERM),
        _step(RETURN, ALLOW),
    ]


def _sockets(families: tuple[int, ...], sharing: Sharing) -> list[bytes]:
    if sharing is Sharing.NOTHING:
        return _only((socket.AF_UNIX, *families))
    if families:
        return _only(families)
    second = FIRST_ARGUMENT + 8
    refused = _step(RETURN, FAIL | errno.EACCES)
    return [
        *(_step(LOAD, FIRST_ARGUMENT), _step(JUMP_EQUAL, socket.AF_UNIX, yes=1), refused),
        *(_step(LOAD, second), _step(AND, TYPE_OF_SOCKET)),
        *_compared(CONNECTIONS),
    ]


def _only(values: tuple[int, ...]) -> list[bytes]:
    return [_step(LOAD, FIRST_ARGUMENT), *_compared(values)]


def _compared(values: tuple[int, ...]) -> list[bytes]:
    """Allow where what is loaded is one of `values`."""
    steps = []
    for value in values:
        steps += [_step(JUMP_EQUAL, value, no=1), _step(RETURN, ALLOW)]
    return [*steps, _step(RETURN, FAIL | errno.EACCES)]


def _without(values: tuple[int, ...]) -> list[bytes]:
    """Allowed unless the second argument is one of `values`; the kernel takes it as `unsigned int`."""
    steps = [_step(LOAD, FIRST_ARGUMENT + 8)]
    for value in values:
        steps += [_step(JUMP_EQUAL, value, no=1), _step(RETURN, FAIL | errno.EPERM)]
    return [*steps, _step(RETURN, ALLOW)]


def _only_with(*wanted: tuple[int, int]) -> list[bytes]:
    """Allowed where each argument (its place) has its value.

    For arguments that the kernel takes as `int`: it looks at their lower half only, and so does this.
    """
    steps = []
    for place, value in wanted:
        steps += [
            _step(LOAD, FIRST_ARGUMENT + 8 * place),
            _step(JUMP_EQUAL, value, yes=1),
            _step(RETURN, FAIL | errno.EPERM),
        ]
    return [*steps, _step(RETURN, ALLOW)]
