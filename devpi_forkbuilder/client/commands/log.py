"""`devpi forks log`: a build's log, whole or as it grows."""

from __future__ import annotations

import codecs
import re
from collections.abc import Sequence

from devpi_forkbuilder.client.api_client import Server, ServerUnreachableError
from devpi_forkbuilder.client.context import CommandContext
from devpi_forkbuilder.client.models import ClientError, ForkState, Selector, selected
from devpi_forkbuilder.client.wait import PATIENCE, not_taken

WAIT = 1.0
"""Seconds that the server may wait for a change of state before the log is looked at again."""
COMMANDS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
"""What a terminal would obey; a build's output is a stranger's."""


def show_log(context: CommandContext) -> int:
    """Print the log; with `--follow` until the build has ended, and then the status is the build's."""
    args = context.args
    server, python = context.connect(), args.python or ""
    state = _one(server.states(Selector.parse(args.project).name, python=python), args.project)
    if args.follow:
        text, state = Follower(context, server, state, python).run()
    else:
        answer = server.log(state, tail=args.tail, python=python)
        if answer.status == 404:
            raise _no_log(state, python)
        text = answer.content.decode("utf-8", "replace")
        _print(context, text)
    context.screen.json({"project": state.project, "commit": state.commit, "state": state.state, "log": text})
    return 1 if args.follow and state.state == "failed" else 0


class Follower:
    """Prints a log to where the build ends, over pauses of the server and a build that begins anew.

    `python` is the interpreter whose build is meant, empty for any.
    """

    def __init__(self, context: CommandContext, server: Server, state: ForkState, python: str = "") -> None:
        self._context = context
        self._server = server
        self._state = state
        self._python = python
        self._started = state.started_at
        self._restart()
        self._heard = self._taken = context.clock.monotonic()

    def run(self) -> tuple[str, ForkState]:
        """All that was printed, and the state in the end.

        Raises ClientError when there is nothing to follow, or no more: the server has been away, or has left the
        build unasked for (after a start, say), for `PATIENCE`.
        """
        if self._state.state == "wanted" or (self._state.ended and not self._state.has_log):
            raise _no_log(self._state, self._python)
        pieces = [self._more()]
        while not self._state.ended:
            self._wait()
            pieces.append(self._more())
        context = self._context
        if self._state.state == "failed":
            context.screen.fault(f"{self._state.label} failed: {self._state.error}")
        return "".join(pieces), self._state

    def _wait(self) -> None:
        clock = self._context.clock
        begin = clock.monotonic()
        try:
            states = self._server.states(self._state.name, wait=WAIT, python=self._python)
            self._heard = clock.monotonic()
        except ServerUnreachableError:
            if clock.monotonic() - self._heard > PATIENCE:
                raise
            states = (self._state,)
        fresh = next((state for state in states if state.key == self._state.key), None)
        if fresh is None:
            what = f"{self._state.label} at {self._state.commit[:7]} is no longer pinned."
            raise ClientError("pin-changed", what, next_step="'devpi forks list' shows what is.")
        if fresh.started_at is not None and fresh.started_at != self._started:
            self._started = fresh.started_at
            self._restart()
        self._state = fresh
        self._check_taken()
        clock.sleep(max(0.0, 0.5 - (clock.monotonic() - begin)))

    def _check_taken(self) -> None:
        """Raises ClientError when the build has been only wanted for too long."""
        now = self._context.clock.monotonic()
        if self._state.state != "wanted":
            self._taken = now
        elif now - self._taken > PATIENCE:
            raise not_taken(self._state)

    def _restart(self) -> None:
        """A new build has a new log."""
        self._seen = 0
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def _more(self) -> str:
        """What has been added since; the state is asked for before, so that an ended build's log is whole here."""
        if self._state.state in {"wanted", "queued"}:
            return ""  # what there is belongs to an earlier build
        try:
            answer = self._server.log(self._state, self._seen, python=self._python)
        except ServerUnreachableError:
            return ""
        if answer.status not in {200, 206}:
            return ""
        # a server that knows no ranges sends all of it
        data = answer.content[self._seen :] if answer.status == 200 else answer.content
        self._seen += len(data)
        text = self._decoder.decode(data)
        _print(self._context, text)
        return text


def _one(states: Sequence[ForkState], wanted: str) -> ForkState:
    found = selected(states, [wanted])
    if len(found) > 1:
        labels = ", ".join(state.label for state in found)
        raise ClientError("several-pins", f"{wanted} is pinned several times.", next_step=f"Name one: {labels}")
    return found[0]


def _no_log(state: ForkState, python: str) -> ClientError:
    whose = f"{state.label} at {state.commit[:7]}{f' for Python {python}' if python else ''}"
    what = f"There is no log of {whose} on this server: its state is {state.state}."
    option = f" --python {python}" if python else ""
    return ClientError("no-log", what, next_step=f"'devpi forks build {state.label}{option}' starts a build.")


def _print(context: CommandContext, text: str) -> None:
    if text and not context.screen.wants_json:
        context.screen.exact(COMMANDS.sub("", text) if context.screen.out.isatty() else text)
