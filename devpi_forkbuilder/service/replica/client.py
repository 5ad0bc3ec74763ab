"""What a replica asks of its primary and of its own store, and how the primary's answers are read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from devpi_forkbuilder.domain.pins.orders import Order, OrderKey
from devpi_forkbuilder.domain.simple.replicas import AHEAD, REFUSED, UNREACHABLE
from devpi_forkbuilder.domain.states import SECONDS, State
from devpi_forkbuilder.errors import InfrastructureError, Kind
from devpi_forkbuilder.service.records import Failure, Record


class PrimaryUnreachableError(InfrastructureError):
    """The primary does not answer, or answers as a server does that is starting, ending or overloaded."""

    def __init__(self, url: str, why: str) -> None:
        super().__init__(
            UNREACHABLE,
            f"The primary at {url} cannot be reached: {why}.",
            next_step="What is built already is served all the same. Start the primary, or check the way to it.",
        )


class PrimaryBusyError(PrimaryUnreachableError):
    """The primary takes its time over a request, and answers others: it is there."""

    def __init__(self, url: str) -> None:
        super().__init__(url, "it is busy, and has not taken the order in time")


class UnwillingError(InfrastructureError):
    """The primary answers, and does not build."""

    def __init__(self, url: str, why: str) -> None:
        super().__init__(
            REFUSED,
            f"The primary at {url} does not build it: {why}.",
            next_step="See that the primary has this plugin, the same secret and this pin, and that it may build.",
        )


class AheadError(InfrastructureError):
    """The primary has built, and the release is not in this replica's own store."""

    def __init__(self, url: str) -> None:
        super().__init__(
            AHEAD,
            f"The primary at {url} has the release, but it has not arrived at this replica yet.",
            next_step="Ask again; if it lasts, look at the replication status in the replica's /+status.",
        )


@dataclass(frozen=True, slots=True)
class PrimaryAnswer:
    """The primary's answer about one pin: its state, and the serial of the store that the answer was read from."""

    serial: int
    record: Record


class Primary(Protocol):
    """The other server."""

    @property
    def url(self) -> str:
        """Its root, without credentials."""

    def miss(self, key: OrderKey, timeout: float) -> PrimaryAnswer:
        """Have the work started or joined there. Raises PrimaryUnreachableError, UnwillingError.

        PrimaryBusyError when that takes longer than `timeout` seconds at a primary that answers otherwise.
        """

    def poll(self, key: OrderKey, wait: float) -> PrimaryAnswer:
        """Its state, when it changes or after `wait` seconds. Raises UnreachableError, UnwillingError."""


class Store(Protocol):
    """This replica's own data."""

    def covers(self, order: Order) -> bool:
        """Whether a published file serves `order`, here."""

    def arrived(self, serial: int, timeout: float) -> bool:
        """Wait until everything up to `serial` is here; False when it is not within `timeout` seconds."""

    def complete(self, order: Order) -> None:
        """Have the bytes of the files that stand for `order`. Raises InfrastructureError."""


def answer_of(key: OrderKey, states: Iterable[Mapping[str, Any]]) -> Record | None:
    """The record in the API's states that is about `key`, if there is one. Raises ValueError for anything else."""
    wanted = (key.commit, key.version, key.subdirectory)
    try:
        for state in states:
            if (state["commit"], state["version"] or "", state["subdirectory"] or "") == wanted:
                return _record(key, state)
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"not the state of a pin: {error!r}") from error
    return None


def _record(key: OrderKey, state: Mapping[str, Any]) -> Record:
    error = state["error"]
    seconds = {name: float(spent) for name, spent in state["seconds"].items() if spent and name in SECONDS.values()}
    return Record(
        key,
        State(state["state"]),
        error=None if error is None else _failure(error),
        commit_time=state.get("commit_time"),
        queued_at=state["queued_at"],
        started_at=state["started_at"],
        finished_at=state["finished_at"],
        seconds=seconds,
    )


def _failure(error: Mapping[str, str]) -> Failure:
    return Failure(
        Kind(error["kind"]),
        error.get("reference", "on-primary"),
        State(error["stage"]),
        error["message"],
        tuple(error.get("remedy", ())),
    )
