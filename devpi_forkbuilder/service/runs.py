"""What a worker does with one order: look, build, publish, look again; and what becomes of whatever goes wrong."""

from __future__ import annotations

import threading
from contextlib import ExitStack, closing
from dataclasses import replace

from devpi_forkbuilder.domain.orders import Order
from devpi_forkbuilder.domain.states import State
from devpi_forkbuilder.errors import MismatchError
from devpi_forkbuilder.pipeline.seams import Builder, CancelledError
from devpi_forkbuilder.service import tally
from devpi_forkbuilder.service.board import Board
from devpi_forkbuilder.service.failures import explained, failure_of, printable, report
from devpi_forkbuilder.service.flights import Flight
from devpi_forkbuilder.service.logs import Logs
from devpi_forkbuilder.service.progress import Run
from devpi_forkbuilder.service.retry import retry_at
from devpi_forkbuilder.service.seams import Clock, OpenLog, Publisher


class Runner:
    """Runs orders in the calling thread. No exception leaves it, and no flight is left without an end."""

    def __init__(
        self,
        *,
        builder: Builder,
        publisher: Publisher,
        board: Board,
        logs: Logs,
        open_log: OpenLog,
        clock: Clock,
        counts: tally.Tally,
        stopping: threading.Event,
    ) -> None:
        self._builder = builder
        self._publisher = publisher
        self._board = board
        self._logs = logs
        self._open_log = open_log
        self._clock = clock
        self._counts = counts
        self._stopping = stopping

    def run(self, order: Order, flight: Flight) -> None:
        """Take `flight` to its end."""
        try:
            with ExitStack() as stack:
                run = Run(flight, self._board, self._clock, self._stopping)
                try:
                    self._fly(order, run, stack)
                except BaseException as error:  # noqa: BLE001 - a SystemExit in a builder is no reason to end a worker
                    self._fell(run, error, stack)
        except BaseException as error:  # noqa: BLE001 - what goes wrong on the way down must not leave waiters hanging
            report(error, f"ending the run of {flight.key.project}")
            self._crashed(flight, error)

    def _fly(self, order: Order, run: Run, stack: ExitStack) -> None:
        run.begin()
        if self._publisher.covers(order):
            if run.built():
                self._counts.count(tally.COVERED)
            return
        name = self._logs.name(order.key)
        run.logging_to(name)
        log = stack.enter_context(closing(self._logs.start(name, self._open_log)))
        run.opened(log)
        with self._builder.build(order, run) as built:
            run.commit_time(built.commit_time)
            run.enter(State.PUBLISHING)
            self._publisher.publish(order, built)
            self._look_again(order)
            run.log.say(f"Published: {', '.join(artefact.filename for artefact in built.artefacts)}")
            # Here and not behind the context: nobody waits for the clean-up.
            if run.built():
                self._counts.count(tally.BUILT)
                self._counts.spend(run.record.seconds)

    def _look_again(self, order: Order) -> None:
        """Without this a build that does not serve its order would be asked for, and run, at every request."""
        if not self._publisher.covers(order):
            target = f"Python {order.python}" if order.python else "this server's Python"
            raise MismatchError(
                "files-do-not-fit",
                f"The build of {order.pin.project} succeeded, but none of its files can be used for {target}.",
                next_step="Look at the tags of its files; `fork_pythons` says for which interpreters to build.",
            )

    def _fell(self, run: Run, error: BaseException, stack: ExitStack) -> None:
        if run.flight.done:
            self._too_late(run, error)
        elif self._stopping.is_set():
            # What fails while the server stops fails because it stops: to remember it would blame the order.
            run.log.say("The server stopped; the build starts again when it is asked for.")
            if self._board.interrupt(run.flight):
                self._counts.count(tally.CANCELLED)
        else:
            self._failed(run, error, stack)

    def _too_late(self, run: Run, error: BaseException) -> None:
        """The result is out, or `stop` gave the run up: nothing of it changes."""
        if not isinstance(error, CancelledError):
            report(error, f"cleaning up after {run.flight.key.project}")

    def _failed(self, run: Run, error: BaseException, stack: ExitStack) -> None:
        told = explained(error)
        if told is not error:
            report(error, f"building {run.flight.key.project} at {run.flight.key.commit}")
        stage = run.record.state
        run.log.say(f"Failed while {stage.value}: {printable(told.what)}")
        run.log.say(f"Whose: {told.whose}.")
        run.log.say(f"Next step: {printable(told.next_step) or 'see the lines above.'}")
        # Whoever hears of the failure reads the log next, and a log may hold its last lines back until it is closed.
        stack.close()
        again = retry_at(told, run.record.attempts, self._clock.now())
        if run.failed(failure_of(told, stage), again):
            self._counts.count(tally.FAILED[told.kind])
            self._counts.spend(run.record.seconds)

    def _crashed(self, flight: Flight, error: BaseException) -> None:
        record = flight.record
        failure = failure_of(explained(error), record.state)
        if self._board.conclude(flight, replace(record, state=State.FAILED, error=failure, retry_at=0.0)):
            self._counts.count(tally.FAILED[failure.kind])
