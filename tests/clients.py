"""Installers as users run them: real pip (any version) and real uv, as processes, without the machine's set-up."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from uv import find_uv_bin

from tests.processes import Result, Running
from tests.surroundings import clean_environment

OLDEST_PIP = "22.0"
OLDEST_PIP_PYTHONS = ("3.11", "3.10")  # pip 22.0 does not start on 3.12: its vendored packages use what that removed
TIMEOUT = 120.0  # seconds for one installation, longer than any that a test expects


class Installer(Protocol):
    """What tests ask of pip and uv alike."""

    name: str

    def install(
        self,
        index_url: str | None,
        *requirements: str,
        target: Path | None = None,
        arguments: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        cache: Path | None = None,
        timeout: float = TIMEOUT,
    ) -> Result: ...

    def start(
        self,
        index_url: str | None,
        *requirements: str,
        target: Path | None = None,
        arguments: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        cache: Path | None = None,
    ) -> Running: ...


class _Client:
    """The part that is the same: a fresh cache and a fresh target for each call unless the test names its own."""

    name = ""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._numbers = itertools.count(1)

    def new_folder(self, what: str) -> Path:
        return self.folder / f"{what}-{next(self._numbers)}"

    def install(
        self,
        index_url: str | None,
        *requirements: str,
        target: Path | None = None,
        arguments: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        cache: Path | None = None,
        timeout: float = TIMEOUT,
    ) -> Result:
        """Install into the folder `target` and wait, at most `timeout` seconds."""
        running = self.start(
            index_url, *requirements, target=target, arguments=arguments, environment=environment, cache=cache
        )
        return running.wait(timeout)

    def start(
        self,
        index_url: str | None,
        *requirements: str,
        target: Path | None = None,
        arguments: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        cache: Path | None = None,
    ) -> Running:
        """The same without waiting. No index at all: `None`. A warm cache is a `cache` that was used before."""
        index = ("--no-index",) if index_url is None else ("--index-url", index_url)
        into = ("--target", str(target or self.new_folder("target")))
        return self.run("install", *into, *index, *arguments, *requirements, environment=environment, cache=cache)

    def run(self, *arguments: str, environment: Mapping[str, str] | None = None, cache: Path | None = None) -> Running:
        """Any other command of the installer."""
        store = str(cache or self.new_folder("cache"))
        home = self.folder / "home"
        home.mkdir(parents=True, exist_ok=True)
        caches = {"PIP_CACHE_DIR": store, "UV_CACHE_DIR": store, "UV_PYTHON_DOWNLOADS": "never"}
        surroundings = clean_environment(home, **{**caches, **(environment or {})})
        return Running([*self.command(), *arguments], surroundings, home, None)

    def command(self) -> list[str]:
        raise NotImplementedError


class Pip(_Client):
    """A pip of one version in an environment of its own; `folder` is for its targets and caches."""

    def __init__(self, environment: Path, folder: Path) -> None:
        super().__init__(folder)
        self.python = environment / "bin" / "python"
        self.name = f"pip-{environment.name}"

    def command(self) -> list[str]:
        return [str(self.python), "-I", "-m", "pip"]

    def version(self) -> str:
        """As `pip --version` says it."""
        return self.run("--version").wait(TIMEOUT).check().stdout.split()[1]


class Uv(_Client):
    """The uv of this Python; it installs for this interpreter unless the test names another by `--python`."""

    name = "uv"

    def __init__(self, folder: Path, python: Path = Path(sys.executable)) -> None:
        super().__init__(folder)
        self.python = python

    def command(self) -> list[str]:
        return [find_uv_bin(), "pip"]

    def start(
        self,
        index_url: str | None,
        *requirements: str,
        target: Path | None = None,
        arguments: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        cache: Path | None = None,
    ) -> Running:
        for_whom = () if "--python" in arguments else ("--python", str(self.python))
        return super().start(
            index_url,
            *requirements,
            target=target,
            arguments=(*for_whom, *arguments),
            environment=environment,
            cache=cache,
        )


def pip_environment(store: Path, version: str | None, python: str = sys.executable) -> Path:
    """A virtual environment with this pip (None: the newest) below `store`, made once and then found there.

    Made aside and renamed, so that two test runs may share the store. Needs the package index the first time.
    """
    place = store / f"{version or 'newest'}-{_short(python)}"
    if not place.exists():
        store.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(dir=store, prefix="new-"))
        _uv(aside, "venv", "--quiet", "--python", python, str(aside / "venv"))
        wanted = f"pip=={version}" if version else "pip"
        _uv(aside, "pip", "install", "--quiet", "--python", str(aside / "venv" / "bin" / "python"), wanted)
        with contextlib.suppress(OSError):  # another run was faster (a folder that is not empty)
            (aside / "venv").rename(place)
        shutil.rmtree(aside)
    return place


def python_for_oldest_pip() -> str | None:
    """An interpreter that pip 22.0 runs on; None if this machine has none."""
    if ".".join(map(str, sys.version_info[:2])) in OLDEST_PIP_PYTHONS:
        return sys.executable
    for wanted in OLDEST_PIP_PYTHONS:
        found = subprocess.run(
            [find_uv_bin(), "python", "find", "--no-python-downloads", wanted],
            capture_output=True,
            text=True,
            check=False,
        )
        if found.returncode == 0:
            return found.stdout.strip()
    return None


def _short(python: str) -> str:
    """A name for an interpreter's environment: two interpreters at two places have two."""
    found = subprocess.run(
        [python, "-c", "import sys; print('%d.%d' % sys.version_info[:2], sys.base_prefix)"],
        capture_output=True,
        text=True,
        check=True,
    )
    version, _, base = found.stdout.strip().partition(" ")
    return f"{version}-{hashlib.sha256(base.encode()).hexdigest()[:8]}"


def _uv(home: Path, *arguments: str) -> None:
    environment = clean_environment(home, UV_PYTHON_DOWNLOADS="never", UV_LINK_MODE="copy")
    done = subprocess.run([find_uv_bin(), *arguments], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"uv {' '.join(arguments)}\n{done.stderr}"
