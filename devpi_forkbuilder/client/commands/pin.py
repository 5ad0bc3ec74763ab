"""`devpi forks pin` and `unpin`: show what will change, ask, and store it in one request."""

from __future__ import annotations

from collections.abc import Sequence

from devpi_forkbuilder.client.api_client import Server, require_login
from devpi_forkbuilder.client.commands import build
from devpi_forkbuilder.client.computed_names import computed_by
from devpi_forkbuilder.client.context import CommandContext, fault_json, notes_json
from devpi_forkbuilder.client.models import ClientError, ForkState, Selector, require
from devpi_forkbuilder.client.requested import Requested, ask_git_hosts, asker
from devpi_forkbuilder.client.requirement_files import read_all, read_arguments, together
from devpi_forkbuilder.client.terminal import Table, counted
from devpi_forkbuilder.client.upgrading import upgrades
from devpi_forkbuilder.domain.pins.pin_diff import Change, PinDiff, PinMove, pin_diff
from devpi_forkbuilder.domain.pins.pins import Pin
from devpi_forkbuilder.domain.requirements_files.requirements import Requirements


def pin(context: CommandContext) -> int:
    """Pin the git requirements of files and arguments."""
    args, screen = context.args, context.screen
    found = _read(context)
    server = context.connect()
    if not args.check:
        require_login(server, "pin on")
    stored = server.pins()
    if args.upgrade:
        found = together([found, upgrades(stored, args.upgrade, asker(context.environ))])
    request = ask_git_hosts(found, context.environ, computed_by(server, context.clock))
    plan = pin_diff(stored, request.pins)
    _show(context, request, plan)
    if args.check:
        return _check(context, server, request, plan)
    stop = bool(request.faults) and not args.keep_going
    agreed = not stop and not args.dry_run and _agreed(context, server, plan)
    if agreed and plan.changes:
        server.change_pins([move.before for move in plan.changes if move.before], [move.after for move in plan.changes])
        screen.line(f"{counted(len(plan.changes), 'pin')} stored on {server.index}")
    elif stop:
        screen.fault("nothing is stored: fix the lines above, or use --keep-going to leave them out")
    states: Sequence[ForkState] = ()
    if agreed and (args.build or args.wait) and request.pins:
        states = build.run(context, server, _states(server, plan), wait=args.wait)
    screen.json(_json(server, request, plan, agreed, states))
    refused = not agreed and not args.dry_run
    return 1 if refused or request.faults else build.result(states)


def _check(context: CommandContext, server: Server, request: Requested, plan: PinDiff) -> int:
    """Whether the files and the index say the same; 1 when they do not."""
    asked = {move.before for move in plan.moves} | {move.after for move in plan.moves}
    others = [pin for pin in plan.pins if pin not in asked]
    for pin in others:
        context.screen.fault(f"{pin.project} {pin.version or '(no version)'} is pinned on {server.index} only")
    differ = bool(plan.changes or others or request.faults)
    if not differ:
        context.screen.line(f"{server.index} has the pins of the files, and no others")
    context.screen.json(_json(server, request, plan, False, ()) | {"only_on_index": [_pin_json(pin) for pin in others]})
    return int(differ)


def unpin(context: CommandContext) -> int:
    """Remove the pins that are meant."""
    screen = context.screen
    server = context.connect()
    require_login(server, "unpin on")
    selectors = [Selector.parse(text) for text in context.args.projects]
    stored = server.pins()
    require([(pin.name, pin.version) for pin in stored], selectors)
    gone = [pin for pin in stored if any(one.means(pin.name, pin.version) for one in selectors)]
    rows = [("removed", pin.project, pin.version or "", pin.commit7, pin.url) for pin in gone]
    screen.table(Table(("change", "project", "version", "commit", "repository"), rows))
    agreed = _asked(context, f"Remove {counted(len(gone), 'pin')} from {server.index}?")
    if agreed:
        server.change_pins(gone, [])
        screen.line(f"{counted(len(gone), 'pin')} removed from {server.index}; files that were built stay")
    screen.json({"index": server.index, "stored": agreed, "removed": [_pin_json(pin) for pin in gone]})
    return 0 if agreed else 1


def _read(context: CommandContext) -> Requirements:
    args = context.args
    if not args.requirement and not args.requirements and not args.upgrade:
        raise ClientError("nothing-given", "Name what to pin: -r FILE, git+URL@REF#egg=NAME, or --upgrade NAME.")
    found = together([read_all(args.requirement, context.environ), read_arguments(args.requirements, context.environ)])
    if not found.git_lines and not found.faults and not args.upgrade:
        names = ", ".join(args.requirement)
        raise ClientError("no-git-lines", f"There are no git requirements in {names}.", next_step="Nothing to pin.")
    return found


def _show(context: CommandContext, request: Requested, plan: PinDiff) -> None:
    headers = ("change", "project", "version", "commit", "from", "repository")
    context.screen.table(Table(headers, [_row(m, request) for m in plan.moves]))
    context.show_faults(request.faults)
    context.show_notes(request.lines)
    same = len(plan.moves) - len(plan.changes)
    if not plan.changes and same:
        context.screen.line("nothing to change: all of this is pinned already")


def _row(move: PinMove, request: Requested) -> tuple[str, ...]:
    before, after = move.before, move.after
    version, commit = after.version or "", after.commit7
    if before is not None and move.change is not Change.UNCHANGED:
        version = (
            version if before.version == after.version else f"{before.version or '(none)'} -> {version or '(none)'}"
        )
        commit = commit if before.commit == after.commit else f"{before.commit7} -> {commit}"
    ref = request.refs.get((after.name, after.commit), "")
    url = after.url if before is None or before.url == after.url else f"{before.url} -> {after.url}"
    return move.change.value, after.project, version, commit, ref, url


def _agreed(context: CommandContext, server: Server, plan: PinDiff) -> bool:
    """Whether to go on; nobody is asked when nothing changes."""
    return not plan.changes or _asked(context, f"Store {counted(len(plan.changes), 'pin')} on {server.index}?")


def _asked(context: CommandContext, question: str) -> bool:
    if context.args.yes:
        return True
    answer = context.screen.confirmed(question)
    if answer is None:
        context.screen.fault("nothing is stored: there is no terminal to ask on, so use --yes")
    elif not answer:
        context.screen.line("nothing is stored")
    return answer is True


def _states(server: Server, plan: PinDiff) -> list[ForkState]:
    """The states of what was asked for, as the index has it: `1.0` is not a change of a stored `1.0.0`."""
    pins = [move.before if move.change is Change.UNCHANGED and move.before else move.after for move in plan.moves]
    wanted = {(pin.name, pin.version, pin.commit) for pin in pins}
    return [state for state in server.states() if state.key in wanted]


def _json(
    server: Server, request: Requested, plan: PinDiff, agreed: bool, states: Sequence[ForkState]
) -> dict[str, object]:
    return {
        "index": server.index,
        "stored": agreed and bool(plan.changes),
        "changes": [
            {
                "change": move.change.value,
                **_pin_json(move.after),
                "ref": request.refs.get((move.after.name, move.after.commit)) or None,
                "before": _pin_json(move.before) if move.before else None,
            }
            for move in plan.moves
        ],
        "faults": [fault_json(fault) for fault in request.faults],
        "notes": notes_json(request.lines),
        "states": [dict(state.raw) for state in states],
    }


def _pin_json(pin: Pin) -> dict[str, object]:
    return {
        "project": pin.project,
        "version": pin.version,
        "url": pin.url,
        "commit": pin.commit,
        "subdirectory": pin.subdirectory,
    }
