"""What every tier has to hold against: real hostile programs, run in each tier that this machine has."""

from __future__ import annotations

import os
import re
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import textwrap
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from devpi_forkbuilder.errors import LimitsError
from devpi_forkbuilder.pipeline.sandbox import reaper
from devpi_forkbuilder.pipeline.sandbox.rlimits import ResourceLimits
from tests.pipeline.rooms import READY, Room, room, without_sockets_of_others

__all__ = ["room"]

CANARY = "canary-5c1e"
GCC = shutil.which("gcc")

# Prints the error's name, or what it got.
TRY = """
import ctypes, os, socket, sys
def attempt(what, action, *arguments):
    try:
        print(what, 'DONE', action(*arguments))
    except Exception as error:
        print(what, type(error).__name__)
"""


def python(*lines: str) -> str:
    return TRY + textwrap.dedent("\n".join(lines))


def cmdlines() -> str:
    return "".join(_text(path) for path in Path("/proc").glob("[0-9]*/cmdline"))


def _text(path: Path) -> str:
    try:
        return path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


@contextmanager
def server(room: Room) -> Iterator[int]:
    """A process of the server's user with a secret in its environment."""
    user = room.server_uid if room.demoted else None
    argv = ["/bin/sh", "-c", "read -r line"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, env={"TOKEN": CANARY}, user=user, group=user) as process:
        assert process.stdin
        yield process.pid
        process.stdin.close()


def open_gate(work: Path) -> Callable[[], None]:
    """Lets a command go on that waits at the fifo `gate` in its folder."""

    def opens() -> None:
        os.close(os.open(work / "gate", os.O_WRONLY))

    return opens


class TestFiles:
    @pytest.mark.parametrize("mode", [0o600, 0o644])
    def test_box__file_outside_is_not_read(self, room: Room, mode: int) -> None:
        secret = room.file("server/secret", CANARY, mode)
        with room.box() as box:
            _, text = box.python(python("attempt('read', lambda: open(sys.argv[1]).read())"), str(secret))
        assert "Error" in text
        assert CANARY not in text

    def test_box__keys_of_the_servers_user_are_not_read(self, room: Room) -> None:
        key = room.file("home/.ssh/id_ed25519", CANARY, 0o600)
        script = python(
            "attempt('list', lambda: os.listdir(os.path.dirname(sys.argv[1])))",
            "attempt('read', lambda: open(sys.argv[1]).read())",
            "attempt('real', lambda: os.listdir(sys.argv[2]))",
        )
        with room.box() as box:
            _, text = box.python(script, str(key), "/etc/ssl/private")
        assert "DONE" not in text
        assert CANARY not in text

    def test_box__other_builds_folder_is_not_seen(self, room: Room) -> None:
        with room.box("1") as first, room.box("2") as second:
            assert first.shell(f"echo {CANARY} > mine; chmod 777 . mine")[0] == 0
            script = python(
                "attempt('list', lambda: os.listdir(sys.argv[1]))",
                "attempt('read', lambda: open(sys.argv[1] + '/mine').read())",
                "attempt('write', lambda: open(sys.argv[1] + '/planted', 'w'))",
            )
            _, text = second.python(script, str(first.work))
            assert "DONE" not in text
            assert sorted(path.name for path in first.work.iterdir()) == ["mine"]

    def test_box__nothing_outside_is_changed(self, room: Room) -> None:
        victim = room.file("server/database", CANARY, 0o666)
        victim.parent.chmod(0o777)
        script = python(
            "victim = sys.argv[1]; folder = os.path.dirname(victim)",
            "attempt('append', lambda: open(victim, 'a').write('x'))",
            "attempt('cut', lambda: os.truncate(victim, 0))",
            "attempt('cut on opening', lambda: os.open(victim, os.O_RDONLY | os.O_TRUNC))",
            "attempt('create', lambda: open(folder + '/new', 'w'))",
            "attempt('folder', lambda: os.mkdir(folder + '/dir'))",
            "attempt('rename', lambda: os.rename(victim, folder + '/moved'))",
            "attempt('unlink', lambda: os.unlink(victim))",
            "attempt('link', lambda: os.link(victim, 'linked'))",
            "attempt('symlink', lambda: os.symlink(victim, 'out'))",
            "attempt('through', lambda: open('out', 'a').write('x'))",
        )
        with room.box() as box:
            _, text = box.python(script, str(victim))
        assert re.findall(r"^(.*) DONE", text, re.MULTILINE) == ["symlink"], text
        assert [path.name for path in victim.parent.iterdir()] == ["database"]
        assert victim.read_text() == CANARY

    def test_box__system_is_read_only(self, room: Room) -> None:
        with room.box() as box:
            _, text = box.shell("for d in / /usr /usr/bin /etc /var/tmp /run /proc/sys/kernel; do : | tee $d/x; done")
            assert text.count("tee:") == 7, text

    def test_box__readable_can_be_read_and_not_written(self, room: Room) -> None:
        shared = room.file("shared/tool", "#!/bin/sh\necho it runs\n", 0o755)
        with room.box(readable=(shared.parent,)) as box:
            _, text = box.shell(f"{shared}; echo x >> {shared}; rm -f {shared}; touch {shared.parent}/y")
        assert text.startswith("it runs")
        assert shared.read_text().endswith("runs\n")
        assert [path.name for path in shared.parent.iterdir()] == ["tool"]

    def test_box__work_folder_takes_everything_a_build_does(self, room: Room) -> None:
        script = "mkdir a b; echo 1 > a/f; mv a/f b/f; ln b/f b/g; ln -s f b/h; rm -r a; cat b/h; : > b/f; mkfifo b/p"
        with room.box() as box:
            assert box.shell(script) == (0, "1\n")
            box.box.end()
            assert sorted(path.name for path in (box.work / "b").iterdir()) == ["f", "g", "h", "p"]

    def test_box__files_of_later_steps_belong_to_the_build_too(self, room: Room) -> None:
        with room.box() as box:
            box.shell("mkdir made; echo 1 > made/one")
            (box.work / "between").mkdir()
            (box.work / "between" / "two").write_text("2")
            room._own(box.work / "between", box.work / "between" / "two")
            assert box.shell("cat made/one; echo >> between/two && echo 3 > between/three") == (0, "1\n")


class TestProcesses:
    def test_box__servers_environment_and_memory_are_not_read(self, room: Room) -> None:
        script = python(
            "for name in ('environ', 'mem', 'maps'):",
            "    attempt(name, lambda: len(open(f'/proc/{sys.argv[1]}/{name}', 'rb').read(1)))",
            "for name in ('fd/0', 'cwd', 'exe'):",
            "    attempt(name, lambda: os.readlink(f'/proc/{sys.argv[1]}/{name}'))",
            "attempt('root', lambda: os.listdir(f'/proc/{sys.argv[1]}/root'))",
        )
        with server(room) as pid, room.box() as box:
            status, text = box.python(script, str(pid))
        assert status == 0, text
        assert len(re.findall("Error$", text, re.MULTILINE)) == 7, text

    def test_box__two_at_once_do_not_see_each_other(self, room: Room) -> None:
        spy = python(
            """
            def peek(path):
                with open(path, 'rb', opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
                    return file.read()
            for pid in map(int, filter(str.isdecimal, os.listdir('/proc'))):
                if pid not in (os.getpid(), os.getppid(), 1):
                    attempt(f'{pid} environment', lambda: peek(f'/proc/{pid}/environ'))
                    attempt(f'{pid} folder', lambda: peek(f'/proc/{pid}/cwd/gate'))
                    attempt(f'{pid} files', lambda: os.readlink(f'/proc/{pid}/fd/0'))
                    attempt(f'{pid} kill', lambda: os.kill(pid, 9))
            """
        )
        found: list[str] = []
        with room.box("1") as first, room.box("2") as second:
            gate = open_gate(first.work)

            def look() -> None:
                found.append(second.python(spy)[1])
                gate()

            waiting = f"mkfifo gate; printf '{READY.decode()}'; read -r line < gate; echo alive"
            command = first.command("/bin/sh", "-c", waiting, env={"PATH": "/usr/bin:/bin", "TOKEN": CANARY})
            finished, text = first.run(command, when_ready=look)
        assert finished.returncode == 0
        assert text.endswith("alive\n")
        assert "DONE" not in found[0]
        assert CANARY not in found[0]

    def test_box__server_is_not_signalled(self, room: Room) -> None:
        with room.box() as box:
            _, text = box.python(python(f"attempt('kill', lambda: os.kill({os.getpid()}, 0))"))
        assert "DONE" not in text

    def test_box__no_capability_and_none_to_gain(self, room: Room) -> None:
        with room.box() as box:
            _, text = box.shell("cat /proc/self/status; id -u")
        for name in ("CapPrm", "CapEff", "CapAmb"):
            assert re.search(rf"^{name}:\s*0+$", text, re.MULTILINE), text
        assert re.search(r"^NoNewPrivs:\s*1$", text, re.MULTILINE)
        assert re.search(r"^Seccomp:\s*2$", text, re.MULTILINE)
        assert text.splitlines()[-1] != "0"

    def test_box__no_namespace_of_its_own(self, room: Room) -> None:
        script = python(
            """
            libc = ctypes.CDLL(None, use_errno=True)
            for name, flag in (('user', 0x10000000), ('mount', 0x20000), ('net', 0x40000000), ('pid', 0x20000000)):
                print(name, libc.unshare(flag | 0x10000000))
                print(name, 'clone', libc.syscall(56 if os.uname().machine == 'x86_64' else 220, flag | 17, 0, 0, 0, 0))
            """
        )
        with room.box() as box:
            _, text = box.python(script)
        assert text.split("\n")[:-1] == [
            f"{name} {how}-1" for name in ("user", "mount", "net", "pid") for how in ("", "clone ")
        ]

    def test_box__argument_lists_show_no_value_of_the_environment(self, room: Room) -> None:
        seen: list[str] = []
        env = {"PATH": "/usr/bin:/bin", "TOKEN": f"{CANARY} of the environment"}
        with room.box() as box:
            gate = open_gate(box.work)

            def look() -> None:
                seen.append(cmdlines())
                gate()

            waiting = f"mkfifo gate; printf '{READY.decode()}'; read -r line < gate; echo $TOKEN"
            _, text = box.run(box.command("/bin/sh", "-c", waiting, env=env), when_ready=look)
        assert text.endswith(f"{CANARY} of the environment\n")
        assert "mkfifo gate" in seen[0]
        assert f"{CANARY} of" not in seen[0]


class TestEnvironment:
    def test_box__environment_is_what_was_given(self, room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SERVER_SECRET", CANARY)
        given = {"A": "1 2\n3", "PATH": "/usr/bin", "LC_ALL": "C", "EMPTY": "", "PYTHONPATH": "x"}
        with room.box() as box:
            _, text = box.run(box.command("/usr/bin/env", "-0", env=given))
        seen = dict(entry.split("=", 1) for entry in text.split("\0") if entry)
        assert seen.pop(reaper.MARK)
        assert seen == given

    @pytest.mark.skipif(GCC is None, reason="needs gcc")
    def test_box__libraries_of_the_environment_do_not_work_before_the_walls_do(self, room: Room) -> None:
        source = (
            "#include <stdio.h>\n#include <stdlib.h>\n__attribute__((constructor)) void f(void)"
            '{ const char *p = getenv("MARKER"); if (!p) p = getenv("FORKBUILDER_ENV_MARKER");'
            ' FILE *m = p ? fopen(p, "w") : 0; puts(m ? "ESCAPED" : "held"); }\n'
        )
        marker = room.file("server/x", "").with_name("marker")
        marker.parent.chmod(0o777)
        with room.box() as box:
            (box.work / "evil.c").write_text(source)
            build = "gcc -shared -fPIC -o evil.so evil.c"
            env = {"PATH": "/usr/bin:/bin", "TMPDIR": box.box.path(box.work)}
            status, text = box.shell(build, env=env)
            assert status == 0, text
            library = f"{box.work}/evil.so:{box.box.path(box.work)}/evil.so"
            _, text = box.run(
                box.command("/bin/true", env={"LD_PRELOAD": library, "MARKER": str(marker), "LD_DEBUG": ""})
            )
        assert "held" in text
        assert "ESCAPED" not in text
        assert not marker.exists()

    def test_box__command_that_is_not_there(self, room: Room) -> None:
        with room.box() as box:
            finished, text = box.run(box.command("no-such-program"))
        assert finished.returncode == 127
        assert "no-such-program is not there" in text

    @pytest.mark.skipif(GCC is None, reason="needs gcc")
    def test_box__compiler_and_virtual_environment_work(self, room: Room) -> None:
        script = """
            set -e
            printf '#include <stdio.h>\\nint main(void) { puts("compiled"); return 0; }\\n' > hello.c
            cc -O1 -o hello hello.c
            ./hello
            python3 -m venv --without-pip env
            ./env/bin/python -c 'import ssl, sys, threading; print(sys.prefix != sys.base_prefix)'
        """
        with room.box() as box:
            env = {"PATH": "/usr/bin:/bin", "TMPDIR": box.box.path(box.work), "HOME": box.box.path(box.work)}
            assert box.shell(script, env=env) == (0, "compiled\nTrue\n")

    def test_box__locks_between_processes_work(self, room: Room) -> None:
        if room.name == "landlock":
            pytest.skip("landlock has no /dev/shm, as its module says")
        with room.box() as box:
            status, text = box.python("import multiprocessing; multiprocessing.Lock()")
        assert status == 0, text


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


class TestNetwork:
    CONNECT = python("attempt('tcp', lambda: socket.create_connection(('127.0.0.1', int(sys.argv[1])), 5).close())")

    def test_box__no_tcp_without_network(self, room: Room, listener: socket.socket) -> None:
        with room.box() as box:
            _, text = box.python(self.CONNECT, str(listener.getsockname()[1]))
        assert re.fullmatch(r"tcp \w*Error\n", text)

    def test_box__tcp_with_network(self, room: Room, listener: socket.socket) -> None:
        with room.box() as box:
            _, text = box.python(self.CONNECT, str(listener.getsockname()[1]), network=True)
        assert text == "tcp DONE None\n"

    def test_box__no_udp_without_network(self, room: Room) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
            server.bind(("127.0.0.1", 0))
            server.setblocking(False)
            script = python(
                "udp = lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)",
                f"attempt('udp', lambda: udp().sendto(b'x', ('127.0.0.1', {server.getsockname()[1]})))",
            )
            with room.box() as box:
                box.python(script)
            with pytest.raises(BlockingIOError):
                server.recv(1)

    @pytest.mark.parametrize("network", [False, True])
    def test_box__no_abstract_socket_of_others(self, room: Room, network: bool) -> None:
        if network and _landlock() < 6:
            pytest.skip("needs Linux 6.12")
        name = f"forkbuilder-{os.getpid()}"
        with socket.socket(socket.AF_UNIX) as server:
            server.bind("\0" + name)
            server.listen()
            script = python("attempt('abstract', lambda: socket.socket(socket.AF_UNIX).connect(chr(0) + sys.argv[1]))")
            with room.box() as box:
                _, text = box.python(script, name, network=network)
        assert re.fullmatch(r"abstract \w*Error\n", text), text

    @pytest.mark.parametrize("network", [False, True])
    @pytest.mark.parametrize("mode", [0o600, 0o666])
    def test_box__no_socket_file_of_the_server(self, room: Room, mode: int, network: bool) -> None:
        """An ssh agent's, or one that everybody may use."""
        path = room.file("server/x", "").with_name("agent")
        path.parent.chmod(0o755)
        script = python(
            "os.symlink(sys.argv[1], 'link')",
            "for kind in (socket.SOCK_STREAM, socket.SOCK_SEQPACKET, socket.SOCK_DGRAM):",
            "    for name in (sys.argv[1], 'link', os.path.relpath(sys.argv[1])):",
            "        attempt('connect', lambda: socket.socket(socket.AF_UNIX, kind).connect(name))",
            "attempt('send', lambda: socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b'x', sys.argv[1]))",
        )
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(path))
            path.chmod(mode)
            room._own(path)
            server.listen()
            with room.box() as box:
                _, text = box.python(script, str(path), network=network)
        assert len(re.findall(r"^(?:connect|send) \w*Error$", text, re.MULTILINE)) == 10, text

    def test_box__sockets_of_the_builds_own(self, room: Room) -> None:
        """As the start methods of multiprocessing use them."""
        if not room.name.startswith("bwrap") and without_sockets_of_others():
            pytest.skip(without_sockets_of_others())
        script = """
            import os, socket, threading
            server = socket.socket(socket.AF_UNIX)
            server.bind('here')
            server.listen()
            os.symlink('here', 'there')
            for name in ('here', os.path.abspath('here'), 'there'):
                client = socket.socket(socket.AF_UNIX)
                client.settimeout(20)
                client.connect(name)
                other = server.accept()[0]
                other.sendall(b'yes')
                print(client.recv(3))
            for name in ('nothing', b'\\0abstract'):
                try:
                    socket.socket(socket.AF_UNIX).connect(name)
                except OSError as error:
                    print(type(error).__name__)
        """
        with room.box() as box:
            status, text = box.python(textwrap.dedent(script))
        assert status == 0, text
        assert text.splitlines()[:4] == ["b'yes'"] * 3 + ["FileNotFoundError"]

    def test_box__unusual_sockets_are_refused(self, room: Room) -> None:
        script = python(
            "for family in (socket.AF_VSOCK, socket.AF_PACKET, socket.AF_ALG):",
            "    attempt('family', lambda: socket.socket(family, socket.SOCK_RAW))",
        )
        with room.box() as box:
            _, text = box.python(script, network=True)
        assert text == "family PermissionError\n" * 3


def _landlock() -> int:
    from devpi_forkbuilder.pipeline.sandbox import launcher  # noqa: PLC0415  (loads the C library)

    return launcher.landlock_abi()


class TestLimits:
    def test_box__processes_are_bounded(self, room: Room) -> None:
        room.limits = ResourceLimits(processes=40)
        script = """
            import os, signal
            count = 0
            while True:
                try:
                    child = os.fork()
                except OSError:
                    break
                if not child:
                    os.setsid()
                    signal.pause()
                count += 1
                assert count < 2000
            print(count)
        """
        with room.box() as box:
            _, text = box.python(textwrap.dedent(script), CANARY)
            # Where the user is shared, what else it runs while this goes on moves the bound.
            assert 0 < int(text) <= (80 if room.name == "landlock" else 40)
            box.box.end()
            assert CANARY not in cmdlines()

    def test_box__memory_is_bounded(self, room: Room) -> None:
        room.limits = ResourceLimits(memory=512 * 1024 * 1024)
        with room.box() as box:
            _, text = box.python(python("attempt('memory', lambda: len(bytearray(1 << 30)))"))
        assert text == "memory MemoryError\n"

    def test_box__file_size_is_bounded(self, room: Room) -> None:
        room.limits = ResourceLimits(file_size=1_000_000)
        with room.box() as box:
            status, _ = box.shell("head -c 3000000 /dev/zero > big")
            assert status != 0
            assert (box.work / "big").stat().st_size == 1_000_000

    def test_box__processor_time_is_bounded(self, room: Room) -> None:
        room.limits = ResourceLimits(cpu=1)
        with room.box() as box:
            status, _ = box.shell("while :; do :; done")
        assert status != 0

    def test_box__no_core_files_and_few_open_files(self, room: Room) -> None:
        room.limits = ResourceLimits(open_files=64)
        with room.box() as box:
            status, text = box.shell("ulimit -c; ulimit -n; ulimit -n 100")
        assert text.startswith("0\n64\n")
        assert status != 0

    def test_box__private_tmp_is_sized(self, room: Room) -> None:
        if not room.name.startswith("bwrap"):
            pytest.skip("the tier has no /tmp")
        room.limits = ResourceLimits(tmp=1_000_000)
        with room.box() as box:
            _, text = box.shell("head -c 3000000 /dev/zero > /tmp/big; wc -c < /tmp/big; touch /dev/shm/x")
        assert int(text.split()[-1]) <= 1_048_576
        assert not Path("/tmp/big").exists()


DAEMON = """
import os, signal, sys
arguments = [sys.executable, '-c', 'import os, signal; os.write(3, b"up"); os.close(3); signal.pause()', sys.argv[1]]
up, said = os.pipe()
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.dup2(said, 3)
        for number in (0, 1, 2):
            os.close(number)
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        os.execve(arguments[0], arguments, {})
    os._exit(0)
os.close(said)
os.read(up, 2)
print(sys.argv[2], end='', flush=True)
if sys.argv[2]:
    signal.pause()
"""


# A server with a build; it prints `up` when the build's daemon is.
SERVER = """
import sys
from pathlib import Path
from tests.pipeline.rooms import PYTHON, Room
name, folder, demoted, uid, daemon, token, ready = sys.argv[1:]
with Room(name, Path(folder), bool(int(demoted)), first_uid=int(uid)).box("of-the-server") as box:
    command = box.command(str(PYTHON), "-I", "-c", daemon, token, ready)
    box.run(command, when_ready=lambda: print("up", flush=True))
"""


def pids_of(token: str) -> list[int]:
    return [int(path.parent.name) for path in Path("/proc").glob("[0-9]*/cmdline") if token in _text(path)]


class TestEnd:
    """Daemons that drop the environment's mark, their session and their standard files."""

    def test_end__daemon_is_dead(self, room: Room) -> None:
        token = f"daemon-of-{room.name}-{os.getpid()}"
        with room.box() as box:
            assert box.python(DAEMON, token, "")[0] == 0
            box.box.end()
            assert token not in cmdlines()

    def test_end__daemon_of_a_command_that_killed_all_it_could_is_dead(self, room: Room) -> None:
        token = f"daemon-of-{room.name}-{os.getpid()}"
        killer = """
            import os
            for pid in map(int, filter(str.isdecimal, os.listdir('/proc'))):
                if pid not in (1, os.getpid()):
                    try:
                        os.kill(pid, 9)
                        print('killed', pid)
                    except OSError:
                        pass
        """
        with room.box() as box:
            status, text = box.python(textwrap.dedent(killer) + DAEMON, token, "")
            assert (status, text) == (0, "")
            box.box.end()
            assert token not in cmdlines()

    def test_end__daemon_of_a_command_that_was_stopped_is_dead(self, room: Room) -> None:
        token = f"daemon-of-{room.name}-{os.getpid()}"
        seen: list[bool] = []

        def look() -> None:
            seen.append(token in cmdlines())
            message = "stop"
            raise LimitsError("silence", message)

        with room.box() as box:
            with pytest.raises(LimitsError):
                box.python(DAEMON, token, READY.decode(), when_ready=look)
            box.box.end()
            assert seen == [True]
            assert token not in cmdlines()

    def test_end__of_the_server_itself_ends_its_builds(self, room: Room) -> None:
        """`kill -9` of a server: nobody is left to sweep, and the daemon has left mark, session and parent."""
        token = f"daemon-of-{room.name}-{os.getpid()}"
        # users that no other server of this machine has: it would take them over, and end what it finds
        uid = 61300 + os.getpid() % 500
        arguments = [room.name, str(room.folder), str(int(room.demoted)), str(uid), DAEMON, token, READY.decode()]
        argv = [sys.executable, "-c", SERVER, *arguments]
        with subprocess.Popen(argv, stdout=subprocess.PIPE, cwd=Path(__file__).parents[3]) as server:
            assert server.stdout is not None
            assert server.stdout.readline() == b"up\n"
            daemons = [os.pidfd_open(pid) for pid in pids_of(token) if pid != server.pid]
            assert daemons
            server.kill()
        poll = select.poll()
        for daemon in daemons:
            poll.register(daemon, select.POLLIN)
        left = len(daemons)
        while left and (ended := poll.poll(20_000)):
            for daemon, _ in ended:
                poll.unregister(daemon)
                os.close(daemon)
            left -= len(ended)
        assert left == 0

    def test_end__twice_and_without_a_command(self, room: Room) -> None:
        with room.box() as box:
            box.box.end()
            box.box.end()

    def test_end__folder_is_the_servers_again(self, room: Room) -> None:
        with room.box() as box:
            box.shell("mkdir -p a/b; touch a/b/f; ln -s /etc/passwd a/l; chmod 0 a/b/f a/b a; umask 777; mkdir c")
            box.box.end()
            assert (box.work / "a" / "b" / "f").lstat().st_uid == os.geteuid()
            assert (box.work / "a" / "l").lstat().st_uid == os.geteuid()
            assert box.work.stat().st_uid == os.geteuid()
            assert all(path.stat().st_mode & 0o700 == 0o700 for path in (box.work / "a", box.work / "a" / "b"))
            shutil.rmtree(box.work)
            box.work.mkdir()

    def test_end__while_other_boxes_live(self, room: Room) -> None:
        with room.box("1") as first, room.box("2") as second:
            gate = open_gate(first.work)

            def ends_other() -> None:
                second.shell("true")
                second.box.end()
                gate()

            waiting = f"mkfifo gate; printf '{READY.decode()}'; read -r line < gate; echo alive"
            finished, text = first.run(first.command("/bin/sh", "-c", waiting), when_ready=ends_other)
        assert text.endswith("alive\n")
        assert finished.returncode == 0

    def test_box__many_at_once(self, room: Room) -> None:
        texts: list[tuple[int, str]] = []

        def one(number: int) -> None:
            with room.box(str(number)) as box:
                texts.append(box.shell(f"echo {number} > mine; cat mine"))

        threads = [threading.Thread(target=one, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(texts) == [(0, f"{number}\n") for number in range(6)]


def test_path__is_the_same_for_every_bwrap_build() -> None:
    work = Path(tempfile.gettempdir()) / "anything"
    bwrap = Room("bwrap-as-user", work, demoted=False).sandbox.box(work)
    assert bwrap.path(work / "src") == "/build/src"
    with pytest.raises(ValueError, match="not in the subpath"):
        bwrap.path(Path("/elsewhere"))
