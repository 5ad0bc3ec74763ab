"""Project names that only a build back end knows, computed by the server in its sandbox."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from devpi_forkbuilder.client.models import ClientError
from devpi_forkbuilder.client.wait import WaitClock
from devpi_forkbuilder.domain.requirements_files.project_identity import Identity
from devpi_forkbuilder.pipeline.protocols import CancelledError

PAUSE = 0.5
"""Seconds between two questions."""
LONGEST = 900.0
"""Seconds after which an answer is given up."""


class KnowsIdentities(Protocol):
    """What is needed of a server."""

    def identity(self, url: str, commit: str, subdirectory: str | None) -> Mapping[str, Any]:
        """The answer of `+forks/+identity`. Raises ClientError."""


class Computed(Protocol):
    """How a project's name is computed where none is written down."""

    def __call__(self, url: str, commit: str, subdirectory: str | None, *, cancelled: Callable[[], bool]) -> Identity:
        """The name and version. Raises ForkbuilderError, and CancelledError once `cancelled()`."""


def computed_by(server: KnowsIdentities, clock: WaitClock) -> Computed:
    """Return what asks `server` until it answers."""

    def compute(url: str, commit: str, subdirectory: str | None, *, cancelled: Callable[[], bool]) -> Identity:
        until = clock.monotonic() + LONGEST
        while (answer := server.identity(url, commit, subdirectory))["state"] == "computing":
            if cancelled():
                raise CancelledError
            if clock.monotonic() > until:
                raise ClientError("no-answer", f"The server has computed no name for {LONGEST:g} s.")
            clock.sleep(PAUSE)
        if answer["state"] != "known":
            error = answer["error"] or {}
            raise ClientError(str(error.get("reference")), str(error.get("message")))
        return Identity(answer["project"], answer["version"])

    return compute
