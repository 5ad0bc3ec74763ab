"""The system call filter of every build: a classic BPF program for seccomp(2).

It takes away what no build needs and what has let programs out of boxes: namespaces of their own, io_uring (whose
operations no filter sees), keyrings, tracing, other instruction sets' system calls; and the socket families that the
box's network rule does not cover. Numbers are from the kernel's syscall tables; from 424 on they are the same
everywhere.
"""

from __future__ import annotations

import errno
import socket
import struct

NEW_NAMESPACES = 0x7E020080
"""CLONE_NEWTIME, NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID and NEWNET of clone(2)."""

FOREIGN_ABI = 0x40000000
"""The bit that marks x32 system calls on x86_64; above any real number elsewhere."""

LOAD, JUMP_EQUAL, JUMP_ANY_BIT, JUMP_NOT_BELOW, RETURN = 0x20, 0x15, 0x45, 0x35, 0x06
NUMBER, ARCHITECTURE, FIRST_ARGUMENT = 0, 4, 16
ALLOW, FAIL = 0x7FFF0000, 0x00050000

COMMON = {"io_uring_setup": 425, "clone3": 435}
GENERIC = COMMON | {
    "clone": 220,
    "unshare": 97,
    "socket": 198,
    "ptrace": 117,
    "setns": 268,
    "keyctl": 219,
    "add_key": 217,
    "request_key": 218,
    "bpf": 280,
    "perf_event_open": 241,
    "process_vm_readv": 270,
    "process_vm_writev": 271,
    "userfaultfd": 282,
}
X86_64 = COMMON | {
    "clone": 56,
    "unshare": 272,
    "socket": 41,
    "ptrace": 101,
    "setns": 308,
    "keyctl": 250,
    "add_key": 248,
    "request_key": 249,
    "bpf": 321,
    "perf_event_open": 298,
    "process_vm_readv": 310,
    "process_vm_writev": 311,
    "userfaultfd": 323,
}
MACHINES = {"x86_64": (0xC000003E, X86_64), "aarch64": (0xC00000B7, GENERIC), "riscv64": (0xC00000F3, GENERIC)}
"""`uname -m` to the AUDIT_ARCH value and the numbers."""

UNIX = (socket.AF_UNIX,)
ALL_USUAL = (socket.AF_UNIX, socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK)

# As programs expect: "not there" where they know another way, "not allowed" elsewhere.
ABSENT = {"io_uring_setup": errno.ENOSYS, "clone3": errno.ENOSYS}
SPECIAL = ("clone", "unshare", "socket")


def knows(machine: str) -> bool:
    """Whether there is a filter for `machine` (`uname -m`)."""
    return machine in MACHINES


def program(machine: str, families: tuple[int, ...]) -> bytes | None:
    """The filter for `machine`, with sockets of these address families; None for machines whose numbers are unknown."""
    if not knows(machine):
        return None
    architecture, numbers = MACHINES[machine]
    code = [
        _step(LOAD, ARCHITECTURE),
        _step(JUMP_EQUAL, architecture, yes=1),
        _step(RETURN, FAIL | errno.ENOSYS),
        _step(LOAD, NUMBER),
        _step(JUMP_NOT_BELOW, FOREIGN_ABI, no=1),
        _step(RETURN, FAIL | errno.ENOSYS),
    ]
    for name, number in numbers.items():
        if name not in SPECIAL:
            code += _on(number, [_step(RETURN, FAIL | ABSENT.get(name, errno.EPERM))])
    for name in ("clone", "unshare"):
        code += _on(numbers[name], _unless_any_bit(NEW_NAMESPACES))
    code += _on(numbers["socket"], _only(families))
    return b"".join([*code, _step(RETURN, ALLOW)])


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


def _only(values: tuple[int, ...]) -> list[bytes]:
    steps = [_step(LOAD, FIRST_ARGUMENT)]
    for value in values:
        steps += [_step(JUMP_EQUAL, value, no=1), _step(RETURN, ALLOW)]
    return [*steps, _step(RETURN, FAIL | errno.EACCES)]
