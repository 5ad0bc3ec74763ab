"""The programs that builds need, and their versions: uv and git."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import uv

from devpi_forkbuilder import __version__
from devpi_forkbuilder.errors import InfrastructureError
from devpi_forkbuilder.pipeline.process.command import Command
from devpi_forkbuilder.pipeline.process.environment import absolute_folders
from devpi_forkbuilder.pipeline.process.runner import run

TIMEOUT = 30.0


class SilentWatch:
    """A log that keeps nothing, for questions whose answers are captured; also says never to stop."""

    def write(self, data: bytes) -> None:
        """Forget `data`."""

    def say(self, line: str) -> None:
        """Forget `line`."""

    def cancelled(self) -> bool:
        """Never."""
        return False


@dataclass(frozen=True, slots=True)
class Tool:
    """A program: where it is and the version it states of itself."""

    name: str
    path: Path
    version: str


@dataclass(frozen=True, slots=True)
class Tools:
    """What builds are made with; a builder on another machine has no git."""

    uv: Tool
    git: Tool | None = None

    @property
    def identity(self) -> str:
        """Names and versions in one line; a remembered failure may be tried again when it changes."""
        programs = (f"{tool.name} {tool.version}" for tool in (self.uv, self.git) if tool is not None)
        return ", ".join((f"devpi-forkbuilder {__version__}", *programs))

    @classmethod
    def find(cls, path: str) -> Tools:
        """uv as it was installed with this package, or from `path` (as in PATH); git from `path`.

        Raises InfrastructureError (`program-missing`, `program-broken`).
        """
        return cls(uv=find_uv(path), git=find_git(path))


def find_uv(path: str) -> Tool:
    """uv as it was installed with this package, or from `path` (as in PATH). Raises as `Tools.find`."""
    return tool_at("uv", uv_program(path), path)


def find_git(path: str) -> Tool:
    """git from `path` (as in PATH). Raises as `Tools.find`."""
    return tool_at("git", _which("git", path), path)


def uv_program(path: str) -> Path:
    """Where uv is; it is not asked for its version. Raises InfrastructureError (`program-missing`)."""
    try:
        return Path(uv.find_uv_bin())
    except FileNotFoundError:  # UvNotFound is one; a distribution's package may keep the program on PATH
        return _which("uv", path)


def _which(name: str, path: str) -> Path:
    found = shutil.which(name, path=absolute_folders(path))
    if found is None:
        raise InfrastructureError("program-missing", f"{name} is not installed on the server.", next_step="Install it.")
    return Path(found)


def tool_at(name: str, program: Path, path: str) -> Tool:
    """The program `program`, asked for its version with `path` as PATH.

    Raises InfrastructureError (`program-broken`) when it does not answer as `name` does.
    """
    env = {"PATH": path, "LC_ALL": "C.UTF-8"}
    ask = Command((str(program), "--version"), env, Path("/"), TIMEOUT, f"{name} --version", capture=True)
    silence = SilentWatch()
    finished = run(ask, log=silence, cancelled=silence.cancelled)
    words = finished.stdout.decode("utf-8", "replace").split()
    version = next((word for word in words if word[:1].isdigit()), None)
    if finished.returncode or version is None:
        what = f"{program} --version does not answer as {name} does."
        raise InfrastructureError("program-broken", what, next_step=f"Install {name} again.")
    return Tool(name, program, version)
