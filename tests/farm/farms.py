"""Workers as processes, around a primary."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.devpi import DevpiServer
from tests.live import Host, Live
from tests.processes import Result, Running, remember_descendants
from tests.surroundings import clean_environment, remember_interpreters

STOP = 60.0
PROGRAM = (sys.executable, "-m", "devpi_forkbuilder.commands.entry", "worker")
OLDER = """\
import sys
import devpi_forkbuilder
devpi_forkbuilder.__version__ = "0.0.1"
from devpi_forkbuilder.commands.main import main
sys.exit(main())
"""


class WorkerProcess:
    """`devpi-forkbuilder worker`, with its output in `log`."""

    def __init__(
        self,
        folder: Path,
        *options: str,
        environment: Mapping[str, str] | None = None,
        program: tuple[str, ...] = PROGRAM,
    ) -> None:
        self.folder = folder
        self.log = folder / "worker.log"
        folder.mkdir(parents=True, exist_ok=True)
        remember_interpreters(folder)
        with self.log.open("ab") as log:
            command = [*program, "--dir", str(folder / "work"), *options]
            self.running = Running(command, clean_environment(folder, **(environment or {})), folder, log)

    def text(self) -> str:
        return self.log.read_text(errors="replace")

    def wait_for(self, text: str, timeout: float = 60.0) -> None:
        deadline = time.monotonic() + timeout
        while text not in self.text():
            assert self.running.popen.poll() is None, f"the worker has ended:\n{self.text()}"
            assert time.monotonic() < deadline, f"{text!r} did not come within {timeout} s:\n{self.text()}"
            time.sleep(0.05)  # a log is a file that grows: there is nothing to wait on from outside

    def stop(self) -> Result:
        """SIGTERM, and its end."""
        remember_descendants(self.running.pid)
        self.running.signal(signal.SIGTERM)
        return self.running.wait(STOP)

    def pause(self) -> None:
        """SIGSTOP: it hangs."""
        self.running.signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self.running.signal(signal.SIGCONT)

    def kill(self) -> None:
        """SIGKILL, and the end of what its builds leave."""
        remember_descendants(self.running.pid)
        self.running.signal(signal.SIGKILL)
        self.running.kill()


class Farm:
    """A primary, its indexes (`live`) and its workers."""

    def __init__(self, folder: Path, server: DevpiServer, host: Host, dsn: str) -> None:
        self.folder = folder
        self.server = server
        self.host = host
        self.dsn = dsn
        self.live = Live(server, host)
        self.workers: list[WorkerProcess] = []

    def worker(self, name: str, *options: str, **more: Any) -> WorkerProcess:
        """Start a worker."""
        words = ("--primary", self.server.url, "--queue", self.dsn, "--name", name, *options)
        folder = self.folder / f"worker-{len(self.workers)}-{name}"
        worker = WorkerProcess(folder, *words, **more)
        self.workers.append(worker)
        return worker

    def stop(self) -> None:
        for worker in self.workers:
            if worker.running.popen.poll() is None:
                worker.kill()
