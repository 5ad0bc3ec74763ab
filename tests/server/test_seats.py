"""How many requests may be held."""

from __future__ import annotations

import threading
from argparse import Namespace

import pytest

from devpi_forkbuilder.assembly import seats_of
from devpi_forkbuilder.web.waiting.seats import Seats


@pytest.mark.parametrize(
    ("threads", "connections", "seats"),
    [(8, None, 4), (256, None, 50), (256, 512, 128), (256, 30, 15), (1, None, 1), (50, 100, 25)],
)
def test_seats_of__half_of_threads_and_of_connections(threads: int, connections: int | None, seats: int) -> None:
    """waitress stops listening at its limit of connections, 100 by default: then nobody is told anything."""
    assert seats_of(Namespace(threads=threads, connection_limit=connections)) == seats


def test_seats__waiting_until_all_have_left() -> None:
    seats = Seats(2)
    assert seats.wait_until_empty(0)
    assert seats.take()
    assert seats.take()
    assert not seats.take()
    assert not seats.wait_until_empty(0.01)
    leaving = [threading.Thread(target=seats.leave) for _ in range(2)]
    for thread in leaving:
        thread.start()
    assert seats.wait_until_empty(10)
    assert seats.taken == 0
