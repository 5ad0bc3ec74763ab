from __future__ import annotations

import io
import itertools
import sys
from collections.abc import Sequence

import pytest

from devpi_forkbuilder.client.api_client import ServerUnreachableError
from devpi_forkbuilder.client.models import ClientError, ForkState
from devpi_forkbuilder.client.terminal import Screen, Table, plain, printable
from devpi_forkbuilder.client.wait import AGAIN, LONG, PATIENCE, SHORT, BuildWatch, WaitClock
from tests.client.told import B, told

AWAY = ServerUnreachableError("server-unreachable", "away")


class Time:
    """A clock that only `sleep` and `pass_by` move."""

    def __init__(self) -> None:
        self.now = 100.0

    def pass_by(self, seconds: float) -> None:
        self.now += seconds

    @property
    def clock(self) -> WaitClock:
        return WaitClock(lambda: self.now, self.pass_by, lambda: self.now)


class Server:
    """Answers each `states` with the next of `answers`; the last one stays. An exception is raised."""

    def __init__(self, time: Time, answers: Sequence[Sequence[ForkState] | Exception]) -> None:
        self.time = time
        self.answers = list(answers)
        self.waits: list[tuple[str | None, float]] = []
        self.pythons: list[str] = []
        self.built: list[tuple[str, float]] = []

    def states(self, project: str | None = None, wait: float = 0, python: str = "") -> tuple[ForkState, ...]:
        self.waits.append((project, wait))
        self.pythons.append(python)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            self.time.pass_by(1)
            raise answer
        return tuple(state for state in answer if project in {None, state.name})

    def build(self, project: str, **options: object) -> tuple[ForkState, ...]:
        self.built.append((f"{project} {options['commit']}", self.time.now))
        return ()


class Live:
    def __init__(self) -> None:
        self.changes = 0

    def changed(self) -> None:
        self.changes += 1


def state(name: str = "r", now: str = "wanted", **more: object) -> ForkState:
    return ForkState.read(told(project=name, state=now, **more))


def follow(begin: Sequence[ForkState], answers: Sequence[Sequence[ForkState] | Exception]) -> tuple[BuildWatch, Server]:
    time = Time()
    server = Server(time, answers)
    watch = BuildWatch(server, begin, time.clock)
    watch.follow(Live())
    return watch, server


def test_watch__asks_nothing_when_all_has_ended():
    _, server = follow([state(now="built")], [[]])
    assert server.waits == []


def test_watch__one_project_is_waited_for_long():
    watch, server = follow([state(now="queued")], [[state(now="building")], [state(now="built")]])
    assert server.waits == [("r", LONG), ("r", LONG)]
    assert [one.state for one in watch.states] == ["built"]


def test_watch__several_are_all_looked_at_and_the_running_one_is_waited_for():
    begin = [state("a", "queued"), state("b", "building")]
    end = [state("a", "failed"), state("b", "built")]
    _, server = follow(begin, [[state("b", "building")], [state("a", "queued")], end, end])
    assert server.waits == [("b", SHORT), ("a", 0), ("b", SHORT), ("a", 0)]


def test_watch__many_are_asked_for_by_one_list():
    names = [f"p{number}" for number in range(20)]
    _, server = follow([state(name, "queued") for name in names], [[state(name, "built") for name in names]])
    assert server.waits == [("p0", SHORT), (None, 0)]


@pytest.mark.parametrize("count", [1, 2, 20])
def test_watch__asks_only_for_the_interpreter_that_is_built_for(count):
    names = [f"p{number}" for number in range(count)]
    time = Time()
    server = Server(time, [[state(name, "built") for name in names]])
    BuildWatch(server, [state(name, "queued") for name in names], time.clock, "3.12").follow(Live())
    assert server.pythons == ["3.12"] * min(count, 2)


def test_watch__a_server_that_is_away_for_a_moment():
    watch, _ = follow([state(now="building")], [AWAY, AWAY, [state(now="built")]])
    assert watch.states[0].state == "built"


def test_watch__a_server_that_stays_away():
    with pytest.raises(ServerUnreachableError):
        follow([state(now="building")], [AWAY])


def test_watch__asks_again_for_what_was_not_taken():
    answers = [[state()]] * 20 + [[state(now="building")], [state(now="built")]]
    _, server = follow([state()], answers)
    times = [when for _, when in server.built]
    assert times
    assert all(after - before > AGAIN for before, after in itertools.pairwise(times))


def test_watch__gives_up_when_nothing_is_ever_taken():
    time = Time()
    with pytest.raises(ClientError, match=r"does not start to build r==1\.0\.2"):
        BuildWatch(Server(time, [[state()]]), [state()], time.clock).follow(Live())
    assert time.now - 100 < PATIENCE + AGAIN


def test_watch__a_pin_that_moves_away_is_not_waited_for():
    with pytest.raises(ClientError, match=r"r==1\.0\.2 at aaaaaaa is no longer pinned"):
        follow([state(now="building")], [[state(now="building", commit=B)]])


def test_watch__news_are_told_once():
    time = Time()
    watch = BuildWatch(
        Server(time, [[]]), [state(now="queued"), state("s", "built", seconds={"build": 1.25})], time.clock
    )
    assert watch.news() == ["r==1.0.2 (aaaaaaa): queued", "s==1.0.2 (aaaaaaa): built, 1.2 s"]
    assert watch.news() == []


# what is shown


def test_plain__columns_and_nothing_that_a_terminal_obeys():
    table = Table(("a", "long header"), [("\x1b[31mred\n", "x"), ("", "")])
    assert plain(table) == ["a          long header", " [31mred   x", ""]
    assert printable("a\x00\x9b\r\nb") == "a b"


def test_screen__json_silences_the_rest(capsys):
    screen = Screen({}, wants_json=True)
    screen.line("a line")
    screen.table(Table(("a",), [("b",)]))
    with screen.live(BuildWatch(Server(Time(), [[]]), [state()], Time().clock)) as live:
        live.changed()
    screen.json({"x": 1})
    screen.fault("wrong")
    out, err = capsys.readouterr()
    assert out == '{\n  "x": 1\n}\n'
    assert err == "wrong\n"


def test_screen__without_a_terminal_there_are_lines_and_no_colours(capsys):
    screen = Screen({})
    screen.table(Table(("state",), [("built",)]))
    with screen.live(BuildWatch(Server(Time(), [[]]), [state(now="building")], Time().clock)) as live:
        live.changed()
        live.changed()
    screen.note("mind")
    out, err = capsys.readouterr()
    assert out == "state\nbuilt\nr==1.0.2 (aaaaaaa): building\n"
    assert err == "mind\n"


def test_screen__a_terminal_without_rich(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    written = Terminal()
    monkeypatch.setitem(sys.modules, "rich.console", None)
    monkeypatch.setattr("sys.stdout", written)
    Screen({"TERM": "xterm"}).table(Table(("state",), [("built",)]))
    assert written.getvalue() == "state\nbuilt\n"


def test_screen__nobody_can_be_asked(monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("yes\n"))
    assert Screen({}).confirmed("Well?") is None


@pytest.mark.parametrize(("typed", "expected"), [("y\n", True), ("Yes\n", True), ("no\n", False), ("", False)])
def test_screen__asks_on_standard_error(monkeypatch, capsys, typed, expected):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr("sys.stdin", Terminal(typed))
    assert Screen({}).confirmed("Store 1 pins?") is expected
    assert capsys.readouterr() == ("", "Store 1 pins? [y/N] ")
