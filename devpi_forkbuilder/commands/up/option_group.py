"""The server's options on a parser of argparse."""

from __future__ import annotations

from typing import Any


class OptionGroup:
    """The server's options on a parser of argparse: what `options.add_options` asks of devpi's own parser."""

    def __init__(self, parser: Any) -> None:
        self._parser = parser

    def addgroup(self, name: str) -> OptionGroup:
        """Begin a group."""
        return OptionGroup(self._parser.add_argument_group(f"{name} (as the server is started with)"))

    def addoption(self, name: str, **settings: Any) -> None:
        """Add an option."""
        self._parser.add_argument(name, **settings)
