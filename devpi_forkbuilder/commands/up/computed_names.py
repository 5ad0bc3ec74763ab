"""Project names that only a build back end knows, computed before the server runs, in the sandbox that it will use."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from threading import Lock

from devpi_forkbuilder.domain.pins.orders import Order
from devpi_forkbuilder.domain.pins.pins import Pin
from devpi_forkbuilder.domain.requirements_files.fragments import UNNAMED
from devpi_forkbuilder.domain.requirements_files.project_identity import Identity
from devpi_forkbuilder.equipment import make_builder
from devpi_forkbuilder.errors import RefusedError
from devpi_forkbuilder.farm.builder import no_identity
from devpi_forkbuilder.options import Options
from devpi_forkbuilder.pipeline.process.disk_space import existing
from devpi_forkbuilder.pipeline.protocols import Builder
from devpi_forkbuilder.service.identities import IdentityProgress


class NamesInSandbox:
    """Computes names with a builder of its own (the protocol `Computed`); made on first use, gone with `close`."""

    def __init__(self, options: Options, index: str, public_index: str) -> None:
        """`index` is for messages; build requirements come from `public_index`, empty: uv's usual one."""
        self._options, self._index, self._public = options, index, public_index
        self._stack = ExitStack()
        self._lock = Lock()
        self._builder: Builder | None = None

    def __call__(self, url: str, commit: str, subdirectory: str | None, *, cancelled: Callable[[], bool]) -> Identity:
        """Return the name and version. Raises ForkbuilderError and CancelledError."""
        if self._options.farm:
            raise no_identity()
        fault = self._options.policy.url_fault(url)
        if fault is not None:
            raise RefusedError("pins-refused", f"{fault}.")
        pin = Pin(project=UNNAMED, url=url, commit=commit, subdirectory=subdirectory)
        order = Order(self._index, pin, requirements_url=self._public)
        return self._made().identify(order, IdentityProgress(cancelled))

    def close(self) -> None:
        """Remove what was needed."""
        self._stack.close()

    def _made(self) -> Builder:
        with self._lock:
            if self._builder is None:
                place = tempfile.TemporaryDirectory(prefix=".forkbuilder-", dir=existing(self._options.folder))
                folder = Path(self._stack.enter_context(place))
                self._builder = make_builder(replace(self._options, folder=folder))
            return self._builder
