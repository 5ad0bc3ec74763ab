"""Finds the setting that makes a fork build by building it with the known remedies in turn, in the sandbox."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from devpi_forkbuilder.domain import remedies
from devpi_forkbuilder.domain.pins.orders import Order
from devpi_forkbuilder.domain.remedies import Remedy
from devpi_forkbuilder.errors import BuildError, ForkbuilderError, LimitsError, MismatchError
from devpi_forkbuilder.pipeline.frontend.pep517 import ProjectError

TRY = "'devpi forks build {} --diagnose' tries it and others."


def hinted(order: Order, error: ProjectError) -> ProjectError:
    """Return `error` with the line that often helps against what the build printed; as it is where none is known."""
    lines = remedies.suggested_lines(order.pin.project, remedies.suggested(error.output)[:1])
    if not lines:
        return error
    step = f"This often helps: {lines[0]}; {TRY.format(order.pin.project)} {error.next_step}"
    return ProjectError(error.reference, error.what, next_step=step, output=error.output)


def diagnose(
    order: Order,
    error: ProjectError,
    attempt: Callable[[Order], None],
    pythons: Sequence[str],
    say: Callable[[str], None],
) -> BuildError:
    """Build `order`, which failed with `error`, with one remedy after the other; what has helped against one failure
    stays for the next one. `attempt` builds and raises as a build does.

    The answer is the failure to report, with the settings that make the fork build, or the list of what was tried.
    Raises what `attempt` raises beside failures of the fork.
    """
    current, tried, builds = order, list[Remedy](), 0
    output = error.output
    while builds < remedies.MOST and (remedy := _next(output, tried)) is not None:
        tried.append(remedy)
        changed = remedies.applied(current, remedy, pythons)
        if changed is None:
            say(f"diagnosis: no interpreter here for {remedy.name}" if remedy.newest else f"diagnosis: {remedy.name}")
            continue
        builds += 1
        say(f"diagnosis: trying {'; '.join(remedies.remedy_settings(order, changed))}")
        try:
            attempt(changed)
        except ProjectError as failure:
            if remedies.suggested(failure.output) != remedies.suggested(output):
                current, output = changed, failure.output
        except (BuildError, MismatchError, LimitsError) as failure:
            say(f"diagnosis: {failure.what}")
        else:
            return _found(error, remedies.remedy_settings(order, changed))
    return _nothing(order, error, tried)


def _next(output: bytes, tried: Sequence[Remedy]) -> Remedy | None:
    candidates = remedies.suggested(output) or tuple(remedies.unsigned())
    return next((remedy for remedy in candidates if remedy not in tried), None)


def _found(error: ForkbuilderError, lines: Sequence[str]) -> BuildError:
    step = f"It builds with: {'; '.join(lines)}"
    return BuildError(error.reference, error.what, next_step=step, remedy=tuple(lines))


def _nothing(order: Order, error: ProjectError, tried: Sequence[Remedy]) -> BuildError:
    lines = remedies.suggested_lines(order.pin.project, tried)
    step = f"None of these makes it build: {'; '.join(lines) or 'nothing is known'}. {error.next_step}"
    return BuildError(error.reference, error.what, next_step=step)
