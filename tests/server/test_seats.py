"""How many requests may be held."""

from __future__ import annotations

import threading
from argparse import Namespace
from ipaddress import IPv4Network, ip_network

import pytest

from devpi_forkbuilder.assembly import seats_of
from devpi_forkbuilder.web.waiting.client_address import ClientAddresses
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
    taken = [seats.take(), seats.take()]
    assert seats.take() is None
    assert not seats.wait_until_empty(0.01)
    leaving = [threading.Thread(target=seat.leave) for seat in taken if seat is not None]
    for thread in leaving:
        thread.start()
    assert seats.wait_until_empty(10)
    assert seats.taken == 0


def test_seats__one_address_has_half_of_them() -> None:
    seats = Seats(4)
    first, second = seats.take("192.0.2.1"), seats.take("192.0.2.1")
    assert seats.take("192.0.2.1") is None
    assert seats.take("192.0.2.2") is not None
    assert first is not None
    first.leave()
    assert seats.take("192.0.2.1") is not None
    assert second is not None


def test_seats__of_nobody_in_particular_are_not_counted() -> None:
    seats = Seats(4)
    assert all(seats.take() is not None for _ in range(4))
    assert seats.take() is None


def test_seats__some_are_left_to_others() -> None:
    seats = Seats(4)
    assert all(seats.take(spare=2) is not None for _ in range(2))
    assert seats.take(spare=2) is None
    assert seats.take() is not None


def test_seat__is_free_when_the_last_who_shares_it_has_left() -> None:
    seats = Seats(1)
    seat = seats.take("192.0.2.1")
    assert seat is not None
    seat.share()
    seat.leave()
    assert seats.taken == 1
    seat.leave()
    assert seats.taken == 0
    assert seats.take("192.0.2.1") is not None


PROXY = (ip_network("10.0.0.0/8"), ip_network("127.0.0.1/32"))
FORWARDED = "HTTP_X_FORWARDED_FOR"


@pytest.mark.parametrize(
    ("proxies", "environ", "address"),
    [
        ((), {"REMOTE_ADDR": "192.0.2.1"}, "192.0.2.1"),
        ((), {"REMOTE_ADDR": "::ffff:192.0.2.1"}, "192.0.2.1"),
        ((), {"REMOTE_ADDR": "2001:db8:1:2:3::4"}, "2001:db8:1:2::/64"),
        ((), {"REMOTE_ADDR": "127.0.0.1"}, ""),
        ((), {"REMOTE_ADDR": "localhost"}, ""),
        ((), {}, ""),
        ((), {"REMOTE_ADDR": "192.0.2.1", FORWARDED: "192.0.2.7"}, ""),
        ((), {"REMOTE_ADDR": "192.0.2.1", "HTTP_X_REAL_IP": "192.0.2.7"}, ""),
        (PROXY, {"REMOTE_ADDR": "192.0.2.1", FORWARDED: "192.0.2.7"}, "192.0.2.1"),
        (PROXY, {"REMOTE_ADDR": "127.0.0.1", FORWARDED: "203.0.113.9, 192.0.2.7"}, "192.0.2.7"),
        (PROXY, {"REMOTE_ADDR": "127.0.0.1", FORWARDED: "192.0.2.7, 10.1.2.3"}, "192.0.2.7"),
        (PROXY, {"REMOTE_ADDR": "10.1.2.3", "HTTP_X_REAL_IP": "192.0.2.7"}, "192.0.2.7"),
        (PROXY, {"REMOTE_ADDR": "10.1.2.3", FORWARDED: "nonsense"}, ""),
        (PROXY, {"REMOTE_ADDR": "10.1.2.3"}, ""),
    ],
)
def test_client_address__is_believed_of_trusted_proxies_only(
    proxies: tuple[IPv4Network, ...], environ: dict[str, str], address: str
) -> None:
    assert ClientAddresses(proxies).of(environ) == address
