"""Do for a build what Landlock cannot judge, in its own folder alone: `python -I -S broker.py JOB`.

Landlock does not see chmod(2) and its like, so a build that runs as the server's user could open or close the server's
own files; nor does it see connect(2) to socket files. The build's filter hands these calls to this program
(seccomp_unotify(2)), which does them itself, on a descriptor that it has opened and found to be in the build's folder.
Nothing is judged by name and then done by the kernel: there is no race to win.

A program of its own, outside of the build's Landlock domain, and the parent of the launcher: some machines let only
ancestors read a process's memory (Yama, ptrace_scope 1). JOB is a JSON object:

* `folders`: where the build may change attributes. `calls`: names of system calls by their numbers.
* `argv`: what starts the launcher; it gets `plan` as its last argument. `server`: the server's process id. `uid`: the
  build's user where it has one of its own, as whom this program does everything.

Standard library only; ends as the launcher does.
"""

from __future__ import annotations

import _socket
import contextlib
import errno
import fcntl
import json
import os
import resource
import select
import signal
import struct
import sys
from pathlib import Path
from typing import Any, NoReturn

if __name__ == "__main__":
    sys.path.append(str(Path(__file__).parents[3]))

from devpi_forkbuilder.pipeline.sandbox import launcher
from devpi_forkbuilder.pipeline.sandbox.handed_calls import Caller, meaning

PR_SET_CHILD_SUBREAPER = 36
RECEIVE, SEND, IS_VALID = 0xC0502100, 0xC0182101, 0x40082102
REQUEST, ANSWER = struct.Struct("=QIIiIQ6Q"), struct.Struct("=QqiI")
"""`struct seccomp_notif` and `struct seccomp_notif_resp` of linux/seccomp.h."""
LOOK = 1000
"""Milliseconds after which orphans are looked for."""


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
    if job.get("uid") is not None:
        launcher.become(job["uid"])
        launcher.die_with_parent(job["server"])
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
