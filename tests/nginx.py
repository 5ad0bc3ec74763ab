"""A real nginx with the configuration that this project writes, as a process in front of real servers."""

from __future__ import annotations

import http.client
import os
import pwd
import re
import shutil
import signal
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from devpi_forkbuilder.web.nginx import Front, whole
from tests.devpi import DevpiServer, free_port
from tests.processes import Result, Running
from tests.surroundings import clean_environment

NGINX = shutil.which("nginx", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/usr/local/sbin")
MISSING = "nginx is not installed on this machine"
START = 20.0  # seconds until an nginx that does not listen is given up
LINE = re.compile(r'"(?P<method>\S+) (?P<path>\S+) [^"]*" (?P<status>\d+) .* from="(?P<servers>[^"]*)"$')


@dataclass(frozen=True, slots=True)
class Passed:
    """A request as nginx's log tells it; `servers` are the ports that were asked for the answer, in their order."""

    method: str
    path: str
    status: int
    servers: tuple[int, ...]


def check(configuration: str, folder: Path) -> Result:
    """`nginx -t` for a whole configuration."""
    assert NGINX is not None, MISSING
    place = folder / "checked.conf"
    place.write_text(_moved(configuration, folder))
    command = [NGINX, "-t", "-q", "-p", str(folder), "-c", str(place), "-e", "stderr"]
    return Running(command, clean_environment(folder), folder, None).wait(START)


class Nginx(DevpiServer):
    """nginx on a free port of loopback. What tests ask of a devpi-server, they can ask through it."""

    def __init__(
        self, folder: Path, primary: DevpiServer, *replicas: DevpiServer, disk: Path | None = None, login: bool = False
    ) -> None:
        """`disk` is the server directory whose files nginx may read."""
        folder.mkdir(parents=True)
        self.folder = folder
        self.port = free_port()
        self.tokens: dict[str, str] = {}
        self._log = folder / "access.log"
        self._errors = folder / "error.log"
        self.log = self._errors
        self._running: Running | None = None
        self._front = Front(
            primary=f"127.0.0.1:{primary.port}",
            replicas=tuple(f"127.0.0.1:{replica.port}" for replica in replicas),
            folder=str(disk or folder / "nothing"),
            listen=f"127.0.0.1:{self.port}",
            login=login,
        )

    def start(self) -> Nginx:
        """Start, and return when it listens."""
        assert NGINX is not None, MISSING
        place = self.folder / "nginx.conf"
        place.write_text(_moved(whole(self._front), self.folder))
        # the servers' folders are this user's alone
        user = f"user {pwd.getpwuid(0).pw_name};" if os.geteuid() == 0 else ""
        command = [NGINX, "-p", str(self.folder), "-c", str(place), "-e", "stderr", "-g", f"daemon off; {user}"]
        with self._errors.open("ab") as errors:
            self._running = Running(command, clean_environment(self.folder), self.folder, errors)
        self._wait_until_it_listens(time.monotonic() + START)
        return self

    def __enter__(self) -> Nginx:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._end(signal.SIGTERM)

    def passed(self, path: str, count: int = 1) -> list[Passed]:
        """The requests for this path until now, oldest first: `count` at least, or the test fails."""
        deadline = time.monotonic() + START
        while len(found := [one for one in self._lines() if one.path == path]) < count:
            assert time.monotonic() < deadline, f"{len(found)} requests for {path}:\n{self._log.read_text()[-3000:]}"
            time.sleep(0.02)  # nginx writes its log after the answer has gone out
        return found

    def _lines(self) -> Iterator[Passed]:
        for line in self._log.read_text().splitlines():
            if found := LINE.search(line):
                servers = tuple(int(port) for port in re.findall(r":(\d+)", found["servers"]))
                yield Passed(found["method"], found["path"], int(found["status"]), servers)

    def _wait_until_it_listens(self, deadline: float) -> None:
        assert self._running is not None
        while self._running.popen.poll() is None and time.monotonic() < deadline:
            if self._listens():
                return
            time.sleep(0.02)  # nginx gives no other sign that it is ready
        self.kill()
        raise AssertionError(f"nginx did not start:\n{self._errors.read_text()}")

    def _listens(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), 1.0).close()
        except OSError:
            return False
        return True


def raw(server: DevpiServer, method: str, target: str, headers: Mapping[str, str]) -> tuple[int, bytes]:
    """One request whose target goes out letter by letter as given, dots and all: the answer's status and body."""
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)) as connection:
        connection.request(method, target, headers=dict(headers))
        answer = connection.getresponse()
        return answer.status, answer.read()


def _moved(configuration: str, folder: Path) -> str:
    """The same with its own files in `folder`, so that two can run at once."""
    return configuration.replace("/tmp/nginx", f"{folder}/nginx").replace("/dev/stdout", f"{folder}/access.log")
