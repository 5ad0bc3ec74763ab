"""Change modes, owners and times of files for a build that runs as the server's user: `python -I -S ... JOB`.

Landlock does not see chmod(2) and its like, so a build could open or close the server's own files. Its filter hands
these calls to this program (seccomp_unotify(2)), which does them itself, on a descriptor that it has opened and found
to be in the build's folder. Nothing is judged by name and then done by the kernel: there is no race to win.

A program of its own, outside of the build's Landlock domain, and the parent of the launcher: some machines let only
ancestors read a process's memory (Yama, ptrace_scope 1). JOB is a JSON object:

* `folders`: where the build may change attributes. `calls`: names of system calls by their numbers.
* `argv`: what starts the launcher; it gets `plan` as its last argument. `server`: the server's process id.

Standard library only; ends as the launcher does.
"""

from __future__ import annotations

import _socket
import contextlib
import ctypes
import errno
import fcntl
import json
import os
import resource
import select
import signal
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

if __name__ == "__main__":
    sys.path.append(str(Path(__file__).parents[3]))

from devpi_forkbuilder.pipeline.sandbox import launcher

PR_SET_CHILD_SUBREAPER = 36
RECEIVE, SEND, IS_VALID = 0xC0502100, 0xC0182101, 0x40082102
REQUEST, ANSWER = struct.Struct("=QIIiIQ6Q"), struct.Struct("=QqiI")
"""`struct seccomp_notif` and `struct seccomp_notif_resp` of linux/seccomp.h."""
AT_FDCWD, AT_SYMLINK_NOFOLLOW, AT_EMPTY_PATH = -100, 0x100, 0x1000
LONGEST = 4096
OWN = (b"/proc/self/", b"/proc/thread-self/", b"/dev/fd/")
LOOK = 1000
"""Milliseconds after which orphans are looked for."""

Check = Callable[[], None]


class Caller:
    """The thread that made a call, by its id; `check` raises when it is not waiting for the answer any more."""

    def __init__(self, thread: int, check: Check) -> None:
        self.folder = f"/proc/{thread}"
        self.check = check

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


class Broker:
    """Does the calls of one build, whose own files are those at and below `folders`."""

    def __init__(self, folders: list[str], calls: dict[str, str]) -> None:
        self.folders = [os.fsencode(os.path.realpath(folder)) for folder in folders]
        self.calls = {int(number): name for number, name in calls.items()}

    def answer(self, listener: int) -> None:
        """Do one call that the listener has, and say how it went."""
        data = bytearray(REQUEST.size)
        try:
            fcntl.ioctl(listener, RECEIVE, data)
        except OSError:  # who made it has ended meanwhile
            return
        request, thread, _, number, _, _, *arguments = REQUEST.unpack(data)

        def check() -> None:
            fcntl.ioctl(listener, IS_VALID, struct.pack("=Q", request))

        caller = Caller(thread, check)
        try:
            self.perform(self.calls[number], caller, arguments)
            fault = 0
        except OSError as error:
            fault = error.errno or errno.EPERM
        except (KeyError, ValueError, OverflowError):
            fault = errno.EINVAL
        with contextlib.suppress(OSError):
            fcntl.ioctl(listener, SEND, ANSWER.pack(request, 0, -fault, 0))

    def perform(self, name: str, caller: Caller, arguments: list[int]) -> None:
        """Do the call `name`; raises OSError with the number that the caller gets."""
        target, change = meaning(name, caller, arguments)
        try:
            place = os.readlink(b"/proc/self/fd/%d" % target)  # noqa: PTH115  (bytes: any name)
            if not any(place == folder or place.startswith(folder + b"/") for folder in self.folders):
                raise OSError(errno.EPERM, "")
            caller.check()
            change(f"/proc/self/fd/{target}")
        finally:
            os.close(target)


def meaning(name: str, caller: Caller, arguments: list[int]) -> tuple[int, Callable[[str], None]]:
    """What a call is about, open, and what it does to that."""
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


def change_of(name: str, caller: Caller, arguments: list[int]) -> Callable[[str], None]:
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


def main(job: dict[str, Any]) -> NoReturn:
    """Start the launcher, do the build's calls until it has ended, and end as it did."""
    launcher.die_with_parent(job["server"])
    launcher.check(launcher.LIBC.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), "subreaper")
    ours, theirs = _socket.socketpair()
    child = os.fork()
    if child == 0:
        ours.close()
        start(job, theirs.fileno())
    theirs.close()
    launcher.detach()
    end_as(serve(child, ours, Broker(job["folders"], job["calls"])))


def start(job: dict[str, Any], channel: int) -> NoReturn:
    """Become the launcher."""
    os.set_inheritable(channel, True)
    plan = {**job["plan"], "parent": os.getppid(), "listener": channel}
    try:
        os.execv(job["argv"][0], [*job["argv"], json.dumps(plan)])  # noqa: S606  (no shell is wanted)
    except OSError as error:
        launcher.fail(launcher.NOT_STARTED, f"{job['argv'][0]} cannot be started: {error.strerror}")


def serve(child: int, channel: _socket.socket, broker: Broker) -> int:
    """Do calls until `child` has ended; its wait status. `channel` brings the listener."""
    poll = select.poll()
    ended = os.pidfd_open(child)
    poll.register(ended, select.POLLIN)
    poll.register(channel.fileno(), select.POLLIN)
    while True:
        for descriptor, event in poll.poll(LOOK):
            if descriptor == channel.fileno():
                poll.unregister(descriptor)
                listener = received(channel)
                if listener is not None:
                    poll.register(listener, select.POLLIN)
            elif descriptor != ended and event & select.POLLIN:
                broker.answer(descriptor)
            elif descriptor != ended:  # the listener's last caller has ended
                poll.unregister(descriptor)
        status = reaped(child)
        if status is not None:
            return status


def received(channel: _socket.socket) -> int | None:
    """The descriptor that the launcher sends; None when it has ended before."""
    try:
        _, extra, _, _ = channel.recvmsg(1, _socket.CMSG_SPACE(4))
    except OSError:
        return None
    return struct.unpack("=i", extra[0][2][:4])[0] if extra else None


def reaped(child: int) -> int | None:
    """Wait for all that have ended; the wait status of `child` when it is among them."""
    status = None
    with contextlib.suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            if ended[0] == child:
                status = ended[1]
    return status


def end_as(status: int) -> NoReturn:
    """End with the exit status, or by the signal, of another process."""
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        with contextlib.suppress(OSError, ValueError):
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    os._exit(os.waitstatus_to_exitcode(status) & 0xFF)


if __name__ == "__main__":
    try:
        main(json.loads(sys.argv[1]))
    except launcher.WallError as error:
        launcher.fail(launcher.WALL_MISSING, str(error))
