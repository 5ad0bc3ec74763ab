"""Modes, owners and times: a build changes those of its own files, in every tier, and never those of others."""

from __future__ import annotations

import os
import stat
import textwrap
from pathlib import Path

import pytest

from devpi_forkbuilder.pipeline.sandbox import seccomp
from tests.pipeline.rooms import Room, room
from tests.pipeline.sandbox.test_contract import CANARY, TRY

__all__ = ["room"]

VICTIM = "victim = sys.argv[1]; folder = os.path.dirname(victim)"
CALLS = """
import ctypes, os, struct
libc = ctypes.CDLL(None, use_errno=True)
AT = -100
times = struct.pack('=qqqq', 5, 0, 5, 0)
attr = ctypes.create_string_buffer(24)
def raw(number, *arguments):
    if libc.syscall(number, *arguments) < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
"""


def python(*parts: str) -> str:
    return TRY + "\n".join(textwrap.dedent(part) if part.startswith("\n") else part for part in parts)


@pytest.fixture
def victim(room: Room) -> Path:
    """A file of the server's, such as the one with root's password."""
    path = room.file("server/root", CANARY, 0o600)
    path.parent.chmod(0o711)
    os.utime(path, (1_000_000_000, 1_000_000_000))
    return path


def as_it_was(victim: Path) -> bool:
    found = victim.stat()
    return (stat.S_IMODE(found.st_mode), found.st_mtime, victim.parent.stat().st_mode & 0o777) == (
        0o600,
        1_000_000_000,
        0o711,
    )


def test_attributes__of_the_servers_files_are_not_changed(room: Room, victim: Path) -> None:
    script = python(
        VICTIM,
        "os.symlink(victim, 'link'); os.symlink(folder, 'up')",
        "here = os.open('.', os.O_RDONLY)",
        "relative = os.path.relpath(victim)",
        "for name in (victim, folder, 'link', relative, 'up/root'):",
        "    attempt('mode of ' + name, lambda: os.chmod(name, 0o777))",
        "    attempt('times of ' + name, lambda: os.utime(name, (5, 5)))",
        "    attempt('owner of ' + name, lambda: os.chown(name, -1, os.getgid()))",
        "    attempt('mode at ' + name, lambda: os.chmod(name, 0o777, dir_fd=here))",
        "    attempt('times at ' + name, lambda: os.utime(name, (5, 5), dir_fd=here))",
        "    attempt('xattr of ' + name, lambda: os.setxattr(name, 'user.x', b'x'))",
        "handle = os.open(victim, os.O_PATH)" if room.name in ("uid", "landlock") else "handle = -1",
        "for name in (f'/proc/self/fd/{handle}', f'/proc/{os.getpid()}/fd/{handle}', f'/dev/fd/{handle}'):",
        "    attempt('mode of ' + name, lambda: os.chmod(name, 0o777))",
        "    attempt('times of ' + name, lambda: os.utime(name, (5, 5)))",
        "attempt('mode of handle', lambda: os.fchmod(handle, 0o777))",
    )
    with room.box() as box:
        status, text = box.python(script, str(victim))
    assert status == 0, text
    assert "DONE" not in text
    assert as_it_was(victim)


def test_attributes__by_every_system_call(room: Room, victim: Path) -> None:
    """Those that the C library does not use too, on the very file and through a descriptor of it."""
    numbers = {name: number for number, name in seccomp.handed_over(os.uname().machine).items()}
    arguments = {
        "chmod": "path, 0o777",
        "fchmodat": "AT, path, 0o777",
        "fchmodat2": "AT, path, 0o777, 0",
        "chown": "path, -1, os.getgid()",
        "lchown": "path, -1, os.getgid()",
        "fchownat": "AT, path, -1, os.getgid(), 0",
        "utime": "path, times",
        "utimes": "path, times",
        "futimesat": "AT, path, times",
        "utimensat": "AT, path, times, 0",
    }
    tries = [
        f"attempt('{name}', lambda: raw({numbers[name]}, {given}))"
        for name, given in arguments.items()
        if name in numbers
    ]
    script = python(VICTIM, CALLS, "path = os.fsencode(victim)", *tries)
    with room.box() as box:
        status, text = box.python(script, str(victim))
    assert status == 0, text
    assert text.count("Error") == len(tries), text
    assert as_it_was(victim)


def test_attributes__links_that_change_while_they_are_followed(room: Room, victim: Path) -> None:
    """The race that a judgement by name would lose."""
    script = python(
        VICTIM,
        """
        import threading, time
        open('mine', 'w').close()
        os.mkdir('dir'); open('dir/root', 'w').close()
        until = time.monotonic() + 2
        def swap():
            while time.monotonic() < until:
                for target in ('mine', victim):
                    os.symlink(target, 'new'); os.rename('new', 'link')
                for target in ('dir', folder):
                    os.symlink(target, 'newer'); os.rename('newer', 'way')
        thread = threading.Thread(target=swap)
        thread.start()
        done = 0
        while time.monotonic() < until:
            for name in ('link', 'way/root'):
                try:
                    os.chmod(name, 0o777); os.utime(name, (5, 5)); done += 1
                except OSError:
                    pass
        thread.join()
        print(done > 0)
        """,
    )
    with room.box() as box:
        status, text = box.python(script, str(victim))
    assert status == 0, text
    assert text.endswith("True\n")
    assert as_it_was(victim)


def test_attributes__of_the_builds_own_files_are_changed(room: Room) -> None:
    script = python(
        CALLS,
        """
        import shutil, subprocess
        os.makedirs('a/b'); open('a/b/f', 'w').write('x')
        os.symlink('f', 'a/b/l')
        os.chmod('a/b/f', 0o751); print(oct(os.stat('a/b/f').st_mode))
        os.utime('a/b/f', (11, 12)); print(os.stat('a/b/f').st_mtime)
        os.utime('a/b/f', ns=(11, 13_000_000_001)); print(os.stat('a/b/f').st_mtime_ns)
        os.utime('a/b/l', (1, 14), follow_symlinks=False); print(os.lstat('a/b/l').st_mtime, os.stat('a/b/f').st_mtime)
        with open('a/b/f') as file:
            os.fchmod(file.fileno(), 0o640); print(oct(os.fstat(file.fileno()).st_mode))
            os.utime(file.fileno(), (1, 15)); print(os.fstat(file.fileno()).st_mtime)
            os.chmod(f'/proc/self/fd/{file.fileno()}', 0o604); print(oct(os.fstat(file.fileno()).st_mode))
        here = os.open('a', os.O_RDONLY)
        os.chmod('b/f', 0o700, dir_fd=here); print(oct(os.stat('a/b/f').st_mode))
        os.chown('a/b/f', os.getuid(), os.getgid())
        os.lchown('a/b/l', -1, -1)
        shutil.copytree('a', 'c', symlinks=True); print(oct(os.stat('c/b/f').st_mode), os.stat('c/b/f').st_mtime)
        subprocess.run('cp -a a d && chmod -R go-w d && touch d/b/f && install -m 755 a/b/f i', shell=True, check=True)
        print(oct(os.stat('i').st_mode), os.stat('d/b/f').st_mtime > 1e9)
        os.utime('a/b/f'); print(os.stat('a/b/f').st_mtime > 1e9)
        try:
            os.chmod('not there', 0)
        except FileNotFoundError:
            print('not there')
        os.chmod('a/b', 0); os.chmod('a/b', 0o700)
        """,
    )
    with room.box() as box:
        status, text = box.python(script)
    assert status == 0, text
    assert text.splitlines() == [
        *("0o100751", "12.0", "13000000001", "14.0 13.000000001", "0o100640", "15.0", "0o100604", "0o100700"),
        *("0o100700 15.0", "0o100755 True", "True", "not there"),
    ]


def test_attributes__by_every_system_call_of_the_builds_own_files(room: Room) -> None:
    numbers = {name: number for number, name in seccomp.handed_over(os.uname().machine).items()}
    if "utime" not in numbers:
        pytest.skip("the architecture has the newer calls only")
    script = python(
        CALLS,
        f"""
        open('f', 'w').close()
        handle = os.open('f', os.O_RDWR)
        raw({numbers["utime"]}, b'f', struct.pack('=qq', 3, 4)); print(os.stat('f').st_mtime)
        raw({numbers["utimes"]}, b'f', struct.pack('=qqqq', 3, 0, 5, 500000)); print(os.stat('f').st_mtime)
        raw({numbers["futimesat"]}, handle, None, struct.pack('=qqqq', 3, 0, 6, 0)); print(os.stat('f').st_mtime)
        raw({numbers["utimensat"]}, handle, b'', struct.pack('=qqqq', 3, 0, 7, 0), 0x1000); print(os.stat('f').st_mtime)
        raw({numbers["utimensat"]}, AT, b'f', struct.pack('=qqqq', 3, 0x3ffffffe, 8, 0), 0)
        print(os.stat('f').st_mtime)
        raw({numbers["fchownat"]}, handle, b'', -1, -1, 0x1000)
        raw({numbers["fchown"]}, handle, -1, -1)
        for what, action in {{
            'too long': lambda: os.chmod('x' * 5000, 0),
            'bad address': lambda: raw({numbers["chmod"]}, 1, 0),
            'bad times': lambda: raw({numbers["utimes"]}, b'f', struct.pack('=qqqq', 3, 0, 5, 5000000)),
            'closed': lambda: raw({numbers["fchmod"]}, 99, 0),
            'flags': lambda: raw({numbers["fchownat"]}, AT, b'f', -1, -1, 0x4000),
            'empty': lambda: raw({numbers["chmod"]}, b'', 0),
        }}.items():
            try:
                action()
                print(what, 'DONE')
            except OSError as error:
                print(what, error.errno)
        """,
    )
    with room.box() as box:
        status, text = box.python(script)
    assert status == 0, text
    assert text.splitlines() == [
        *("4.0", "5.5", "6.0", "7.0", "8.0"),
        *("too long 36", "bad address 14", "bad times 22", "closed 9", "flags 22", "empty 2"),
    ]


def test_attributes__from_many_processes_at_once(room: Room) -> None:
    script = """
        import os
        for child in range(20):
            if os.fork() == 0:
                os.mkdir(str(child)); os.chdir(str(child))
                for number in range(50):
                    open(str(number), 'w').close(); os.chmod(str(number), 0o600 + number)
                os._exit(0)
        for child in range(20):
            os.wait()
        names = [(f'{child}/{number}', number) for child in range(20) for number in range(50)]
        print(sum(os.stat(name).st_mode & 0o777 == 0o600 + number for name, number in names))
    """
    with room.box() as box:
        status, text = box.python(python(script))
    assert (status, text) == (0, "1000\n")


@pytest.mark.parametrize("room", ["landlock"], indirect=True)
class TestBroker:
    def test_end__of_the_command_is_passed_on(self, room: Room) -> None:
        with room.box() as box:
            assert box.shell("exit 7")[0] == 7
            assert box.shell("kill -9 $$")[0] == -9
            assert box.shell("kill -15 $$")[0] == -15

    def test_broker__is_out_of_reach(self, room: Room) -> None:
        script = python(
            "parent = os.getppid()",
            "attempt('signal', lambda: os.kill(parent, 0))",
            "attempt('memory', lambda: open(f'/proc/{parent}/mem', 'rb').read(1))",
            "attempt('files', lambda: os.readlink(f'/proc/{parent}/fd/3'))",
            "print(open(f'/proc/{parent}/cmdline').read().count('broker') > 0)",
        )
        with room.box() as box:
            status, text = box.python(script)
        assert status == 0, text
        assert text.endswith("True\n")
        assert "DONE" not in text

    def test_broker__does_nothing_for_a_process_whose_memory_is_closed(self, room: Room, victim: Path) -> None:
        script = python(
            "ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)",
            "open('f', 'w').close()",
            "attempt('own', lambda: os.chmod('f', 0o777))",
            f"attempt('other', lambda: os.chmod({str(victim)!r}, 0o777))",
        )
        with room.box() as box:
            _, text = box.python(script)
        assert text == "own PermissionError\nother PermissionError\n"

    def test_broker__filters_of_the_build_itself_take_nothing_away(self, room: Room, victim: Path) -> None:
        """A filter with a listener of its own would decide instead (seccomp_unotify(2)); the kernel allows one only."""
        script = python(
            """
            import struct
            libc = ctypes.CDLL(None, use_errno=True)
            code = struct.pack('=HBBI', 6, 0, 0, int(sys.argv[2]))
            held = ctypes.create_string_buffer(code, len(code))
            program = ctypes.create_string_buffer(struct.pack('@HP', 1, ctypes.addressof(held)))
            """,
            "print(libc.syscall(int(sys.argv[3]), 1, int(sys.argv[4]), program))",
            "attempt('chmod', lambda: os.chmod(sys.argv[1], 0o777))",
        )
        call = str(seccomp.listening_call(os.uname().machine))
        with room.box() as box:
            _, text = box.python(script, str(victim), str(0x7FC00000), call, "8")
            assert text.startswith("-1\n")
            _, text = box.python(script, str(victim), str(0x7FFF0000), call, "0")
            assert text == "0\nchmod PermissionError\n"
        assert as_it_was(victim)
