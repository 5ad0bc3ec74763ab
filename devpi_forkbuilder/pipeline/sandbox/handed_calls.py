"""What the calls mean that a build's filter hands over: about which file they are, and what they do to it.

Nothing a caller says is believed: its memory is read as bytes, and what it names is opened by us.
"""

from __future__ import annotations

import _socket
import contextlib
import ctypes
import errno
import os
import struct
from collections.abc import Callable, Iterator

from devpi_forkbuilder.pipeline.sandbox import launcher

PIDFD_GETFD = 438
AT_FDCWD, AT_SYMLINK_NOFOLLOW, AT_EMPTY_PATH = -100, 0x100, 0x1000
LONGEST, LONGEST_ADDRESS = 4096, 110
CONNECTING = 5
"""Seconds that a connection may wait for a listener of the build's own."""
OWN = (b"/proc/self/", b"/proc/thread-self/", b"/dev/fd/")

Check = Callable[[], None]
Change = Callable[[str], None]
"""What a call does, to a path that stands for a descriptor of ours."""


class Caller:
    """The thread that made a call, by its id; `check` raises when it is not waiting for the answer any more."""

    def __init__(self, thread: int, check: Check) -> None:
        self.thread = thread
        self.folder = f"/proc/{thread}"
        self.check = check

    @property
    def process(self) -> int:
        """The id of the process that the thread belongs to (proc_pid_status(5), Tgid)."""
        with open(f"{self.folder}/status", "rb") as file:
            return next(int(line[5:]) for line in file if line.startswith(b"Tgid:"))

    def memory(self, address: int, size: int) -> bytes:
        """Up to `size` bytes of its memory."""
        handle = os.open(f"{self.folder}/mem", os.O_RDONLY | os.O_CLOEXEC)
        try:
            return os.pread(handle, size, address)
        except (OSError, OverflowError):
            raise OSError(errno.EFAULT, "") from None
        finally:
            os.close(handle)

    def exactly(self, address: int, size: int) -> bytes:
        """`size` bytes of its memory."""
        data = self.memory(address, size)
        if len(data) != size:
            raise OSError(errno.EFAULT, "")
        return data

    def path(self, address: int) -> bytes:
        """The path at `address`."""
        data = b""
        while len(data) < LONGEST and b"\0" not in data:
            # to the end of a page at most: the next one need not be there
            more = self.memory(address + len(data), LONGEST - (address + len(data)) % LONGEST)
            if not more:
                raise OSError(errno.EFAULT, "")
            data += more
        path, end, _ = data.partition(b"\0")
        if not end or len(path) >= LONGEST:
            raise OSError(errno.ENAMETOOLONG, "")
        return path

    def opened(self, folder: int, path: bytes, flags: int) -> int:
        """What it calls `path`, relative to its descriptor `folder`, as an O_PATH descriptor of ours."""
        if not path:
            if not flags & AT_EMPTY_PATH:
                raise OSError(errno.ENOENT, "")
            return self.descriptor(folder)
        wanted = os.O_PATH | os.O_CLOEXEC | (os.O_NOFOLLOW if flags & AT_SYMLINK_NOFOLLOW else 0)
        if path.startswith(b"/"):
            return os.open(self.translated(path), wanted)
        base = self.descriptor(folder)
        try:
            return os.open(path, wanted, dir_fd=base)
        finally:
            os.close(base)

    def translated(self, path: bytes) -> bytes:
        """Names for "the process that asks", which would be ours, as names for it."""
        for own in OWN:
            if path.startswith(own):
                inside = b"fd/" if own == b"/dev/fd/" else b""
                return os.fsencode(self.folder) + b"/" + inside + path[len(own) :]
        return path

    def descriptor(self, number: int) -> int:
        """Its descriptor `number`, or its current folder, as an O_PATH descriptor of ours."""
        if number < 0 and number != AT_FDCWD:
            raise OSError(errno.EBADF, "")
        name = "cwd" if number == AT_FDCWD else f"fd/{number}"
        try:
            return os.open(f"{self.folder}/{name}", os.O_PATH | os.O_CLOEXEC)
        except FileNotFoundError:
            raise OSError(errno.EBADF, "") from None


def connection(caller: Caller, arguments: list[int]) -> tuple[int, Change]:
    """The socket file that a connect(2) names, open, and how to connect to it."""
    target = caller.opened(AT_FDCWD, address_of(caller, arguments), 0)

    def connect(name: str) -> None:
        with socket_of(caller, small(arguments[0])) as theirs:
            theirs.connect(name)

    return target, connect


def binding(caller: Caller, arguments: list[int]) -> tuple[int, Change]:
    """The folder of the socket file that a bind(2) makes, open, and how to make it there."""
    folder, _, name = address_of(caller, arguments).rpartition(b"/")
    if name in (b"", b".", b".."):
        raise OSError(errno.EADDRINUSE, "")
    target = caller.opened(AT_FDCWD, folder or b".", 0)

    def bind(place: str) -> None:
        with socket_of(caller, small(arguments[0])) as theirs:
            theirs.bind(os.fsencode(place) + b"/" + name)

    return target, bind


def address_of(caller: Caller, arguments: list[int]) -> bytes:
    """The path in the address (unix(7)) of a connect(2) or bind(2)."""
    address, size = arguments[1], small(arguments[2])
    data = caller.exactly(address, size) if 2 < size <= LONGEST_ADDRESS else b""
    path = data[2:].partition(b"\0")[0]
    if data[:2] != struct.pack("=H", _socket.AF_UNIX) or not path:  # abstract names are not in any folder
        raise OSError(errno.EPERM, "")
    return path


@contextlib.contextmanager
def socket_of(caller: Caller, number: int) -> Iterator[_socket.socket]:
    """The caller's socket, which stops waiting for a listener that takes nobody after a while."""
    process = os.pidfd_open(caller.process)
    try:
        ours = launcher.LIBC.syscall(PIDFD_GETFD, process, number, 0)
    finally:
        os.close(process)
    if ours < 0:
        raise OSError(ctypes.get_errno(), "")
    theirs = _socket.socket(fileno=ours)
    try:
        before = theirs.getsockopt(_socket.SOL_SOCKET, _socket.SO_SNDTIMEO, 16)
        theirs.setsockopt(_socket.SOL_SOCKET, _socket.SO_SNDTIMEO, struct.pack("@ll", CONNECTING, 0))
        yield theirs
    finally:
        with contextlib.suppress(OSError):
            theirs.setsockopt(_socket.SOL_SOCKET, _socket.SO_SNDTIMEO, before)
        theirs.close()


def meaning(name: str, caller: Caller, arguments: list[int]) -> tuple[int, Change]:
    """What a call is about, open, and what it does to that."""
    if name in {"connect", "bind"}:
        return connection(caller, arguments) if name == "connect" else binding(caller, arguments)
    if name in {"fchmod", "fchown"}:
        target, rest = caller.descriptor(small(arguments[0])), arguments[1:]
    elif name in {"fchmodat", "fchmodat2", "fchownat", "utimensat", "futimesat"}:
        folder, address, *rest = arguments
        flags = {"fchmodat2": 1, "fchownat": 2, "utimensat": 1}.get(name)
        allowed = 0 if flags is None else rest[flags] & 0xFFFFFFFF
        if allowed & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH):
            raise OSError(errno.EINVAL, "")
        if address == 0 and name.startswith(("utimens", "futimes")):
            target = caller.descriptor(small(folder))
        else:
            target = caller.opened(small(folder), caller.path(address), allowed)
    else:
        flag = AT_SYMLINK_NOFOLLOW if name == "lchown" else 0
        target, rest = caller.opened(AT_FDCWD, caller.path(arguments[0]), flag), arguments[1:]
    try:
        return target, change_of(name, caller, rest)
    except BaseException:
        os.close(target)
        raise


def change_of(name: str, caller: Caller, arguments: list[int]) -> Change:
    """What a call does to a path; `arguments` are those after what it is about."""
    if "chmod" in name:
        mode = arguments[0] & 0o7777
        return lambda path: os.chmod(path, mode)  # noqa: PTH101  (as below)
    if "chown" in name:
        user, group = (small(number) for number in arguments[:2])
        return lambda path: os.chown(path, user, group)
    times = times_of(name, caller, arguments[0])

    def change(path: str) -> None:
        if launcher.LIBC.utimensat(AT_FDCWD, os.fsencode(path), times, 0) < 0:
            raise OSError(ctypes.get_errno(), "")

    return change


def times_of(name: str, caller: Caller, address: int) -> bytes | None:
    """Access and modification time as two `struct timespec`; None: now."""
    if address == 0:
        return None
    if name == "utime":
        accessed, modified = struct.unpack("=qq", caller.exactly(address, 16))
        return struct.pack("=qqqq", accessed, 0, modified, 0)
    if name in {"utimes", "futimesat"}:
        first, first_part, second, second_part = struct.unpack("=qqqq", caller.exactly(address, 32))
        if not (0 <= first_part < 1_000_000 and 0 <= second_part < 1_000_000):
            raise OSError(errno.EINVAL, "")
        return struct.pack("=qqqq", first, first_part * 1000, second, second_part * 1000)
    return caller.exactly(address, 32)


def small(argument: int) -> int:
    """An argument as the `int` that the kernel takes it for."""
    return int(ctypes.c_int32(argument & 0xFFFFFFFF).value)
