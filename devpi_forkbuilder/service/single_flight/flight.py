"""One run that many may wait for."""

from __future__ import annotations

import threading

from devpi_forkbuilder.domain.pins.orders import OrderKey
from devpi_forkbuilder.pipeline.tracing import current_trace
from devpi_forkbuilder.service.records import Record


class Flight:
    """The work on one order, shared by everybody who asked for it. Waiters come and leave as they like.

    `record` is the latest snapshot. Once `done`, it does not change any more and its state is `built`, `failed`, or
    `wanted`: the server is stopping.
    """

    def __init__(self, record: Record, *, done: bool = False) -> None:
        self._record = record
        self.trace = current_trace()
        """The trace of the request that started it."""
        self._ended = threading.Event()
        if done:
            self._ended.set()

    @property
    def key(self) -> OrderKey:
        """Which work it is."""
        return self._record.key

    @property
    def record(self) -> Record:
        """The latest snapshot."""
        return self._record

    @property
    def done(self) -> bool:
        """Whether it has ended."""
        return self._ended.is_set()

    def wait(self, timeout: float) -> bool:
        """Wait for the end, `timeout` seconds at most; whether it has ended."""
        return self._ended.wait(timeout)

    def advance(self, record: Record) -> None:
        """The run goes on with `record`. For the service only."""
        self._record = record

    def land(self, record: Record) -> None:
        """The run ends with `record`. For the service only."""
        self._record = record
        self._ended.set()
