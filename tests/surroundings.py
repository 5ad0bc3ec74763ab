"""The environment of the processes that tests start: a list of what may stay, so that nothing of the machine's set-up
(index addresses, git configuration, caches) reaches a test."""

from __future__ import annotations

import os
import shutil
import sysconfig
import tempfile
from collections.abc import Mapping
from pathlib import Path

import pytest

KEPT = ("PATH", "LANG", "LC_ALL", "TZ", "LD_LIBRARY_PATH")
"""What every process needs; `LD_LIBRARY_PATH` because some Pythons have their shared library off the usual path."""

NETWORK = (
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "GIT_SSL_CAINFO",
    "PIP_CERT",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "http_proxy",
    "https_proxy",
    "all_proxy",
)
"""How the machine reaches the network: certificates and proxies stay."""

BYTECODE = Path(tempfile.gettempdir()) / f"devpi-forkbuilder-bytecode-{os.getuid()}"
"""Where processes keep compiled modules: most of a server's start is compiling, where nobody has done it before."""

INTERPRETERS = Path(tempfile.gettempdir()) / f"devpi-forkbuilder-interpreters-{os.getuid()}"
"""uv's cache of servers' homes: asking each interpreter of a machine with many takes a server's start twice over."""

LOOPBACK = "127.0.0.1,localhost"

GIT = {
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_ASKPASS": "/bin/false",
}
INSTALLERS = {
    "PIP_CONFIG_FILE": "/dev/null",
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    "PIP_NO_INPUT": "1",
    "UV_NO_CONFIG": "1",
}


def no_proxy(environ: Mapping[str, str]) -> dict[str, str]:
    """Loopback is never asked for through a proxy; what the machine excludes stays excluded."""
    machine = environ.get("no_proxy") or environ.get("NO_PROXY")
    value = f"{machine},{LOOPBACK}" if machine else LOOPBACK
    return {"no_proxy": value, "NO_PROXY": value}


def remember_interpreters(home: Path) -> None:
    """Give `home` what uv learned of this machine's interpreters in other homes. Builds have caches of their own."""
    INTERPRETERS.mkdir(mode=0o700, exist_ok=True)
    (home / ".cache").mkdir(parents=True, exist_ok=True)
    if not (home / ".cache" / "uv").exists():
        (home / ".cache" / "uv").symlink_to(INTERPRETERS)


def few_interpreters(path: str) -> str:
    """`path` (as in PATH) without launchers of interpreters: a server asks each one at its start what it is."""
    return os.pathsep.join(folder for folder in path.split(os.pathsep) if Path(folder).name != "shims")


def clean_environment(home: Path, **more: str) -> dict[str, str]:
    """An environment for a child process: `home` for its own files, `more` on top."""
    kept = {name: os.environ[name] for name in (*KEPT, *NETWORK) if name in os.environ}
    own = {"HOME": str(home), "PYTHONPYCACHEPREFIX": str(BYTECODE), "PYTHONUNBUFFERED": "1"}
    return {**kept, **no_proxy(os.environ), **GIT, **INSTALLERS, **own, **more}


def without_compiler() -> str:
    """Why nothing in C can be built here: a compiler or Python's headers are missing; empty when both are there."""
    if shutil.which("gcc") is None and shutil.which("cc") is None:
        return "there is no C compiler"
    headers = Path(sysconfig.get_path("include")) / "Python.h"
    return "" if headers.is_file() else f"there is no {headers}"


needs_compiler = pytest.mark.skipif(bool(without_compiler()), reason=without_compiler())


def unwanted(name: str) -> bool:
    """Whether a variable of the machine would change what git, pip, uv or a build does in a test."""
    return name.startswith(("GIT_", "PIP_", "UV_", "DEVPI", "FORKBUILDER_")) and name not in NETWORK
