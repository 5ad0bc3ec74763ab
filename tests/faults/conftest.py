"""The fixtures of the functional tests."""

from __future__ import annotations

from tests.functional.conftest import (
    devpi_servers,
    host,
    live,
    no_installer_left,
    own,
    postgres,
    processes,
    shared,
    storage,
    stored,
)

__all__ = [
    "devpi_servers",
    "host",
    "live",
    "no_installer_left",
    "own",
    "postgres",
    "processes",
    "shared",
    "storage",
    "stored",
]
