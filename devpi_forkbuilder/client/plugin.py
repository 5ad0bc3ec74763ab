"""The hook implementation for devpi-client. It is imported by every `devpi` command, so it imports next to nothing."""

from __future__ import annotations

import argparse

from pluggy import HookimplMarker

from devpi_forkbuilder.client.arguments import add_commands

hookimpl = HookimplMarker("devpiclient")


def forks(parser: argparse.ArgumentParser) -> None:
    """pin git forks on an index that builds them, build and look at them, and freeze requirements to hashes.

    Works with the index in use ('devpi use') and the login of 'devpi login'.
    """
    # the first sentence becomes a line of devpi's own help, so it begins as the other commands' do
    add_commands(parser)


@hookimpl  # type: ignore[untyped-decorator]  # pluggy's marker is not typed for mypy's strict mode here
def devpiclient_subcommands() -> list[tuple[object, str, str]]:
    """`devpi forks`; devpi-client's contract: (adds arguments, name, "module:function")."""
    return [(forks, "forks", "devpi_forkbuilder.client.dispatch:main")]
