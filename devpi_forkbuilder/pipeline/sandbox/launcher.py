"""Puts walls around itself, then becomes the command: `python -I -S launcher.py PLAN`.

A program of its own that needs the standard library only. PLAN is a JSON object without secrets (everybody can see an
argument list). The command's environment is made of the variables `FORKBUILDER_ENV_*`, without that prefix, and the
mark `FORKBUILDER_BUILD`: a `LD_PRELOAD` that is meant for the build must not work on this program, which has rights.
The plan's keys, all but `argv` optional:

* `argv`: the command. `parent`: the server's process id; nothing is started once it is not our parent any more.
* `limits`: names of getrlimit(2) without `RLIMIT_`, and values. `shared_user`: other processes have the same user
  too, so the limit of processes is on top of those that there are.
* `uid`: the user (and group) to become; needs root. `powerless`: give up all capabilities (capabilities(7)) instead.
* `cwd`: the folder to start in. `seccomp`: a filter program in base64. `listener`: a socket that the filter's listener
  is sent through; `listen`: the number of seccomp(2).
* `landlock`: `{"read": [...], "write": [...], "devices": [...], "minimum": ABI, "network": bool}`; `minimum` 0 means
  that a kernel without Landlock will do.
* `guard`: leave a process behind that ends the whole tree when the command has ended.

Exit status 125: a wall could not be put up; 126 and 127: the command could not be started (as in a shell).
Sources: landlock(7), prctl(2), seccomp(2), capabilities(7), kill(2).
"""

from __future__ import annotations

import _socket
import base64
import ctypes
import json
import os
import resource
import select
import signal
import stat
import struct
import sys
from typing import Any, NoReturn

PREFIX, MARK = b"FORKBUILDER_ENV_", b"FORKBUILDER_BUILD"
WALL_MISSING, NOT_STARTED, NOT_FOUND = 125, 126, 127
PR_SET_PDEATHSIG, PR_SET_SECCOMP, PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 1, 22, 24, 38
SECCOMP_MODE_FILTER, CAPABILITY_VERSION_3 = 2, 0x20080522
SET_MODE_FILTER, NEW_LISTENER = 1, 8
EINVAL = 22

# The same numbers on every architecture.
LANDLOCK_CREATE_RULESET, LANDLOCK_ADD_RULE, LANDLOCK_RESTRICT_SELF = 444, 445, 446
RULE_PATH_BENEATH, TCP_RIGHTS = 1, 3
EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
MAKE_CHAR, MAKE_BLOCK, REFER, TRUNCATE, IOCTL_DEV = 1 << 6, 1 << 11, 1 << 13, 1 << 14, 1 << 15
FIRST_RIGHTS = (1 << 13) - 1
RIGHTS_OF_FILES = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV
ABSTRACT_SOCKETS, SIGNALS = 1, 2
TCP_SINCE, SCOPES_SINCE = 4, 6
BROKER_PATIENCE = 5000  # milliseconds to end after the command; a build, which has its user, may have stopped it

LIBC = ctypes.CDLL(None, use_errno=True)


class WallError(Exception):
    """A wall that was asked for cannot be put up."""


def main(plan: dict[str, Any]) -> NoReturn:
    """Put up what `plan` asks for, from what needs most rights to what takes them all away; then start it."""
    parent = plan.get("parent")
    die_with_parent(parent)
    set_limits(plan.get("limits", {}), shared_user=plan.get("shared_user", False))
    uid = plan.get("uid")
    if uid is not None:
        empty_bounding_set()
    check(LIBC.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")
    if plan.get("powerless"):
        check(LIBC.capset(struct.pack("=Ii", CAPABILITY_VERSION_3, 0), bytes(24)), "capabilities")
    abi = landlock_abi()
    if abi >= SCOPES_SINCE:
        enforce(scope(files="landlock" in plan))
    if plan.get("guard") and parent is not None:
        leave_guard(parent, uid, abi, brokered="listener" in plan)
    prefer_for_oom()
    walls = landlock_rules(plan["landlock"], abi) if "landlock" in plan else None
    if uid is not None:
        become(uid)
        die_with_parent(parent)
    if walls is not None:
        enforce(walls)
    if "seccomp" in plan:
        filter_calls(base64.b64decode(plan["seccomp"]), plan.get("listen"), plan.get("listener"))
    enter(plan.get("cwd"))
    start(plan["argv"])


def check(result: Any, wall: str) -> int:
    """`result` of a C function; raises WallError when it says failure."""
    if result < 0:
        raise WallError(f"{wall}: {os.strerror(ctypes.get_errno())}")
    return int(result)


def die_with_parent(parent: int | None) -> None:
    """Have the kernel kill this process when its parent ends. A change of user takes that back."""
    check(LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0), "parent-death signal")
    if parent is not None and os.getppid() != parent:
        raise WallError("the server is not there any more")


def set_limits(limits: dict[str, int], *, shared_user: bool) -> None:
    """Set soft and hard limits, never above the hard limits there are."""
    for name, wanted in limits.items():
        number = getattr(resource, f"RLIMIT_{name}")
        top = resource.getrlimit(number)[1]
        value = wanted + (running_threads(os.getuid()) if name == "NPROC" and shared_user else 0)
        value = value if top == resource.RLIM_INFINITY else min(value, top)
        resource.setrlimit(number, (value, value))


def running_threads(uid: int) -> int:
    """How many threads `uid` has on this machine: that is what RLIMIT_NPROC is compared with."""
    return sum(threads(f"/proc/{name}", uid) for name in process_names())


def threads(process: str, uid: int) -> int:
    """The threads of one process (field 20 of proc_pid_stat(5)); 0 when it is another user's or gone."""
    try:
        if os.stat(process).st_uid != uid:  # noqa: PTH116  (as above)
            return 0
        with open(f"{process}/stat", "rb") as file:
            return int(file.read().rpartition(b")")[2].split()[17])
    except OSError:
        return 0


def empty_bounding_set() -> None:
    """Give up all capabilities for good: no program that is started can get one back."""
    capability = 0
    while LIBC.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) == 0:
        capability += 1
    if ctypes.get_errno() != EINVAL:  # EINVAL: past the last capability this kernel has
        raise WallError("the capability bounding set cannot be emptied: the server has no CAP_SETPCAP")


def prefer_for_oom() -> None:
    """When memory runs out the kernel should end the build, not the server."""
    try:
        with open("/proc/self/oom_score_adj", "w") as file:
            file.write("1000")
    except OSError:  # a help, not a wall
        return


def become(uid: int) -> None:
    """Change user and group for good."""
    try:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    except OSError as error:
        raise WallError(f"user {uid}: {error.strerror}") from None


def landlock_abi() -> int:
    """The kernel's Landlock version; 0: it has none, or it is off."""
    return max(int(LIBC.syscall(LANDLOCK_CREATE_RULESET, None, 0, 1)), 0)


def ruleset(files: int, network: int, scopes: int) -> int:
    """A ruleset that handles these rights; older kernels know a shorter structure."""
    attributes = struct.pack("=QQQ", files, network, scopes)
    length = 24 if scopes else 16 if network else 8
    return check(LIBC.syscall(LANDLOCK_CREATE_RULESET, attributes, length, 0), "Landlock ruleset")


def scope(*, files: bool) -> int:
    """A ruleset for signals and abstract sockets alone. `files`: one for files will follow it.

    Then this one has to allow everywhere what such rulesets deny even without handling it (landlock(7),
    LANDLOCK_ACCESS_FS_REFER): to move a file to another folder. Alone it must not, or nothing can be mounted.
    """
    rules = ruleset(REFER if files else 0, 0, ABSTRACT_SOCKETS | SIGNALS)
    if files:
        allow(rules, ["/"], REFER)
    return rules


def enforce(descriptor: int) -> None:
    """Put this process and its children under a ruleset, for good."""
    check(LIBC.syscall(LANDLOCK_RESTRICT_SELF, descriptor, 0), "Landlock")
    os.close(descriptor)


def landlock_rules(wanted: dict[str, Any], abi: int) -> int | None:
    """The ruleset of a build; None when the kernel has no Landlock and that is allowed."""
    if abi < wanted["minimum"]:
        raise WallError(f"Landlock version {wanted['minimum']} is needed, this kernel has {abi or 'none'}")
    if abi == 0:
        return None
    handled = FIRST_RIGHTS
    for right, since in ((REFER, 2), (TRUNCATE, 3), (IOCTL_DEV, 5)):
        handled |= right if abi >= since else 0
    tcp = TCP_RIGHTS if abi >= TCP_SINCE and not wanted["network"] else 0
    rules = ruleset(handled, tcp, ABSTRACT_SOCKETS | SIGNALS if abi >= SCOPES_SINCE else 0)
    allow(rules, wanted["read"], handled & (EXECUTE | READ_FILE | READ_DIR))
    allow(rules, wanted["devices"], handled & (READ_FILE | WRITE_FILE | TRUNCATE | IOCTL_DEV))
    allow(rules, wanted["write"], handled & ~(MAKE_CHAR | MAKE_BLOCK | IOCTL_DEV))
    return rules


def allow(rules: int, paths: list[str], rights: int) -> None:
    """Allow `rights` at and below each path; paths that are not there are left out."""
    for path in paths:
        try:
            descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except OSError:
            continue
        folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        rule = struct.pack("=Qi", rights if folder else rights & RIGHTS_OF_FILES, descriptor)
        check(LIBC.syscall(LANDLOCK_ADD_RULE, rules, RULE_PATH_BENEATH, rule, 0), f"Landlock rule for {path}")
        os.close(descriptor)


def filter_calls(program: bytes, call: int | None, channel: int | None) -> None:
    """Load a seccomp filter; its listener, if it has one, goes to the process at the other end of `channel`."""
    code = ctypes.create_string_buffer(program, len(program))
    # struct sock_fprog: the number of steps and a pointer, with the platform's own padding between
    filters = ctypes.create_string_buffer(struct.pack("@HP", len(program) // 8, ctypes.addressof(code)))
    if channel is None:
        check(LIBC.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, filters, 0, 0), "seccomp filter")
        return
    listener = check(LIBC.syscall(call, SET_MODE_FILTER, NEW_LISTENER, filters), "seccomp filter with a listener")
    other = _socket.socket(fileno=channel)
    other.sendmsg([b"x"], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, struct.pack("=i", listener))])
    other.close()
    os.close(listener)


def leave_guard(parent: int, uid: int | None, abi: int, *, brokered: bool) -> None:
    """Start a process outside the command's session that kills everything of this build once the command has ended.

    It reaches what no list of processes can name: one `kill(-1)` is atomic against forks. What it reaches is kept
    to this build by the Landlock scope it is in (whose members are this build's alone), else by the build's user.
    Without either there is no guard. With `brokered` the parent is the broker, which has the build's user, too.
    """
    scoped = abi >= SCOPES_SINCE
    if not scoped and uid is None:
        return
    awaited: dict[int, int | None] = {os.pidfd_open(os.getpid()): None}  # closed when the command takes our place
    if brokered and not scoped:
        awaited[os.pidfd_open(parent)] = BROKER_PATIENCE
    if child := os.fork():
        os.waitpid(child, 0)
        return
    try:
        if os.fork() == 0:
            guard(awaited, parent, None if scoped else uid)
    finally:
        os._exit(0)


def guard(awaited: dict[int, int | None], parent: int, uid: int | None) -> None:
    """Wait for the command to end, and for a moment for the broker to say how it did, then kill."""
    os.setsid()
    detach()
    # The proof that kill(-1) from here does not reach the server is had while the server is there.
    proven = uid is None and not reaches(parent)
    for process, milliseconds in awaited.items():
        await_descriptor(process, milliseconds)
    if uid is not None:
        become(uid)
        proven = os.getresuid() == (uid, uid, uid) and uid != 0 and not reaches(1)
    if proven:
        os.kill(-1, signal.SIGKILL)
        for pid in map(int, process_names()):
            await_end(pid)


def await_descriptor(process: int, milliseconds: int | None = None) -> None:
    """Return when the process of a descriptor has ended; without `milliseconds` there is no limit."""
    poll = select.poll()
    poll.register(process, select.POLLIN)
    poll.poll(milliseconds)


def detach() -> None:
    """Let go of the folder and the standard files, and outlive requests to end."""
    os.chdir("/")
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in range(3):
        os.dup2(nowhere, descriptor)
    os.close(nowhere)


def await_end(pid: int) -> None:
    """Return when a process that is ours to signal has ended; at once for all others."""
    try:
        handle = os.pidfd_open(pid)
    except OSError:
        return
    if pid != os.getpid() and reaches(pid):
        await_descriptor(handle)
    os.close(handle)


def process_names() -> list[str]:
    """The process ids of this machine, as text."""
    return [name for name in os.listdir("/proc") if name.isdecimal()]  # noqa: PTH208  (pathlib doubles the start time)


def reaches(pid: int) -> bool:
    """Whether a signal to `pid` would be allowed, or cannot be ruled out."""
    try:
        os.kill(pid, 0)
    except OSError as error:
        return not isinstance(error, PermissionError)
    return True


def enter(folder: str | None) -> None:
    """Change to `folder`, with the rights of the command."""
    if folder is not None:
        try:
            os.chdir(folder)
        except OSError as error:
            raise WallError(f"{folder}: {error.strerror}") from None


def start(argv: list[str]) -> NoReturn:
    """Become the command, with the environment that is meant for it and nothing else."""
    environment = {name[len(PREFIX) :]: value for name, value in os.environb.items() if name.startswith(PREFIX)}
    environment |= {MARK: os.environb[MARK]} if MARK in os.environb else {}
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    try:
        os.execvpe(argv[0], argv, environment)  # noqa: S606  (no shell is wanted)
    except FileNotFoundError:
        fail(NOT_FOUND, f"{argv[0]} is not there")
    except OSError as error:
        fail(NOT_STARTED, f"{argv[0]} cannot be started: {error.strerror}")


def fail(status: int, why: str) -> NoReturn:
    """End with a line for the log."""
    os.write(2, f"launcher: {why}\n".encode(errors="replace"))
    os._exit(status)


if __name__ == "__main__":
    try:
        main(json.loads(sys.argv[1]))
    except WallError as error:
        fail(WALL_MISSING, str(error))
