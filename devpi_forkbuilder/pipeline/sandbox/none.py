"""No confinement: only when asked for. The build sees what the server's user sees."""

from __future__ import annotations

from pathlib import Path

from devpi_forkbuilder.pipeline.command import Command


class OpenBox:
    """A box without walls."""

    def path(self, inside: Path) -> str:
        """The path itself."""
        return str(inside)

    def wrap(self, command: Command, *, network: bool) -> Command:  # noqa: ARG002  (no walls, no network rule)
        """The command itself."""
        return command

    def end(self) -> None:
        """Nothing to do: `run` ends each command's process group, and nothing else is known of a build here."""


class NoSandbox:
    """The tier `none`."""

    name = "none"

    def box(self, work: Path, *, readable: tuple[Path, ...] = ()) -> OpenBox:  # noqa: ARG002  (everything is readable)
        """A box without walls."""
        return OpenBox()
