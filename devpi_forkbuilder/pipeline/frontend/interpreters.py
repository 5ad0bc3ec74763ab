"""The interpreters on this machine that wheels can be built for.

uv knows where interpreters are kept; each one that it names is asked itself what it is, because what is found may be
a virtual environment or a launcher script (pyenv, asdf) that points elsewhere or does not work at all.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import re
import sys
import sysconfig
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from packaging.tags import platform_tags

from devpi_forkbuilder.domain.compat.targets import FAMILIES, Client, ServerTargets
from devpi_forkbuilder.errors import ForkbuilderError, InfrastructureError
from devpi_forkbuilder.pipeline.process.command import Command
from devpi_forkbuilder.pipeline.process.environment import network_variables, search_path
from devpi_forkbuilder.pipeline.process.programs import SilentWatch
from devpi_forkbuilder.pipeline.process.runner import run

TIMEOUT = 60.0
DOWNLOAD_TIMEOUT = 600.0
NAME = re.compile(r"(?:(?P<implementation>cpython|pypy)-?)?(?P<version>\d+\.\d+(?:\.\d+)?)(?P<threads>t?)")
ASK = """\
import json, platform, sys, sysconfig
base = getattr(sys, "_base_executable", None) or sys.executable
print(json.dumps([base, platform.python_version(), sys.implementation.name, sys.base_prefix,
                  bool(sysconfig.get_config_var("Py_GIL_DISABLED"))]))
"""
VARIANTS = {"default": "", "freethreaded": "t"}
LIBC = re.compile(r"(many|musl)linux_(\d+)_(\d+)_")
# What uv needs in order to find the interpreters that it manages itself (its manual, "Environment variables").
PLACES = ("PATH", "HOME", "XDG_DATA_HOME", "UV_PYTHON_INSTALL_DIR")
MIRRORS = ("UV_PYTHON_INSTALL_MIRROR", "UV_PYPY_INSTALL_MIRROR", "UV_PYTHON_DOWNLOADS_JSON_URL")
"""Where uv fetches interpreters from in networks that its usual hosts cannot be reached from (the same manual)."""


@dataclass(frozen=True, slots=True)
class Interpreter:
    """A base interpreter, not a virtual environment. `version` is full (`3.12.1`), `implementation` lower case.

    `prefix` is the folder that holds its standard library; `free_threaded` says that it has no global lock.
    """

    executable: Path
    version: str
    implementation: str
    prefix: Path
    free_threaded: bool = False

    @property
    def name(self) -> str:
        """What users call it: `3.12`, `3.13t`, `pypy3.10`."""
        family = "" if self.implementation == "cpython" else self.implementation
        return f"{family}{'.'.join(self.version.split('.')[:2])}{'t' if self.free_threaded else ''}"

    @property
    def number(self) -> tuple[int, ...]:
        """For sorting by version; a pre-release counts as its release."""
        return tuple(int(digits) for digits in re.findall(r"\d+", self.version)[:3])

    def is_called(self, name: str) -> bool:
        """Whether `name` (`3.12`, `3.12.1`, `pypy3.10`, `3.13t`) means this interpreter."""
        parts = NAME.fullmatch(name)
        if parts is None or (parts["implementation"] or "cpython") != self.implementation:
            return False
        wanted, mine = parts["version"].split("."), self.version.split(".")
        return bool(parts["threads"]) == self.free_threaded and wanted == mine[: len(wanted)]


class Interpreters:
    """Finds interpreters, and remembers them. May be used by several threads."""

    def __init__(
        self,
        uv: Path,
        environ: Mapping[str, str],
        downloads: Path | None = None,
        reaches: Callable[[Path], bool] = lambda _prefix: True,
    ) -> None:
        """`uv` is the program; `environ` is the server's environment, of which only places and mirrors are used.

        With the folder `downloads`, an interpreter that is missing is fetched into it when a build needs it. Those
        whose prefix builds cannot reach are left out.
        """
        self._uv = uv
        self._environ = environ
        self._downloads = downloads
        self._reaches = reaches
        self._env = {key: environ[key] for key in PLACES if key in environ}
        self._env |= {"PATH": interpreter_search_path(environ), "LC_ALL": "C.UTF-8", "UV_NO_CONFIG": "1"}
        if downloads is not None:
            self._env |= {key: environ[key] for key in MIRRORS if key in environ}
            self._env["UV_PYTHON_INSTALL_DIR"] = str(downloads)
        self._lock = threading.Lock()
        self._fetching = threading.Lock()
        self._fetchable: tuple[str, ...] = ()
        self._known: tuple[Interpreter, ...] = ()
        self._platform = own_platform(self.own())

    def own(self) -> Interpreter:
        """The interpreter that this server runs on, outside of any virtual environment."""
        return own_interpreter()

    def all(self) -> tuple[Interpreter, ...]:
        """Every interpreter that works: the server's own first, then by falling version."""
        with self._lock:
            if not self._known:
                self._known = self._look()
            return self._known

    def server_targets(self) -> ServerTargets:
        """What this server builds for: what is installed, and what may be fetched."""
        names = [one.name for one in self.all()]
        return ServerTargets(tuple(dict.fromkeys([*names, *self._downloadable()])), self._platform)

    def find(self, name: str) -> Interpreter:
        """The interpreter called `name`; the empty name means the server's own.

        Raises InfrastructureError: `interpreter-missing`, whose text lists what this server builds for, and
        `interpreter-download-failed`.
        """
        own = self.own()
        if not name or own.is_called(name):  # the usual case need not look at the machine
            return own
        found = self._among_all(name) or self._among_all(name, again=True)  # it may have been installed since
        if found is None and name in self._downloadable():
            self._download(name)
            found = self._among_all(name, again=True)
        if found is None:
            names = ", ".join(dict.fromkeys(one.name for one in self.all()))
            what = f"Python {name} is not installed on this server, which builds for {names}."
            raise InfrastructureError("interpreter-missing", what, next_step="Ask the server's administrator for it.")
        return found

    def _among_all(self, name: str, *, again: bool = False) -> Interpreter | None:
        if again:
            with self._lock:
                self._known = ()
        return next((one for one in self.all() if one.is_called(name)), None)

    def _downloadable(self) -> tuple[str, ...]:
        """The releases that uv knows to fetch, when that is allowed."""
        if self._downloads is None:
            return ()
        with self._fetching:
            if not self._fetchable:
                arguments = ("python", "list", "--only-downloads", "--output-format", "json")
                self._fetchable = _names(self._output((str(self._uv), *arguments), "uv python list"))
            return self._fetchable

    def _download(self, name: str) -> None:
        arguments = ("python", "install", "--no-bin", name)
        env = {**self._env, **network_variables(self._environ), "UV_CACHE_DIR": f"{self._downloads}/.cache"}
        command = Command((str(self._uv), *arguments), env, Path("/"), DOWNLOAD_TIMEOUT, "uv python install")
        silence = SilentWatch()
        with self._fetching:
            if run(command, log=silence, cancelled=silence.cancelled).returncode:
                what = f"Python {name} could not be fetched."
                step = "Install it on the server, or check whether uv's releases can be reached from there."
                raise InfrastructureError("interpreter-download-failed", what, next_step=step)

    def _look(self) -> tuple[Interpreter, ...]:
        found = {one.executable.resolve(): one for one in map(self._ask, self._candidates()) if one is not None}
        own = self.own()
        found.pop(own.executable.resolve(), None)
        found = {path: one for path, one in found.items() if self._reaches(one.prefix)}
        return (own, *sorted(found.values(), key=lambda one: (one.number, str(one.executable)), reverse=True))

    def _candidates(self) -> list[Path]:
        """What uv finds, each file once. When uv itself cannot say, there is the server's own."""
        arguments = ("python", "list", "--only-installed", "--no-python-downloads", "--output-format", "json")
        answer = self._output((str(self._uv), *arguments), "uv python list")
        with contextlib.suppress(ValueError, TypeError, KeyError):
            return list({Path(os.path.realpath(entry["path"])): None for entry in json.loads(answer)})
        return []

    def _ask(self, executable: Path) -> Interpreter | None:
        answer = self._output((str(executable), "-I", "-c", ASK), f"{executable} -c")
        with contextlib.suppress(ValueError, TypeError):
            base, version, implementation, prefix, threads = json.loads(answer)
            return Interpreter(Path(base), version, implementation, Path(prefix), threads)
        return None

    def _output(self, argv: tuple[str, ...], label: str) -> bytes:
        command = Command(argv, self._env, Path("/"), TIMEOUT, label, capture=True)
        silence = SilentWatch()
        try:
            finished = run(command, log=silence, cancelled=silence.cancelled)
        except ForkbuilderError:
            return b""
        return b"" if finished.returncode else finished.stdout


def _names(listing: bytes) -> tuple[str, ...]:
    """The interpreters in uv's list (JSON) as users call them, releases only."""
    names: dict[str, None] = {}
    with contextlib.suppress(ValueError, TypeError, KeyError):
        for entry in json.loads(listing):
            family = FAMILIES.get(entry["implementation"])
            parts, variant = entry["version_parts"], entry.get("variant", "default")
            if family is not None and variant in VARIANTS and str(entry["version"]).replace(".", "").isdigit():
                names[f"{family}{parts['major']}.{parts['minor']}{VARIANTS[variant]}"] = None
    return tuple(names)


def own_interpreter() -> Interpreter:
    """The interpreter that this server runs on, outside of any virtual environment."""
    executable = Path(getattr(sys, "_base_executable", None) or sys.executable)
    number = ".".join(map(str, sys.version_info[:3]))
    threads = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
    return Interpreter(executable, number, sys.implementation.name, Path(sys.base_prefix), threads)


def own_platform(own: Interpreter) -> Client:
    """This machine as a client that runs the interpreter `own`. The libc is what this server itself runs on."""
    found = next(filter(None, map(LIBC.match, platform_tags())), None)
    libc = {"many": "glibc", "musl": "musl"}[found[1]] if found else ""
    release = (int(found[2]), int(found[3])) if found else _macos()
    major, minor = own.number[:2]
    where = (platform.system().lower(), platform.machine().lower())
    return Client(own.implementation, (major, minor), *where, libc, release, own.free_threaded)


def _macos() -> tuple[int, int]:
    """The version of macOS; (0, 0) elsewhere."""
    numbers = [int(digits) for digits in re.findall(r"\d+", platform.mac_ver()[0])]
    return (numbers[0], numbers[1] if numbers[1:] else 0) if numbers else (0, 0)


def interpreter_search_path(environ: Mapping[str, str]) -> str:
    """PATH with each folder of pyenv's launchers replaced by the folders of the interpreters they stand for.

    A launcher works only for versions that pyenv has switched on, where the interpreter itself always does. Folders
    that this server may not look into, such as those of the user who started it with su(1), have no interpreter for it.
    """
    folders: dict[str, None] = {}
    for folder in search_path(environ).split(os.pathsep):
        root = Path(folder).parent
        if Path(folder).name == "shims" and os.path.isdir(root / "versions"):  # noqa: PTH112  (Path's raises for closed ones)
            folders.update(_version_folders(root))
        else:
            folders[folder] = None
    if root_named := environ.get("PYENV_ROOT"):
        folders.update(_version_folders(Path(root_named)))
    return os.pathsep.join(folders)


def _version_folders(root: Path) -> Iterable[tuple[str, None]]:
    try:
        return [(str(folder), None) for folder in sorted((root / "versions").glob("*/bin"), reverse=True)]
    except OSError:
        return []
