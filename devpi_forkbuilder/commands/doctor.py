"""`devpi-forkbuilder doctor`: is everything here that builds need? Each fault comes with its mend."""

from __future__ import annotations

from typing import Any


def add_parser(commands: Any) -> None:
    """Add the command to the parser."""
