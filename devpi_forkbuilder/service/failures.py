"""From an exception to a failure that can be kept and shown."""

from __future__ import annotations

import logging
import traceback

from devpi_forkbuilder.domain.states import State
from devpi_forkbuilder.errors import BuildError, ForkbuilderError, InfrastructureError
from devpi_forkbuilder.service.records import Failure

logger = logging.getLogger(__name__)


def printable_line(text: str) -> str:
    """`text` on one line, its control characters escaped: part of it may come from a fork or from a URL."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def explained(error: BaseException) -> ForkbuilderError:
    """`error` as one of ours. Of a foreign one only the type is reported: its text may hold anything, secrets too."""
    if isinstance(error, ForkbuilderError):
        return error
    return InfrastructureError(
        "unexpected",
        f"An unexpected error ended the work: {type(error).__name__}.",
        next_step="The server's own log has the details; please report them.",
    )


def failure_of(error: ForkbuilderError, stage: State) -> Failure:
    """`error`, met in `stage`, as a value to keep."""
    remedy = error.remedy if isinstance(error, BuildError) else ()
    return Failure(error.kind, error.reference, stage, printable_line(error.message), remedy)


def report_exception(error: BaseException, doing: str) -> None:
    """Log `error` with its traceback. Each line is marked, so that no text in it can pass for a line of the log."""
    lines = "".join(traceback.format_exception(type(error), error, error.__traceback__)).splitlines()
    logger.error(
        "unexpected error while %s\n%s", printable_line(doing), "\n".join(f"    | {printable_line(x)}" for x in lines)
    )
