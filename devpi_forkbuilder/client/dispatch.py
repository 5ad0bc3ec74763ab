"""`devpi forks COMMAND`: which function does it, and how failures are reported."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from typing import Any

from devpi_forkbuilder.client.api_client import PinsNotTakenError
from devpi_forkbuilder.client.commands import build, check, freeze, listing, log, pin
from devpi_forkbuilder.client.context import CommandContext
from devpi_forkbuilder.client.terminal import Screen
from devpi_forkbuilder.client.wait import WaitClock
from devpi_forkbuilder.errors import ForkbuilderError

COMMANDS: dict[str, Callable[[CommandContext], int]] = {
    "pin": pin.pin,
    "unpin": pin.unpin,
    "list": listing.list_pins,
    "build": build.build_forks,
    "log": log.show_log,
    "freeze": freeze.freeze,
    "check": check.check_files,
}


def main(hub: Any, args: argparse.Namespace) -> None:
    """devpi-client's contract for commands. Exits with 0 well, 1 failed with a message, 2 wrong usage."""
    if args.forks_command is None:
        print(args.forks_help())  # noqa: T201  (a command line prints)
        raise SystemExit(2)
    screen = Screen(os.environ, wants_json=args.json)
    context = CommandContext(hub, args, screen, dict(os.environ), WaitClock(time.monotonic, time.sleep, time.time))
    raise SystemExit(_status(args, screen, lambda: COMMANDS[args.forks_command](context)))


def _status(args: argparse.Namespace, screen: Screen, run: Callable[[], int]) -> int:
    try:
        return run()
    except ForkbuilderError as error:
        if args.debug:
            raise
        lines = [error.message, *(error.messages if isinstance(error, PinsNotTakenError) else ())]
        for line in lines:
            screen.fault(f"devpi forks {args.forks_command}: {line}")
        return 1
    except KeyboardInterrupt:
        screen.fault(f"devpi forks {args.forks_command}: stopped; builds that the server has started continue")
        return 130
    except BrokenPipeError:  # `devpi forks list | head`; nothing may be written at the interpreter's end either
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
