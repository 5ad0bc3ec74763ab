"""A real PostgreSQL server for tests: its own cluster in a folder, on a free port of loopback."""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.devpi import free_port
from tests.processes import Running
from tests.surroundings import clean_environment

PLACES = "/usr/lib/postgresql"  # where Debian puts it, a folder for each version
SERVER_USER = "postgres"
DATABASE_USER = "devpi"
PATIENCE = 60.0
CONNECTIONS = 300
"""devpi opens one for each transaction, so for each thread; PostgreSQL allows 100 unless it is told otherwise."""


def why_not() -> str | None:
    """Why there can be no PostgreSQL here; None if there can."""
    if importlib.util.find_spec("devpi_postgresql") is None:
        return "devpi-postgresql is not installed"
    return why_no_server()


def why_no_farm() -> str | None:
    """Why there can be no queue of a farm here; None if there can."""
    for name in ("procrastinate", "psycopg", "psycopg_pool"):
        if importlib.util.find_spec(name) is None:
            return f"{name} is not installed: the extra farm brings it"
    return why_no_server()


def why_no_server() -> str | None:
    """Why there can be no PostgreSQL server here; None if there can."""
    if _program("initdb") is None:
        return f"there is no initdb on PATH or below {PLACES}"
    if os.geteuid() == 0 and SERVER_USER not in {entry.pw_name for entry in pwd.getpwall()}:
        return f"PostgreSQL does not run as root, and there is no user {SERVER_USER}"
    return None


@dataclass(frozen=True, slots=True)
class Storage:
    """Where servers keep their data: an initialised server directory to copy, and devpi-server's options."""

    template: Path
    options: tuple[str, ...] = ()


class Postgres:
    """A running cluster; everybody on loopback may do everything."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self._names = 0

    @property
    def options(self) -> str:
        """What the server is started with."""
        places = f"-p {self.port} -k {self.folder} -c listen_addresses=127.0.0.1"
        return f"{places} -c fsync=off -c max_connections={CONNECTIONS}"

    def database(self, folder: Path | None = None) -> str:
        """A new, empty database, as the value of devpi's `--storage`. `folder`: where its tables are (a tablespace)."""
        self._names += 1
        name = f"devpi{self._names}"
        options = ["-h", "127.0.0.1", "-p", str(self.port), "-U", DATABASE_USER]
        place: list[str] = []
        if folder is not None:
            if os.geteuid() == 0:
                shutil.chown(folder, SERVER_USER)
            command = f"CREATE TABLESPACE {name} LOCATION '{folder}'"
            self.run("psql", *options, "-d", "postgres", "-c", command)
            place = ["--tablespace", name]
        self.run("createdb", *options, *place, name)
        return f"pg8000:host=127.0.0.1,port={self.port},database={name},user={DATABASE_USER}"

    def url(self) -> str:
        """A new, empty database, as a libpq URL."""
        words = dict(word.split("=", 1) for word in self.database().partition(":")[2].split(","))
        return f"postgresql://{words['user']}@{words['host']}:{words['port']}/{words['database']}"

    def restart(self, *, crash: bool = False) -> None:
        """Stop it, with or without its good-byes to clients, and start it again."""
        data = str(self.folder / "data")
        self.run("pg_ctl", "-D", data, "-m", "immediate" if crash else "fast", "-w", "stop")
        self.run("pg_ctl", "-D", data, "-l", str(self.folder / "log"), "-w", "-o", self.options, "start")

    def run(self, program: str, *arguments: str) -> None:
        """Run one of PostgreSQL's programs as the user that may."""
        found = _program(program)
        assert found is not None
        self.start(found, *arguments).wait(PATIENCE).check()

    def start(self, *command: str) -> Running:
        as_user = ["setpriv", f"--reuid={SERVER_USER}", f"--regid={SERVER_USER}", "--clear-groups"]
        words = [*(as_user if os.geteuid() == 0 else ()), *command]
        return Running(words, clean_environment(self.folder), self.folder, None)


@contextmanager
def running_postgres(folder: Path) -> Iterator[Postgres]:
    """A cluster in `folder`, which the database's user has to be able to reach."""
    if os.geteuid() == 0:
        shutil.chown(folder, SERVER_USER)
    postgres = Postgres(folder)
    data = str(folder / "data")
    postgres.run("initdb", "-D", data, "-A", "trust", "-U", DATABASE_USER, "--no-sync")
    postgres.run("pg_ctl", "-D", data, "-o", postgres.options, "-l", str(folder / "log"), "-w", "start")
    try:
        yield postgres
    finally:
        postgres.run("pg_ctl", "-D", data, "-m", "immediate", "-w", "stop")


def _program(name: str) -> str | None:
    versions = sorted(Path(PLACES).glob("*/bin"), reverse=True)
    return shutil.which(name, path=os.pathsep.join([os.environ["PATH"], *map(str, versions)]))
