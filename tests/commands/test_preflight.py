"""What `up` looks at before it serves: each fault names its fix, and nothing is written."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from devpi_forkbuilder.commands.main import main
from devpi_forkbuilder.commands.up import preflight
from devpi_forkbuilder.commands.up.preflight import Address, check_folder
from devpi_forkbuilder.commands.up.server_lock import ServerLock
from devpi_forkbuilder.domain.compat.distributions import install_command
from devpi_forkbuilder.errors import InfrastructureError, RefusedError
from devpi_forkbuilder.pipeline.sandbox import bwrap_program, probe
from tests.devpi import free_port

ROOT = os.geteuid() == 0
NOBODY = 41001


@pytest.fixture
def listener() -> Iterator[int]:
    """A port that is taken."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        yield int(server.getsockname()[1])


def refused(capsys: pytest.CaptureFixture[str], folder: Path, *words: str) -> str:
    """What `up` prints when it does not start; it has to be one line, and no trace of a server."""
    before = sorted(folder.rglob("*"))
    place = [] if "--serverdir" in words else ["--serverdir", str(folder / "server")]
    assert main(["up", *place, *words]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("devpi-forkbuilder up: ")
    assert said.err.count("\n") == 1, said.err
    assert sorted(folder.rglob("*")) == before
    return said.err


def test_up__port_taken(tmp_path: Path, capsys: pytest.CaptureFixture[str], listener: int) -> None:
    said = refused(capsys, tmp_path, "--host", "127.0.0.1", "--port", str(listener))
    assert f"Port {listener} of 127.0.0.1 is taken" in said
    assert "--port " in said


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--host", "no.such.host.invalid"), "There is no host called no.such.host.invalid"),
        (("--host", "192.0.2.1"), "cannot be opened"),
        (("--port", "0"), "0 is not a port"),
        (("--port", "70000"), "70000 is not a port"),
        (("--thread-count", "3"), "Did you mean --threads?"),
        (("--forkbuilder-hold", "long"), "'long' is not a number of seconds"),
        (("--forkbuilder-tools", "/no/such/folder"), "/no/such/folder (--forkbuilder-tools) cannot be read"),
        (("/no/such/folder",), "/no/such/folder is not a folder"),
        (("/proc",), "/proc is not in a git checkout"),
        (("--serverdir", "/etc/passwd"), "/etc/passwd is not a folder"),
        (("--serverdir", "/etc/passwd/below"), "/etc/passwd is not a folder"),
        (("--serverdir", "/proc/below"), "--serverdir"),
    ],
)
def test_up__is_refused_before_anything_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], expected: str
) -> None:
    where = () if "--port" in words else ("--port", str(free_port()))
    assert expected in refused(capsys, tmp_path, *where, *words)


def test_up__without_git(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(preflight.platform, "freedesktop_os_release", lambda: {"ID": "fedora"})
    said = refused(capsys, tmp_path, "--port", str(free_port()))
    assert "git is not installed" in said
    assert said.endswith("Run: dnf install git\n")


def test_up__without_a_sandbox(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe, "TIERS", ("bwrap",))
    monkeypatch.setattr(bwrap_program, "_candidates", lambda _path: [])
    monkeypatch.setattr(preflight.platform, "freedesktop_os_release", lambda: {"ID": "linuxmint", "ID_LIKE": "ubuntu"})
    said = refused(capsys, tmp_path, "--port", str(free_port()))
    assert "Builds cannot be confined" in said
    assert said.endswith("Run: apt-get install bubblewrap\n")


def test_check_folder__read_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight.os, "access", lambda *_arguments: False)
    with pytest.raises(RefusedError, match=f"User {os.getuid()} may not write in {tmp_path}.*chown"):
        check_folder(tmp_path / "a" / "b", "--serverdir")
    with pytest.raises(RefusedError, match="read-only"):
        check_folder(Path("/sys/below"), "--serverdir") if os.statvfs("/sys").f_flag & os.ST_RDONLY else _read_only()


def _read_only() -> None:
    raise RefusedError("folder-unusable", "no read-only file system here")


def test_check_folder__a_link_that_leads_nowhere(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    with pytest.raises(RefusedError, match="leads nowhere"):
        check_folder(tmp_path / "link" / "server", "--serverdir")


@pytest.mark.skipif(not ROOT, reason="needs root to become a user who may not")
def test_address__port_below_1024_as_a_user() -> None:
    script = "from devpi_forkbuilder.commands.up.preflight import Address; Address('127.0.0.1', 81).check()"
    user = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--bounding-set=-all", "--"]
    done = subprocess.run([*user, sys.executable, "-c", script], capture_output=True, text=True, check=False)
    if "Permission denied" in done.stderr and "RefusedError" not in done.stderr:
        pytest.skip("the interpreter is out of that user's reach")
    first = int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text())
    assert ("may be opened by root only" in done.stderr) == (first > 81), done.stderr


def test_address__free_on_every_interface() -> None:
    Address("", free_port()).check()
    Address("localhost", free_port()).check()


def test_lock__a_second_server_on_the_directory_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / ".forkbuilder"
    first, second = ServerLock(tmp_path, folder), ServerLock(tmp_path, folder)
    first.take("http://localhost:1")
    assert not folder.exists()
    folder.mkdir()
    first.take("http://localhost:1")
    first.take("http://localhost:1")
    with pytest.raises(RefusedError, match=f"process {os.getpid()}, http://localhost:1") as caught:
        second.take("http://localhost:2")
    assert caught.value.reference == "server-running"
    first.release()
    second.take("http://localhost:2")
    second.release()


@pytest.mark.parametrize(
    ("release", "command"),
    [
        ({"ID": "debian"}, "apt-get install bubblewrap"),
        ({"ID": "rocky", "ID_LIKE": "rhel centos fedora"}, "dnf install bubblewrap"),
        ({"ID": "opensuse-leap", "ID_LIKE": "suse opensuse"}, "zypper install bubblewrap"),
        ({"ID": "alpine"}, "apk add bubblewrap"),
        ({}, "install the package bubblewrap"),
    ],
)
def test_install_command__of_the_distribution(release: dict[str, str], command: str) -> None:
    assert install_command(release, "bubblewrap") == command


def test_with_command__other_faults_keep_their_own_step() -> None:
    error = InfrastructureError("no-sandbox", "bwrap: refused by the kernel.", next_step="Look there.")
    assert preflight._with_command(error) is error


ELSEWHERE = "2001:db8::1"
"""An address for documentation (RFC 3849): no machine has it."""


def test_address__of_a_hosts_file_that_names_ipv6_on_a_machine_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    both = [socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0] for host in (ELSEWHERE, "127.0.0.1")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: both)
    assert Address("localhost", port).check() == "127.0.0.1"
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: both[:1])
    with pytest.raises(RefusedError, match="cannot be opened"):
        Address("localhost", port).check()
