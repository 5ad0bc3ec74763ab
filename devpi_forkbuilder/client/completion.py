"""What a shell completes (argcomplete): projects of the index in use, and the server's indexes of forks.

A server that does not answer soon, or not at all, completes nothing; nothing is ever printed.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from devpi_forkbuilder.errors import ForkbuilderError

SOON = 3.0
"""Seconds that a person who pressed the Tab key waits at most."""


def projects(prefix: str, parsed_args: argparse.Namespace, **_: Any) -> list[str]:
    """The pinned projects whose names begin with `prefix`; with their versions where a project has several pins."""

    def ask(server: Any) -> list[str]:
        pins = server.pins()
        names = [pin.name for pin in pins]
        return [f"{pin.name}=={pin.version}" if names.count(pin.name) > 1 else pin.name for pin in pins]

    return _beginning(prefix, _asked(parsed_args, ask))


def indexes(prefix: str, parsed_args: argparse.Namespace, **_: Any) -> list[str]:
    """The indexes of forks on the server in use, as USER/NAME."""
    parsed_args.index = None
    return _beginning(prefix, _asked(parsed_args, lambda server: list(server.fork_indexes())))


def _beginning(prefix: str, names: list[str]) -> list[str]:
    return sorted({name for name in names if name.startswith(prefix)})


def _asked(arguments: argparse.Namespace, ask: Callable[[Any], list[str]]) -> list[str]:
    from devpi.main import Hub  # noqa: PLC0415  (every devpi command imports this module's neighbours)

    from devpi_forkbuilder.client.api_client import connect  # noqa: PLC0415  (as above)

    if not getattr(arguments, "clientdir", None):
        arguments.clientdir = os.environ.get("DEVPI_CLIENTDIR") or str(Path("~/.devpi/client").expanduser())
    with open(os.devnull, "w", encoding="utf-8") as nothing, closing(Hub(arguments, file=nothing)) as hub:
        try:
            return ask(connect(hub, patience=SOON))
        except (ForkbuilderError, OSError, ValueError, AttributeError):
            return []
