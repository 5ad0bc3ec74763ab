"""Views of a replica: who waits through it, and for how long."""

from __future__ import annotations

import contextlib
from types import SimpleNamespace
from typing import Any

import pytest
from pyramid.request import Request
from pyramid.response import Response

from devpi_forkbuilder.service.replica.breaker import Breaker
from devpi_forkbuilder.web.context import REGISTRY
from devpi_forkbuilder.web.tweens import forward as module
from devpi_forkbuilder.web.tweens.forward import tween_forward
from devpi_forkbuilder.web.waiting.client_address import ClientAddresses
from devpi_forkbuilder.web.waiting.seats import Seats
from tests.service.fakes import ManualClock


class FakeForward:
    """Remembers how patient it was asked to be, and how many seats were taken then."""

    def __init__(self, seats: Seats) -> None:
        self.seats = seats
        self.asked: list[tuple[float, int]] = []

    def forward(self, _request: Any, patience: float) -> Response:
        self.asked.append((patience, self.seats.taken))
        return Response("the primary's")


@pytest.mark.parametrize(
    ("seats", "query", "expected"), [(1, "?wait=30", (30.0, 1)), (0, "?wait=30", (0.0, 0)), (1, "", (0.0, 0))]
)
def test_forward__only_who_has_a_seat_waits(
    monkeypatch: pytest.MonkeyPatch, seats: int, query: str, expected: tuple[float, int]
) -> None:
    monkeypatch.setattr(module, "may_read", lambda *_: True)
    free = Seats(seats)
    forward = FakeForward(free)
    keyfs = SimpleNamespace(read_transaction=contextlib.nullcontext)
    context = SimpleNamespace(
        forward=forward, breaker=Breaker(ManualClock()), seats=free, keyfs=keyfs, addresses=ClientAddresses()
    )
    answer = tween_forward(lambda _request: Response("its own"), {REGISTRY: context})
    assert answer(Request.blank(f"/main/forks/+forks/alpha{query}")).body == b"the primary's"
    assert (forward.asked, free.taken) == ([expected], 0)
