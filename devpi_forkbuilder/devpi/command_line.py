"""devpi-server's own command line: which options there are, and reading it before anything is started."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NoReturn

from devpi_server.config import get_parser, get_pluginmanager, parseoptions

from devpi_forkbuilder.errors import RefusedError


def option_names() -> Mapping[str, bool]:
    """Each option of devpi-server and its plugins, and whether a value follows it."""
    actions = _parser()._actions
    return {name: action.nargs != 0 for action in actions for name in action.option_strings}


def read_command_line(words: Sequence[str]) -> Any:
    """Return devpi's configuration for `words`; nothing is started or written. Raises RefusedError (`options`)."""
    parser = _parser()
    parser.error = _refuse
    return parseoptions(_plugins(), ["devpi-server", *words], parser=parser)


def _refuse(message: str) -> NoReturn:
    raise RefusedError(
        "options", f"devpi-server does not take these options: {message}.", next_step="See: devpi-forkbuilder up --help"
    )


@lru_cache(maxsize=1)
def _plugins() -> Any:
    return get_pluginmanager()


def _parser() -> Any:
    return get_parser(_plugins())
