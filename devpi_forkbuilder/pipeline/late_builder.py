"""A builder that could not be made when the server started, for a reason that passes: it is made at a later order."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager

from devpi_forkbuilder.domain.compat.targets import ServerTargets
from devpi_forkbuilder.domain.pins.orders import Order
from devpi_forkbuilder.domain.requirements_files.project_identity import Identity
from devpi_forkbuilder.domain.results import Built
from devpi_forkbuilder.errors import ForkbuilderError
from devpi_forkbuilder.pipeline.frontend.index_tokens import IndexTokens
from devpi_forkbuilder.pipeline.frontend.interpreters import own_interpreter, own_platform
from devpi_forkbuilder.pipeline.protocols import Builder, BuildProgress


class Unable:
    """A builder on a server that cannot build: every order fails with the reason."""

    def __init__(self, reason: ForkbuilderError) -> None:
        self.reason = reason
        self.identity = f"unable: {reason.reference}"

    def build(self, order: Order, progress: BuildProgress) -> AbstractContextManager[Built]:  # noqa: ARG002  (Builder)
        """Raises the reason."""
        raise self.reason

    def identify(self, order: Order, progress: BuildProgress) -> Identity:  # noqa: ARG002  (Builder)
        """Raises the reason."""
        raise self.reason

    def server_targets(self) -> ServerTargets:
        """No interpreter, on this machine."""
        return ServerTargets((), own_platform(own_interpreter()))


class LateBuilder:
    """The builder that `make` returns, once it does; until then every order fails with what it raises.

    `reason` is why it failed at the start, None once it is there. `passes` are given to `make`, so that whoever has
    them need not wait.
    """

    def __init__(self, make: Callable[[IndexTokens], Builder], reason: ForkbuilderError) -> None:
        self.index_tokens = IndexTokens()
        self.reason: ForkbuilderError | None = reason
        self._make = make
        self._before = Unable(reason)
        self._made: Builder | None = None
        self._lock = threading.Lock()

    @property
    def identity(self) -> str:
        """That of the builder; a failure from before it was made is tried again when it is."""
        return (self._made or self._before).identity

    def build(self, order: Order, progress: BuildProgress) -> AbstractContextManager[Built]:
        """See `Builder.build`. Raises what `make` raises."""
        return self._ready(progress).build(order, progress)

    def identify(self, order: Order, progress: BuildProgress) -> Identity:
        """See `Builder.identify`. Raises what `make` raises."""
        return self._ready(progress).identify(order, progress)

    def _ready(self, progress: BuildProgress) -> Builder:
        with self._lock:
            if self._made is None:
                self._made = self._make(self.index_tokens)
                self.reason = None
                progress.log.say("this server can build again")
            return self._made

    def server_targets(self) -> ServerTargets:
        """See `Builder.offer`."""
        return (self._made or self._before).server_targets()
