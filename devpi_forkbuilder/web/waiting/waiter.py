"""What a request waits for, and the one way to answer it: now, when it has ended, or as a stream that begins now."""

from __future__ import annotations

from typing import Any, Protocol

from devpi_forkbuilder.web.context import Context
from devpi_forkbuilder.web.waiting.seats import Seat


class Waiter(Protocol):
    """Something that ends. The methods are called by one thread at a time."""

    def begin(self, seat: Seat) -> None:
        """Start what is to be waited for, in a seat that the request has. Work in a thread of its own shares it."""

    def wait(self, seconds: float) -> bool:
        """Return whether it has ended, within that time."""

    def answer(self) -> Any:
        """Return the ordinary answer, when it has ended before anything was sent."""

    def late(self) -> Any:
        """Return the answer when it has not ended in time: one that begins now, or the ordinary one.

        A body with a method `close` keeps the seat until it is closed.
        """

    def busy(self) -> Any:
        """Return the answer when no seat is free. Nothing was begun."""


def answer(context: Context, address: str, waiter: Waiter, seconds: float, *, spare: int = 0) -> Any:
    """Return the answer to a request that waits: within `seconds`, or a stream. It leaves `spare` seats to others.

    The seat is given back with an ordinary answer, and by a stream at its end or when its client has left; what was
    waited for goes on in every case.
    """
    seat = context.seats.take(address, spare=spare)
    if seat is None:
        return waiter.busy()
    kept = False
    try:
        waiter.begin(seat)
        if waiter.wait(seconds):
            return waiter.answer()
        response = waiter.late()
        kept = _keeps(response, seat)
        return response
    finally:
        if not kept:
            seat.leave()


def _keeps(response: Any, seat: Seat) -> bool:
    """Return whether the answer is a stream, which has the seat now."""
    take_over = getattr(response.app_iter, "take_over", None)
    if take_over is None:
        return False
    take_over(seat)
    return True
