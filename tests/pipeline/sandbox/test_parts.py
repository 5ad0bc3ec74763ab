"""The parts that tiers are made of."""

from __future__ import annotations

import errno
import os
import shutil
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from devpi_forkbuilder.errors import InfrastructureError
from devpi_forkbuilder.pipeline.process import disk_quota
from devpi_forkbuilder.pipeline.process.command import Command
from devpi_forkbuilder.pipeline.process.runner import run
from devpi_forkbuilder.pipeline.sandbox import ownership, reaper, seccomp, system_calls, uid_pool
from devpi_forkbuilder.pipeline.sandbox.unconfined import NoSandbox
from tests.pipeline.rooms import ROOT, reads_others
from tests.pipeline.watching import Lines, never

ALLOW, ABSENT, REFUSED, NO_FAMILY = 0x7FFF0000, 0x50026, 0x50001, 0x5000D


@contextmanager
def marked(mark: str, *, uid: int | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """A process with that mark, which has started for certain."""
    argv = ["/bin/sh", "-c", "echo up; read -r line"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(argv, env={reaper.MARK: mark}, user=uid, start_new_session=True, **pipes) as process:
        try:
            assert process.stdout
            assert process.stdout.readline() == b"up\n"
            yield process
        finally:
            process.kill()


MACHINES = {name: architecture for name, (architecture, _) in seccomp.MACHINES.items()}


def verdict(program: bytes, architecture: int, number: int, *arguments: int) -> int:
    """What the kernel would answer: an interpreter for the few instructions there are."""
    data = struct.pack("<IIQ6Q", number, architecture, 0, *arguments, *[0] * (6 - len(arguments)))
    steps = [struct.unpack_from("=HBBI", program, at) for at in range(0, len(program), 8)]
    held = position = 0
    while True:
        operation, yes, no, value = steps[position]
        position += 1
        if operation == 0x20:
            held = struct.unpack_from("<I", data, value)[0]
        elif operation == 0x54:
            held &= value
        elif operation == 0x06:
            return int(value)
        else:
            met = {0x15: held == value, 0x45: bool(held & value), 0x35: held >= value}[operation]
            position += yes if met else no


@pytest.mark.parametrize("machine", MACHINES)
class TestFilter:
    def ask(
        self,
        machine: str,
        name: str,
        *arguments: int,
        families: tuple[int, ...] = seccomp.LOCAL,
        sharing: seccomp.Sharing = seccomp.Sharing.NOTHING,
    ) -> int:
        architecture, column = seccomp.MACHINES[machine]
        tables = [table for table in vars(system_calls).values() if isinstance(table, dict)]
        (row,) = [table[name] for table in tables if name in table]
        program = seccomp.program(machine, families, sharing)
        assert program
        return verdict(program, architecture, row[column], *arguments)

    def test_program__namespaces(self, machine: str) -> None:
        for name in ("clone", "unshare"):
            assert self.ask(machine, name, 0x10000000) == REFUSED
            assert self.ask(machine, name, 0x00020000) == REFUSED
        assert self.ask(machine, "clone", 0x01200011) == ALLOW
        assert self.ask(machine, "unshare", 0x00000400) == ALLOW
        assert self.ask(machine, "clone3") == ABSENT

    def test_program__sockets(self, machine: str) -> None:
        stream, datagram = socket.SOCK_STREAM | socket.SOCK_CLOEXEC, socket.SOCK_DGRAM
        assert self.ask(machine, "socket", socket.AF_UNIX, datagram) == ALLOW
        assert self.ask(machine, "socket", socket.AF_INET, stream) == NO_FAMILY
        assert self.ask(machine, "socket", socket.AF_INET6, stream, families=seccomp.INTERNET) == ALLOW
        assert self.ask(machine, "socket", socket.AF_VSOCK, stream, families=seccomp.INTERNET) == NO_FAMILY
        shared = {"sharing": seccomp.Sharing.PROCESSES}
        assert self.ask(machine, "socket", socket.AF_UNIX, stream, **shared) == ALLOW
        assert self.ask(machine, "socket", socket.AF_UNIX, datagram, **shared) == NO_FAMILY
        assert self.ask(machine, "socket", socket.AF_INET, stream, **shared) == NO_FAMILY
        assert self.ask(machine, "socket", socket.AF_UNIX, stream, families=seccomp.INTERNET, **shared) == NO_FAMILY
        assert self.ask(machine, "connect", 3, **shared) == seccomp.NOTIFY
        assert self.ask(machine, "bind", 3, **shared) == seccomp.NOTIFY
        assert self.ask(machine, "connect", 3, families=seccomp.INTERNET, **shared) == ALLOW

    def test_program__others(self, machine: str) -> None:
        assert self.ask(machine, "io_uring_setup") == ABSENT
        for name in ("ptrace", "setns", "bpf", "keyctl"):
            assert self.ask(machine, name) == REFUSED

    def test_program__memory_that_nothing_counts(self, machine: str) -> None:
        for name in system_calls.UNCOUNTED:
            assert self.ask(machine, name) == ABSENT

    def test_program__other_processes(self, machine: str) -> None:
        for name in system_calls.OTHER_PROCESSES:
            assert self.ask(machine, name) == ALLOW
            assert self.ask(machine, name, sharing=seccomp.Sharing.PROCESSES) == REFUSED

    def test_program__of_the_calling_thread_alone(self, machine: str) -> None:
        """The kernel takes these arguments as `int`: what is in the upper half does not count for it either."""
        for sharing in (seccomp.Sharing.PROCESSES, seccomp.Sharing.FILES):
            for name in system_calls.OF_A_PROCESS:
                assert self.ask(machine, name, 0, 7, sharing=sharing) == ALLOW
                assert self.ask(machine, name, 1 << 32, sharing=sharing) == ALLOW
                for pid in (1, -1 & 0xFFFFFFFF, -1 & 0xFFFFFFFFFFFFFFFF, 1 << 32 | 5):
                    assert self.ask(machine, name, pid, sharing=sharing) == REFUSED
            for name, thread, others in (("setpriority", 0, (1, 2)), ("ioprio_set", 1, (0, 2, 3))):
                assert self.ask(machine, name, thread, 0, 5, sharing=sharing) == ALLOW
                assert self.ask(machine, name, thread, 9, 5, sharing=sharing) == REFUSED
                for other in others:
                    assert self.ask(machine, name, other, 0, 5, sharing=sharing) == REFUSED

    def test_program__attributes_are_handed_over(self, machine: str) -> None:
        _, column = seccomp.MACHINES[machine]
        for name in system_calls.numbers(system_calls.ATTRIBUTES, column):
            assert self.ask(machine, name, sharing=seccomp.Sharing.PROCESSES) == ALLOW
            assert self.ask(machine, name, sharing=seccomp.Sharing.FILES) == seccomp.NOTIFY
        for name in system_calls.numbers(system_calls.EXTENDED_ATTRIBUTES, column):
            assert self.ask(machine, name, sharing=seccomp.Sharing.FILES) == 0x50000 | errno.EOPNOTSUPP
        for name in system_calls.numbers(system_calls.WATCHES, column):
            assert self.ask(machine, name, sharing=seccomp.Sharing.FILES) == ABSENT

    def test_program__leases_and_owners_of_signals(self, machine: str) -> None:
        files = seccomp.Sharing.FILES
        for command in (8, 15, 1024, 1026, 1 << 32 | 1024):
            assert self.ask(machine, "fcntl", 3, command, sharing=files) == REFUSED
        for command in (0, 1, 3, 4, 6, 1030, 1031):
            assert self.ask(machine, "fcntl", 3, command, sharing=files) == ALLOW
        for request in (0x8901, 0x8902):
            assert self.ask(machine, "ioctl", 3, request, sharing=files) == REFUSED
        assert self.ask(machine, "ioctl", 3, 0x5401, sharing=files) == ALLOW

    def test_program__no_child_for_the_server(self, machine: str) -> None:
        assert self.ask(machine, "clone", 0x8000 | 17) == REFUSED

    def test_program__other_instruction_sets(self, machine: str) -> None:
        program = seccomp.program(machine, seccomp.LOCAL)
        assert program
        assert verdict(program, 0x40000003, 1) == ABSENT
        assert verdict(program, MACHINES[machine], 0x40000000 | 41, socket.AF_INET) == ABSENT
        assert verdict(program, MACHINES[machine], 0) == ALLOW


def test_program__unknown_machine() -> None:
    assert seccomp.program("m68k", seccomp.LOCAL) is None


class TestFolderSize:
    def test_folder_size__blocks_on_disk_and_entries(self, tmp_path: Path) -> None:
        (tmp_path / "big").write_bytes(b"x" * 1_000_000)
        with (tmp_path / "sparse").open("wb") as file:
            file.truncate(1 << 40)
        assert 1_000_000 <= disk_quota.folder_size(tmp_path, 1 << 30) < 1_100_000

    def test_folder_size__many_empty_files_count(self, tmp_path: Path) -> None:
        for number in range(100):
            (tmp_path / str(number)).touch()
        assert disk_quota.folder_size(tmp_path, 1 << 30) >= 100 * 4096

    def test_folder_size__stops_early(self, tmp_path: Path) -> None:
        for number in range(100):
            (tmp_path / str(number)).touch()
        assert disk_quota.folder_size(tmp_path, 10 * 4096) <= 12 * 4096

    def test_folder_size__links_are_not_followed(self, tmp_path: Path) -> None:
        (tmp_path / "loop").symlink_to(tmp_path)
        (tmp_path / "root").symlink_to("/")
        assert disk_quota.folder_size(tmp_path, 1 << 30) == 3 * 4096

    def test_folder_size__nothing_there(self, tmp_path: Path) -> None:
        assert disk_quota.folder_size(tmp_path / "gone", 1) == 0

    def test_folder_size__depth_past_the_longest_path(self, tmp_path: Path) -> None:
        here = os.open(tmp_path, os.O_RDONLY)
        for _ in range(60):
            os.mkdir("d" * 100, dir_fd=here)
            below = os.open("d" * 100, os.O_RDONLY, dir_fd=here)
            os.close(here)
            here = below
        os.close(here)
        assert 60 * 4096 < disk_quota.folder_size(tmp_path, 1 << 30) < 80 * 4096


@pytest.mark.skipif(not ROOT, reason="needs root")
class TestGive:
    def test_give__links_are_changed_and_not_followed(self, tmp_path: Path) -> None:
        work, outside = tmp_path / "work", tmp_path / "outside"
        work.mkdir()
        outside.touch()
        (work / "link").symlink_to(outside)
        ownership.give(work, 61000, 61000)
        assert (work / "link").lstat().st_uid == 61000
        assert work.stat().st_uid == 61000
        assert outside.stat().st_uid == 0

    def test_give__files_shared_with_a_cache_are_not_given(self, tmp_path: Path) -> None:
        work, cached = tmp_path / "work", tmp_path / "cached"
        work.mkdir()
        cached.touch()
        (work / "installed").hardlink_to(cached)
        ownership.give(work, 61000, 61000)
        assert cached.stat().st_uid == 0

    def test_clear__only_what_the_user_left(self, tmp_path: Path) -> None:
        for name, uid in (("theirs", 61000), ("ours", 0)):
            (tmp_path / name).touch()
            os.chown(tmp_path / name, uid, uid)
            (tmp_path / f"{name}-folder").mkdir()
            os.chown(tmp_path / f"{name}-folder", uid, uid)
        ownership.clear(tmp_path, 61000)
        assert sorted(path.name for path in tmp_path.iterdir()) == ["ours", "ours-folder"]


class TestSlots:
    FIRST = 61120

    def test_take__never_the_same_twice(self) -> None:
        first, second = uid_pool.take(self.FIRST, 2), uid_pool.take(self.FIRST, 2)
        try:
            assert (first.uid, second.uid) == (self.FIRST, self.FIRST + 1)
            with pytest.raises(InfrastructureError, match="in use"):
                uid_pool.take(self.FIRST, 2)
        finally:
            first.release()
            second.release()
        first.release()
        again = uid_pool.take(self.FIRST, 2)
        again.release()
        assert again.uid == self.FIRST

    def test_take__another_server_has_it(self) -> None:
        script = (
            "import sys; from devpi_forkbuilder.pipeline.sandbox import uid_pool;"
            f"slot = uid_pool.take({self.FIRST}, 8); print(slot.uid, flush=True); sys.stdin.read()"
        )
        argv = [sys.executable, "-c", script]
        with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
            assert other.stdin
            assert other.stdout
            theirs = int(other.stdout.readline())
            mine = uid_pool.take(self.FIRST, 8)
            mine.release()
            other.stdin.close()
        assert mine.uid != theirs

    def test_take__users_of_the_machine_are_left_alone(self) -> None:
        with pytest.raises(InfrastructureError):
            uid_pool.take(os.geteuid(), 1)
        with pytest.raises(InfrastructureError):
            uid_pool.take(0, 1)

    @pytest.mark.skipif(not (ROOT and reads_others()), reason="needs root that may read others' environment")
    def test_take__leaves_builds_of_a_server_in_another_network_namespace_alone(self) -> None:
        with marked(reaper.new_mark(), uid=self.FIRST) as theirs:
            mine = uid_pool.take(self.FIRST, 2)
            mine.release()
            assert mine.uid == self.FIRST + 1
            assert theirs.poll() is None

    def test_take__a_server_in_another_network_namespace_has_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        theirs = uid_pool.take(self.FIRST, 2)
        try:
            monkeypatch.setattr(uid_pool.socket.socket, "bind", lambda *_: None)  # names are free there
            mine = uid_pool.take(self.FIRST, 2)
            mine.release()
            assert mine.uid != theirs.uid
        finally:
            theirs.release()

    def test_take__without_a_place_for_lock_files(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        monkeypatch.setattr(uid_pool, "LOCKS", tmp_path / "file" / "locks")
        first, second = uid_pool.take(self.FIRST, 2), uid_pool.take(self.FIRST, 2)
        first.release()
        second.release()
        assert first.uid != second.uid

    @pytest.mark.skipif(not ROOT, reason="needs root")
    def test_take__lock_files_are_not_another_users(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        for kind in ("folder", "link"):
            place = tmp_path / kind
            if kind == "folder":
                place.mkdir()
                os.chown(place, 61000, 61000)
            else:
                place.symlink_to(tmp_path)
            monkeypatch.setattr(uid_pool, "LOCKS", place)
            uid_pool.take(self.FIRST, 2).release()
        assert sorted(path.name for path in tmp_path.rglob("*")) == ["folder", "link"]

    @pytest.mark.skipif(not ROOT, reason="needs root")
    def test_take__leaves_builds_of_a_server_in_a_container_alone(self) -> None:
        """Its processes have a namespace below ours, and nothing of them says more once they dropped their mark."""
        inner = f"exec setpriv --reuid={self.FIRST} --clear-groups -- sh -c 'echo up; exec sleep 60'"
        argv = ["unshare", "--pid", "--fork", "--kill-child", "sh", "-c", inner]
        with subprocess.Popen(argv, env={"PATH": os.environ["PATH"]}, stdout=subprocess.PIPE) as theirs:
            try:
                assert theirs.stdout
                if theirs.stdout.readline() != b"up\n":
                    pytest.skip("this root may not make process namespaces")
                uid_pool.take(self.FIRST, 1).release()
                reaper.until_gone(reaper.belongs_here(self.FIRST))
                assert reaper.is_there(reaper.belongs_to(self.FIRST))
                reaper.until_gone(reaper.belongs_to(self.FIRST))
                assert theirs.wait(10) != 0
            finally:
                theirs.kill()

    @pytest.mark.skipif(not ROOT, reason="needs root")
    def test_take__ends_what_a_dead_server_left(self) -> None:
        with marked("", uid=self.FIRST) as left:
            uid_pool.take(self.FIRST, 1).release()
            assert left.wait(10) == -9


class TestSweep:
    def test_marks__are_never_the_same(self) -> None:
        assert reaper.new_mark() != reaper.new_mark()

    def test_until_gone__marked_ones_only(self) -> None:
        mark, other = reaper.new_mark(), reaper.new_mark()
        with marked(mark) as ours, marked(other) as spared:
            reaper.until_gone(reaper.carries(mark))
            assert ours.wait(10) == -9
            assert spared.poll() is None

    def test_carries__a_longer_number_is_another_mark(self) -> None:
        mark = reaper.new_mark()
        with marked(f"{mark}0") as process:
            assert not reaper.carries(mark)(process.pid)

    def test_until_gone__first_thread_has_ended(self) -> None:
        script = (
            "import ctypes, threading, signal, sys\n"
            "def rest():\n    print('up', flush=True)\n    threading.Event().wait()\n"
            "threading.Thread(target=rest).start()\n"
            "ctypes.CDLL(None).syscall(60 if ctypes.sizeof(ctypes.c_void_p) == 8 else 1, 0)\n"
        )
        if os.uname().machine != "x86_64":
            pytest.skip("the number of exit(2) is another")
        mark = reaper.new_mark()
        argv = [sys.executable, "-c", script]
        with subprocess.Popen(argv, env={reaper.MARK: mark}, stdout=subprocess.PIPE) as process:
            try:
                assert process.stdout
                assert process.stdout.readline() == b"up\n"
                reaper.until_gone(reaper.carries(mark))
                assert process.wait(10) == -9
            finally:
                process.kill()

    def test_stale__never_what_a_server_in_a_container_has_marked(self) -> None:
        pid, start, number, namespace = reaper.new_mark().split("-")
        assert reaper.is_stale(f"{pid}-1-{number}-{namespace}")
        assert not reaper.is_stale(f"{pid}-{start}-{number}-{namespace}")
        assert not reaper.is_stale(f"{pid}-1-{number}-{int(namespace) + 1}")

    def test_abandoned__marks_of_a_server_that_is_gone(self) -> None:
        start = reaper._start_time(os.getpid())
        cases = {f"{os.getpid()}-{start}-1": False, f"{os.getpid()}-1-1": True, "999999999-1-1": True, "x": True}
        for mark, expected in cases.items():
            with marked(mark) as process:
                assert reaper.abandoned(process.pid) is expected
        assert not reaper.abandoned(os.getpid())


class TestNone:
    def test_end__marked_daemon_is_dead(self, tmp_path: Path) -> None:
        token = f"daemon-of-none-{os.getpid()}"
        script = f"setsid sh -c 'sleep 600; : {token}' < /dev/null > /dev/null 2>&1 & echo $!"
        box = NoSandbox().box(tmp_path)
        command = Command(("/bin/sh", "-c", script), {"PATH": os.environ["PATH"]}, tmp_path, 20, "daemon")
        log = Lines()
        assert run(box.wrap(command, network=False), log=log, cancelled=never).returncode == 0
        box.end()
        assert not Path(f"/proc/{int(log.written)}").exists() or reaper._status(int(log.written))["State"][0] == "Z"
        box.end()

    def test_wrap__limits_are_kept(self, tmp_path: Path) -> None:
        box = NoSandbox().box(tmp_path)
        log = Lines()
        command = Command(("/bin/sh", "-c", "ulimit -c; ulimit -n"), {"PATH": "/bin"}, tmp_path, 20, "limits")
        run(box.wrap(command, network=False), log=log, cancelled=never)
        assert log.written == b"0\n4096\n"
        assert shutil.which("sh")
