"""What a build does to processes beside it, and leaves outside of every folder, in each tier."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from devpi_forkbuilder.pipeline.sandbox import seccomp, system_calls
from tests.pipeline.rooms import Room, room
from tests.pipeline.sandbox.test_attributes import CALLS, python

__all__ = ["room"]

COLUMN = seccomp.MACHINES[os.uname().machine][1]
SHARED = ("uid", "landlock")


def number(name: str) -> int:
    tables = (getattr(system_calls, table) for table in dir(system_calls))
    (row,) = [table[name] for table in tables if isinstance(table, dict) and name in table]
    found = row[COLUMN]
    assert isinstance(found, int)
    return found


@contextmanager
def neighbour(room: Room) -> Iterator[int]:
    """A process of the server's user, and of the build's where that is another: root could change itself."""
    user = room.server_uid if room.demoted else None
    with subprocess.Popen(["/bin/sleep", "600"], user=user, group=user) as process:
        try:
            yield process.pid
        finally:
            process.kill()


def state(pid: int) -> tuple[object, ...]:
    return (
        Path(f"/proc/{pid}/limits").read_text(),
        os.getpriority(os.PRIO_PROCESS, pid),
        os.sched_getaffinity(pid),
        os.sched_getscheduler(pid),
        subprocess.run(["ionice", "-p", str(pid)], capture_output=True, check=True).stdout,
        Path(f"/proc/{pid}/oom_score_adj").read_text(),
    )


ATTACKS = {
    "prlimit64": "victim, 0, struct.pack('=QQ', 1, 1), None",
    "setpriority": "0, victim, 19",
    "sched_setaffinity": "victim, 8, struct.pack('=Q', 1)",
    "sched_setscheduler": "victim, 5, struct.pack('=I', 0)",
    "sched_setparam": "victim, struct.pack('=I', 0)",
    "sched_setattr": "victim, struct.pack('=IIQiIQQQ', 48, 5, 0, 0, 0, 0, 0, 0), 0",
    "ioprio_set": "1, victim, 3 << 13",
    "migrate_pages": "victim, 0, None, None",
    "move_pages": "victim, 0, None, None, None, 0",
    "kcmp": "victim, os.getpid(), 2, 0, 0",
    "pidfd_open": "victim, 0",
}


@pytest.mark.parametrize("room", SHARED, indirect=True)
class TestOtherProcesses:
    def test_box__nothing_of_the_servers_processes_is_changed(self, room: Room) -> None:
        tries = [
            f"attempt('{name}', lambda: raw({number(name)}, {arguments}))".replace("victim", "int(sys.argv[1])")
            for name, arguments in ATTACKS.items()
        ]
        with neighbour(room) as pid, room.box() as box:
            before = state(pid)
            status, text = box.python(python(CALLS, *tries), str(pid))
            assert status == 0, text
            assert state(pid) == before
        assert text.count("Error") == len(ATTACKS), text

    def test_box__nothing_of_all_processes_of_the_user_or_group_is_changed(self, room: Room) -> None:
        script = python(
            CALLS,
            "for kind in (1, 2):",
            "    for who in (0, os.getuid(), os.getpgid(0)):",
            f"        attempt('priority', lambda: raw({number('setpriority')}, kind, who, 19))",
            f"        attempt('io', lambda: raw({number('ioprio_set')}, kind + 1, who, 3 << 13))",
        )
        with neighbour(room) as pid, room.box() as box:
            before = state(pid)
            status, text = box.python(script)
            assert status == 0, text
            assert state(pid) == before
        assert "DONE" not in text

    def test_box__a_process_may_change_itself(self, room: Room) -> None:
        script = python(
            CALLS,
            """
            import resource
            resource.setrlimit(resource.RLIMIT_NOFILE, (50, 50))
            os.nice(3); print(os.getpriority(os.PRIO_PROCESS, 0))
            os.sched_setaffinity(0, os.sched_getaffinity(0))
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
            print(resource.getrlimit(resource.RLIMIT_NOFILE))
            """,
            f"raw({number('ioprio_set')}, 1, 0, 3 << 13)",
        )
        with room.box() as box:
            status, text = box.python(script)
        assert (status, text) == (0, "3\n(50, 50)\n")

    def test_box__no_child_is_left_to_the_server(self, room: Room) -> None:
        """CLONE_PARENT: nobody waits for such a process, and its number stays taken for as long as the server runs."""
        clone = system_calls.ESCAPES["clone"][COLUMN]
        script = python(CALLS, f"attempt('clone', lambda: raw({clone}, 0x8000 | 17, 0, 0, 0, 0) or os._exit(0))")
        with room.box() as box:
            _, text = box.python(script)
        assert text == "clone PermissionError\n"


IPC = {
    "shmget": "0, 1 << 20, 0o1666",
    "semget": "0, 1, 0o1666",
    "msgget": "0, 0o1666",
    "mq_open": "b'forkbuilder-left', 0o102, 0o600, None",
    "memfd_create": "b'left', 0",
}


def segments() -> list[str]:
    return [line for kind in ("shm", "sem", "msg") for line in Path(f"/proc/sysvipc/{kind}").read_text().splitlines()]


def test_box__no_memory_or_queue_outside_of_processes(room: Room) -> None:
    """System V segments are not counted as memory of a process, and outlive it (svipc(7)); so do queues."""
    tries = [f"attempt('{name}', lambda: raw({number(name)}, {arguments}))" for name, arguments in IPC.items()]
    tries += [
        f"attempt('at', lambda: raw({number(name)}, 0, 0, 0))" for name in ("shmat", "shmctl", "semctl", "msgctl")
    ]
    before = segments()
    with room.box() as box:
        status, text = box.python(python(CALLS, *tries))
    assert status == 0, text
    assert text.count("Error") == len(tries), text
    assert segments() == before


@pytest.mark.parametrize("room", ["landlock"], indirect=True)
def test_box__names_in_closed_folders_are_not_told(room: Room) -> None:
    folder = room.file("server/secret-project-1.0.whl", "").parent
    script = python(
        "libc = ctypes.CDLL(None)",
        "attempt('list', lambda: os.listdir(sys.argv[1]))",
        "print(libc.inotify_init1(0), libc.fanotify_init(0, 0))",
    )
    with room.box() as box:
        _, text = box.python(script, str(folder))
    assert text == "list PermissionError\n-1 -1\n"


@pytest.mark.parametrize("room", ["landlock"], indirect=True)
def test_box__the_servers_programs_are_not_held(room: Room) -> None:
    """A lease makes whoever opens the file wait (fcntl(2), F_SETLEASE): the server, when it starts uv."""
    tool = room.file("shared/uv", "", 0o755)
    script = python(
        "import fcntl, socket, struct",
        "handle = os.open(sys.argv[1], os.O_RDONLY)",
        "for kind in (fcntl.F_RDLCK, fcntl.F_WRLCK):",
        "    attempt('lease', lambda: fcntl.fcntl(handle, fcntl.F_SETLEASE, kind))",
        "ours, _ = socket.socketpair()",
        "attempt('owner', lambda: fcntl.fcntl(ours, fcntl.F_SETOWN, int(sys.argv[2])))",
        "attempt('owner', lambda: fcntl.ioctl(ours, 0x8901, struct.pack('i', int(sys.argv[2]))))",
    )
    with neighbour(room) as pid, room.box(readable=(tool.parent,)) as box:
        _, text = box.python(script, str(tool), str(pid))
    assert text == "lease PermissionError\n" * 2 + "owner PermissionError\n" * 2


@pytest.mark.parametrize("room", SHARED, indirect=True)
def test_box__takes_no_name_that_the_whole_machine_shares(room: Room) -> None:
    """Such names are locks, also this program's own for the users of builds (unix(7), abstract sockets)."""
    script = python(
        "for name in ('\\0devpi-forkbuilder-uid-61127', '', '\\0'):",
        "    attempt('bind', lambda: socket.socket(socket.AF_UNIX).bind(name))",
        "attempt('outside', lambda: socket.socket(socket.AF_UNIX).bind('../there'))",
    )
    with room.box() as box:
        _, text = box.python(script)
    assert text == "bind PermissionError\n" * 3 + "outside PermissionError\n"
