"""What a worker does with one order: look, build, publish, look again; and what becomes of whatever goes wrong."""

from __future__ import annotations

import threading
from contextlib import ExitStack, closing
from dataclasses import replace

from devpi_forkbuilder.domain.pins.orders import Order
from devpi_forkbuilder.domain.results import Built
from devpi_forkbuilder.domain.states import State
from devpi_forkbuilder.errors import BuildError, MismatchError
from devpi_forkbuilder.pipeline.protocols import Builder, CancelledError, NeedsPinsError
from devpi_forkbuilder.pipeline.tracing import traced
from devpi_forkbuilder.service import counters
from devpi_forkbuilder.service.build_events import log_state
from devpi_forkbuilder.service.dependency_wait import DependencyWait
from devpi_forkbuilder.service.failures import explained, failure_of, printable_line, report_exception
from devpi_forkbuilder.service.logs import Logs
from devpi_forkbuilder.service.retry import retry_at
from devpi_forkbuilder.service.run import Run
from devpi_forkbuilder.service.seams import Claim, Clock, OpenLog, Publisher
from devpi_forkbuilder.service.single_flight.flight import Flight
from devpi_forkbuilder.service.single_flight.registry import FlightRegistry

MOST_AHEAD = 20
"""How many builds one build may bring with it."""


class Worker:
    """Runs orders in the calling thread. No exception leaves it, and no flight is left without an end: what has to wait
    for others is in `parking`.
    """

    def __init__(  # noqa: PLR0913 - the parts of a composition, each by its name
        self,
        *,
        builder: Builder,
        publisher: Publisher,
        board: FlightRegistry,
        logs: Logs,
        open_log: OpenLog,
        clock: Clock,
        counts: counters.Counters,
        stopping: threading.Event,
        dependency_wait: DependencyWait,
        claim: Claim,
    ) -> None:
        self._builder = builder
        self._publisher = publisher
        self._board = board
        self._logs = logs
        self._open_log = open_log
        self._clock = clock
        self._counts = counts
        self._stopping = stopping
        self._dependency_wait = dependency_wait
        self._claim = claim

    def run(self, order: Order, flight: Flight) -> tuple[Order, ...]:
        """Take `flight` to its end. The answer: what is to be built ahead now."""
        try:
            with ExitStack() as stack:
                run = Run(order, flight, self._board, self._clock, self._stopping, self._publisher)
                try:
                    return self._fly(order, run, stack)
                except BaseException as error:  # noqa: BLE001 - a SystemExit in a builder must not end a worker
                    self._fell(run, error, stack)
        except BaseException as error:  # noqa: BLE001 - what goes wrong on the way down must not leave waiters hanging
            report_exception(error, f"ending the run of {flight.key.project}")
            self._crashed(flight, error)
        return ()

    def _fly(self, order: Order, run: Run, stack: ExitStack) -> tuple[Order, ...]:
        stack.enter_context(self._claim(order.key, run.cancelled))
        run.begin()
        record = run.record
        if record.queued_at is not None and record.started_at is not None:
            self._counts.waited(record.started_at - record.queued_at)
        if self._publisher.covers(order):
            if run.built():
                self._counts.count(counters.COVERED)
            return ()
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
            # Counted first: whoever waited looks at the figures next.
            if not run.flight.done:
                self._counts.succeed(built)
                self._counts.spend(run.spent())
            run.built()
            return _others(order, built)

    def give_up(self, flight: Flight, error: BuildError) -> None:
        """`flight`, which was parked, ends with `error`. It is tried again whenever it is asked for: what it waited
        for may be fixed, and then nothing of its own changes. Nothing happens when `stop` has ended it.
        """
        record = replace(
            flight.record,
            state=State.FAILED,
            error=failure_of(error, flight.record.state),
            finished_at=self._clock.now(),
            retry_at=self._clock.now(),
        )
        if self._board.conclude(flight, record):
            with traced(flight.trace):
                log_state(record)
            self._counts.fail(error.kind, record.error.stage if record.error is not None else State.QUEUED)

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
        elif isinstance(error, NeedsPinsError) and not self._stopping.is_set():
            self._park(run, error, stack)
        elif self._stopping.is_set():
            # What fails while the server stops fails because it stops: to remember it would blame the order.
            run.log.say("The server stopped; the build starts again when it is asked for.")
            if self._board.interrupt(run.flight):
                self._counts.count(counters.CANCELLED)
        else:
            self._failed(run, error, stack)

    def _park(self, run: Run, error: NeedsPinsError, stack: ExitStack) -> None:
        run.log.say(
            f"This needs pinned projects that are not built yet: {printable_line(str(error))}. They come first."
        )
        stack.close()
        try:
            run.parked()
            self._dependency_wait.park((run.order, run.flight), error.orders, error.python)
        except CancelledError:
            return  # the server stops, and has ended the flight
        except BuildError as cycle:
            self.give_up(run.flight, cycle)

    def _too_late(self, run: Run, error: BaseException) -> None:
        """The result is out, or `stop` gave the run up: nothing of it changes."""
        if not isinstance(error, CancelledError):
            report_exception(error, f"cleaning up after {run.flight.key.project}")

    def _failed(self, run: Run, error: BaseException, stack: ExitStack) -> None:
        reported = explained(error)
        if reported is not error:
            report_exception(error, f"building {run.flight.key.project} at {run.flight.key.commit}")
        stage = run.record.state
        run.log.say(f"Failed while {stage.value}: {printable_line(reported.what)}")
        run.log.say(f"Cause: {reported.whose}.")
        run.log.say(f"Next step: {printable_line(reported.next_step) or 'see the lines above.'}")
        # Whoever hears of the failure reads the log next, and a log may hold its last lines back until it is closed.
        stack.close()
        again = retry_at(reported, run.record.attempts, self._clock.now())
        if not run.flight.done:
            self._counts.fail(reported.kind, stage)
            self._counts.spend(run.spent())
        run.failed(failure_of(reported, stage), again)

    def _crashed(self, flight: Flight, error: BaseException) -> None:
        record = flight.record
        failure = failure_of(explained(error), record.state)
        if self._board.conclude(flight, replace(record, state=State.FAILED, error=failure, retry_at=0.0)):
            self._counts.fail(failure.kind, failure.stage)


def _others(order: Order, built: Built) -> tuple[Order, ...]:
    """The orders for the other interpreters that a pin is built for, when its wheel is made for one."""
    if all(artefact.pure for artefact in built.artefacts):
        return ()
    names = (python for python in order.ahead[:MOST_AHEAD] if python != order.python)
    return tuple(replace(order, python=python, ahead=()) for python in names)
