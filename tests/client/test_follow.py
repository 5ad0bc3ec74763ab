"""Following a log, on a server that is a list of answers."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

import pytest

from devpi_forkbuilder.client.api_client import ApiAnswer, ServerUnreachableError
from devpi_forkbuilder.client.commands.log import Follower
from devpi_forkbuilder.client.context import CommandContext
from devpi_forkbuilder.client.models import ClientError, ForkState
from devpi_forkbuilder.client.terminal import Screen
from devpi_forkbuilder.client.wait import WaitClock
from tests.client.told import B, told

AWAY = ServerUnreachableError("server-unreachable", "away")


def state(now: str, **more: object) -> ForkState:
    return ForkState.read(told(state=now, **more))


class Server:
    """At each look the next of (state, log so far) is true; the last one stays."""

    def __init__(self, looks: Sequence[tuple[ForkState, bytes]], *, ranges: bool = True) -> None:
        self.looks = list(looks)
        self.ranges = ranges
        self.away = 0

    def states(self, project: str, wait: float = 0, python: str = "") -> tuple[ForkState, ...]:
        assert (project, wait, python) == ("r", 1, "3.12")
        if self.away:
            self.away -= 1
            raise AWAY
        if len(self.looks) > 1:
            self.looks.pop(0)
        return (self.looks[0][0],)

    def log(self, _: ForkState, start: int, python: str = "") -> ApiAnswer:
        assert python == "3.12"
        log = self.looks[0][1]
        if not self.ranges:
            return ApiAnswer(200, "OK", {}, log, None)
        if start and start >= len(log):
            return ApiAnswer(416, "Range Not Satisfiable", {}, b"", None)
        return ApiAnswer(206 if start else 200, "", {}, log[start:], None)


def follow(server: Any) -> str:
    moments = iter(range(1000))
    clock = WaitClock(lambda: float(next(moments)), lambda _: None, lambda: 0.0)
    context = CommandContext(None, argparse.Namespace(), Screen({}, wants_json=True), {}, clock)
    return Follower(context, server, server.looks[0][0], "3.12").run()[0]


GROWING = [
    (state("building", started_at=1.0), b"one\n"),
    (state("building", started_at=1.0), b"one\n"),
    (state("building", started_at=1.0), b"one\ntw\xc3"),
    (state("built", started_at=1.0, log_url="http://x"), b"one\ntw\xc3\xb6\n"),
]


@pytest.mark.parametrize("ranges", [True, False])
def test_follow__each_byte_once_and_letters_whole(ranges):
    assert follow(Server(GROWING, ranges=ranges)) == "one\ntwö\n"


def test_follow__what_an_earlier_build_left_is_not_shown():
    looks = [
        (state("queued", log_url="http://x"), b"of an earlier build, and longer\n"),
        (state("building", started_at=2.0), b"new\n"),
        (state("failed", started_at=2.0, log_url="http://x"), b"new\nend\n"),
    ]
    assert follow(Server(looks)) == "new\nend\n"


def test_follow__a_build_that_begins_anew_is_shown_from_its_begin():
    looks = [
        (state("building", started_at=1.0), b"long first try\n"),
        (state("queued"), b"long first try\n"),
        (state("building", started_at=2.0), b"second\n"),
        (state("built", started_at=2.0), b"second\nend\n"),
    ]
    assert follow(Server(looks)) == "long first try\nsecond\nend\n"


def test_follow__a_server_that_is_away_for_a_moment():
    server = Server(GROWING)
    server.away = 3
    assert follow(server) == "one\ntwö\n"


def test_follow__a_server_that_stays_away():
    server = Server(GROWING)
    server.away = 1000
    with pytest.raises(ServerUnreachableError):
        follow(server)


@pytest.mark.parametrize(("now", "text"), [("wanted", "There is no log of"), ("built", "There is no log of")])
def test_follow__nothing_to_follow(now, text):
    with pytest.raises(ClientError, match=text):
        follow(Server([(state(now), b"")]))


def test_follow__a_build_that_is_not_asked_for_any_more():
    with pytest.raises(ClientError, match=r"does not start to build r==1\.0\.2") as caught:
        follow(Server([(state("building"), b""), (state("wanted"), b"")]))
    assert caught.value.reference == "not-taken"


def test_follow__a_build_that_is_only_wanted_for_a_moment():
    waiting = [(state("wanted"), b"")] * 10
    begun = [(state("building", started_at=2.0), b"new\n"), (state("built", started_at=2.0), b"new\n")]
    assert follow(Server([(state("building", started_at=1.0), b"old\n"), *waiting, *begun])) == "old\nnew\n"


def test_follow__a_pin_that_moves_away():
    with pytest.raises(ClientError, match="is no longer pinned"):
        follow(Server([(state("building"), b""), (state("building", commit=B), b"")]))
