"""What the pipeline asks of whoever drives it, and what it offers: protocols of one to three members."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from devpi_forkbuilder.domain.compat.targets import ServerTargets
from devpi_forkbuilder.domain.index_health import IndexHealth
from devpi_forkbuilder.domain.pins.orders import Order
from devpi_forkbuilder.domain.requirements_files.project_identity import Identity
from devpi_forkbuilder.domain.results import Built
from devpi_forkbuilder.domain.states import State
from devpi_forkbuilder.pipeline.process.command import Command


class LogSink(Protocol):
    """Where a build's output goes, line by line, as it happens."""

    def write(self, data: bytes) -> None:
        """Append `data`, which may be any part of a line. Never raises: a full disk loses log, not the build."""

    def say(self, line: str) -> None:
        """Append a line of our own, marked as ours."""


class BuildProgress(Protocol):
    """How the driver of a build follows and ends it."""

    @property
    def log(self) -> LogSink:
        """The build's log."""

    def enter(self, state: State) -> None:
        """The build goes to `state`."""

    def commit_time(self, seconds: int) -> None:
        """The commit's time is known (seconds since the epoch)."""

    def cancelled(self) -> bool:
        """Whether the build should end now: the server is stopping. Cheap; asked several times a second."""

    def needs(self, requirements: tuple[str, ...], python: str) -> None:
        """The build will install `requirements` (PEP 508 lines) for the interpreter `python`.

        Raises NeedsPinsError when some of them are pinned projects that have to be built first.
        """

    def index_health(self, requirements: tuple[str, ...], constraints: tuple[str, ...], python: str) -> IndexHealth:
        """Ask the indexes themselves about `requirements`, which could not be installed. Never raises."""


class Builder(Protocol):
    """Turns an order into files."""

    @property
    def identity(self) -> str:
        """Names and versions of the tools; a remembered failure may be tried again when it changes."""

    def build(self, order: Order, progress: BuildProgress) -> AbstractContextManager[Built]:
        """The files of `order`, which live until the context ends.

        Enters the states `fetching`, `building` and `checking`. Raises ForkbuilderError for every failure that
        can be reported to a user, CancelledError when `progress.cancelled()` became true, and what `progress.needs`
        raises.
        """

    def identify(self, order: Order, progress: BuildProgress) -> Identity:
        """Return the project's name and version as its build back end computes them; the order's own name is not read.

        Publishes nothing. Raises as `build` does.
        """

    def server_targets(self) -> ServerTargets:
        """What it builds for. The first call asks all interpreters what they are, which may take a second."""


class CancelledError(Exception):
    """The server is stopping; the order is not at fault and is wanted again."""


class NeedsPinsError(Exception):
    """The order is not at fault: `orders` have to be built before it, with the interpreter `python`."""

    def __init__(self, orders: tuple[Order, ...], python: str) -> None:
        super().__init__(", ".join(order.pin.name for order in orders))
        self.orders = orders
        self.python = python


class Box(Protocol):
    """One build's view of the machine."""

    def path(self, inside: Path) -> str:
        """What `inside`, a path at or below the box's work folder, is called by processes in the box."""

    def wrap(self, command: Command, *, network: bool) -> Command:
        """`command` so that it runs in the box; its argv and env use the names that `path` gives.

        `cwd` stays a path of the server's. To be called when the command is about to be run, with no other command
        of the box running: a box with a user of its own gives it the work folder here. From then until `end` what is
        in the folder may belong to that user. `network` False: no way out, not to this machine either.
        Raises InfrastructureError.
        """

    def end(self) -> None:
        """Kill what is left of the box's commands; when this returns, nothing is, and the folder belongs to the server.

        To be called before anybody looks at what was made, and in any case in the end; a second call does nothing,
        and after it the box runs nothing any more. Raises InfrastructureError (`processes-remain`).
        """


class Sandbox(Protocol):
    """A way to confine builds; `name` is the tier: bwrap, uid, landlock or none."""

    @property
    def name(self) -> str:
        """The tier, as shown in the status and in each file's provenance."""

    @property
    def origin(self) -> str:
        """The program that confines, its version and where it comes from; empty when it is the kernel alone."""

    @property
    def scratch(self) -> Path | None:
        """Where work folders have to be; None: anywhere that the server can write."""

    def reaches(self, path: Path) -> bool:
        """Whether builds could read what is at `path` if it is among what they may read."""

    def box(self, work: Path, *, readable: tuple[Path, ...] = ()) -> Box:
        """A box in which `work` is writable and, beside the system, only `readable` can be read.

        `readable` keeps its own paths in the box. Boxes of one work folder give it the same name.
        Raises InfrastructureError when the box cannot be made.
        """
