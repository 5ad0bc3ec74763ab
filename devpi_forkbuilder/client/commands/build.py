"""`devpi forks build`: ask for builds and, if wanted, wait for them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from devpi_forkbuilder.client.api_client import Server, require_login
from devpi_forkbuilder.client.context import CommandContext
from devpi_forkbuilder.client.models import ClientError, ForkState, selected
from devpi_forkbuilder.client.wait import BuildWatch

TAIL = 15
"""Lines of a failed build's log that are shown."""


def build_forks(context: CommandContext) -> int:
    """Build what is meant; with `--wait`, the builds' result is ours."""
    args = context.args
    if args.projects and args.all:
        raise ClientError("which", "Name the projects to build, or give --all, not both.")
    if not args.projects and not args.all and not args.failed:
        raise ClientError("which", "Name the projects to build, or give --all or --failed.")
    server = context.connect()
    require_login(server, "build on")
    pinned = server.states()
    pins = selected(pinned, args.projects) if args.projects else pinned
    if args.failed:
        pins = tuple(state for state in pins if state.state == "failed")
        _show_again(context, pins)
    force = args.force or args.failed
    wait = args.wait or args.diagnose
    states = run(context, server, pins, wait=wait, force=force, python=args.python or "", diagnose=args.diagnose)
    context.screen.json([dict(state.raw) for state in states])
    return result(states)


def _show_again(context: CommandContext, pins: Sequence[ForkState]) -> None:
    """Say which failed builds are started again."""
    for state in pins:
        context.screen.line(f"{state.label} is built again; it failed: {state.error}")
    if not pins:
        context.screen.line("no build has failed")


def result(states: Iterable[ForkState]) -> int:
    """The exit status: 1 when a build has failed."""
    return 1 if any(state.state == "failed" for state in states) else 0


def run(
    context: CommandContext,
    server: Server,
    pins: Sequence[ForkState],
    *,
    wait: bool,
    force: bool = False,
    python: str = "",
    diagnose: bool = False,
) -> Sequence[ForkState]:
    """Ask for the builds of `pins` that have no file, wait if wanted, and tell how it went; the states then."""
    states = list(started(server, pins, force=force, python=python, diagnose=diagnose))
    if wait and states:
        watch = BuildWatch(server, states, context.clock, python)
        with context.screen.live(watch) as live:
            states = list(watch.follow(live))
    elif states:
        context.screen.table(BuildWatch(server, states, context.clock).table())
    for state in states:
        if state.state == "failed":
            _tell_failure(context, server, state, remembered=not wait, python=python)
    return states


def started(
    server: Server, pins: Iterable[ForkState], *, force: bool = False, python: str = "", diagnose: bool = False
) -> Iterable[ForkState]:
    """Ask for what is not built; the states after that. With `python`, the server knows whether its file is there."""
    for pin in pins:
        if pin.state == "built" and not python:
            yield pin
            continue
        states = server.build(pin.name, commit=pin.commit, force=force, python=python, diagnose=diagnose)
        yield next((state for state in states if state.key == pin.key), pin)


def _tell_failure(context: CommandContext, server: Server, state: ForkState, *, remembered: bool, python: str) -> None:
    context.screen.fault(f"{state.label} failed: {state.error}")
    for line in state.remedy:
        setting, _, value = line.partition(": ")
        context.screen.line(f"{state.label} builds with: {line}")
        context.screen.line(f"  devpi index {'/'.join(server.url.split('/')[-2:])} {setting}+='{value}'")
    if remembered:
        context.screen.fault(f"'devpi forks build {state.label} --force --wait' tries again")
        return
    answer = server.log(state, tail=TAIL, python=python)
    if answer.status == 404 and python and state.has_log:
        # another interpreter than was asked for had to build it, and the log is kept under that one's name
        answer = server.log(state, tail=TAIL)
    if answer.status == 200:
        for line in answer.content.decode("utf-8", "replace").splitlines():
            context.screen.fault(f"  {line}")
        context.screen.fault(f"all of it: devpi forks log {state.label}")
