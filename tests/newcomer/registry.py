"""How this machine reaches its package index, given to containers: variables, and the files that they name.

It is read where the tests run and written nowhere, so nothing of one machine's set-up is in the repository.
"""

from __future__ import annotations

import configparser
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from tests.surroundings import NETWORK

PREFIXES = ("PIP_", "UV_")
MACHINE = dict(os.environ)
"""Read before the tests' own environment leaves it out."""
NOT_FOR_OTHERS = ("PIP_CACHE_DIR", "PIP_CONFIG_FILE", "PIP_REQUIRE_VIRTUALENV", "UV_CACHE_DIR", "UV_PYTHON_INSTALL_DIR")
"""What is about this machine's own folders."""


def variables(environ: Mapping[str, str] = MACHINE) -> dict[str, str]:
    """The variables with which pip, uv and git of a container reach what this machine's reach.

    pip's configuration files count as the variables that stand for them (pip's manual, "Configuration").
    """
    named = {name: environ[name] for name in (*NETWORK, "NO_PROXY", "no_proxy") if name in environ}
    own = {name: value for name, value in environ.items() if name.startswith(PREFIXES) and name not in NOT_FOR_OTHERS}
    return {**_configured(environ), **named, **own}


def mounts(given: Mapping[str, str]) -> list[str]:
    """The files and folders that the values name, as docker's arguments: each at its own place, read-only."""
    places = dict.fromkeys(path for value in given.values() for path in _paths(value))
    return [word for path in places for word in ("-v", f"{path}:{path}:ro")]


def _configured(environ: Mapping[str, str]) -> dict[str, str]:
    home = Path(environ.get("HOME", "/"))
    files = [Path("/etc/pip.conf"), home / ".pip" / "pip.conf", home / ".config" / "pip" / "pip.conf"]
    if named := environ.get("PIP_CONFIG_FILE"):
        files.append(Path(named))
    parser = configparser.RawConfigParser()
    parser.read(files)
    found = [item for section in ("global", "install") if parser.has_section(section) for item in parser.items(section)]
    names = {f"PIP_{key.upper().replace('-', '_')}": " ".join(value.split()) for key, value in found}
    return {name: value for name, value in names.items() if name not in NOT_FOR_OTHERS}


def _paths(value: str) -> Iterator[Path]:
    for word in value.split():
        url = urlsplit(word)
        # the pages of an index that is a folder name files beside it
        path = Path(url.path).parent if url.scheme == "file" else Path(word)
        if url.scheme in ("", "file") and path.is_absolute() and path.exists() and path != Path("/"):
            yield path
