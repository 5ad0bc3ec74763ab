"""`devpi forks freeze`: git lines become versions with hashes, in the file's own words otherwise."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path, PurePath

from devpi_forkbuilder.client.api_client import Server
from devpi_forkbuilder.client.completeness import build_missing, gaps
from devpi_forkbuilder.client.context import CommandContext, fault_json
from devpi_forkbuilder.client.matching import Matched, matched, unbuilt_lines, why_unbuilt
from devpi_forkbuilder.client.models import ClientError, ForkState
from devpi_forkbuilder.client.project_file import Declared, frozen_project
from devpi_forkbuilder.client.pylock_file import pylock
from devpi_forkbuilder.client.requirement_files import read_all, read_text
from devpi_forkbuilder.client.rewriting import rewrite
from devpi_forkbuilder.domain.pins.pins import Fault, PinsRefusedError
from devpi_forkbuilder.domain.requirements_files.freeze import FrozenRelease, frozen, requirement
from devpi_forkbuilder.domain.requirements_files.gitlines import GitLine
from devpi_forkbuilder.domain.requirements_files.locks.readers import reader_for
from devpi_forkbuilder.domain.requirements_files.requirements import Requirements

PROJECT = "pyproject.toml"
Texts = dict[str, str]


def freeze(context: CommandContext) -> int:
    """Freeze files, or, without one, list the index's own pins as requirements."""
    args = context.args
    _judge_arguments(context)
    server = context.connect()
    found = read_all(args.requirement, context.environ)
    states = server.states()
    interpreters = _interpreters(context, server)
    meant, unpinned = matched(found.git_lines, states) if args.requirement else ({}, ())
    if args.build and not found.faults and not unpinned:
        states = build_missing(context, server, _meant(context, states, meant), interpreters)
        meant, unpinned = matched(found.git_lines, states) if args.requirement else ({}, ())
    wanted = _meant(context, states, meant)
    incomplete = _show_gaps(context, wanted, interpreters)
    unbuilt = [state for state in wanted if state.release is None]
    faults = [*found.faults, *unpinned]
    context.show_faults(faults)
    for line in unbuilt_lines(unbuilt):
        context.screen.fault(line)
    if args.requirement:
        _freeze_files(context, server, found, meant, [*faults, *_unbuilt_faults(meant)])
    else:
        _freeze_index(context, wanted, unbuilt)
    return 1 if faults or unbuilt or (incomplete and args.strict) else 0


def _judge_arguments(context: CommandContext) -> None:
    """Raises ClientError for files that are not rewritten, and for options that contradict each other."""
    args = context.args
    locks = [name for name in args.requirement if reader_for(name) is not None and PurePath(name).name != PROJECT]
    if locks and args.format != "pylock":
        what = f"{', '.join(locks)} is written by its own tool."
        fix = (
            f"Freeze {PROJECT} or a requirements file, then run that tool again; --format pylock writes a pylock.toml."
        )
        raise ClientError("not-requirements", what, next_step=fix)
    if args.in_place and (not args.requirement or args.format == "pylock"):
        raise ClientError("nothing-given", "Name the requirements files to rewrite: -r FILE --in-place.")


def _interpreters(context: CommandContext, server: Server) -> Callable[[str], Sequence[str]]:
    given: list[str] = context.args.python
    return (lambda _project: given) if given else server.interpreters()


def _meant(context: CommandContext, states: Sequence[ForkState], meant: Matched) -> list[ForkState]:
    """The pins that are frozen, each once."""
    return list({state.key: state for state in (meant.values() if context.args.requirement else states)}.values())


def _show_gaps(
    context: CommandContext, states: Sequence[ForkState], interpreters: Callable[[str], Sequence[str]]
) -> bool:
    found = gaps(states, interpreters)
    for gap in found:
        (context.screen.fault if context.args.strict else context.screen.note)(gap.message)
    return bool(found)


def _unbuilt_faults(meant: Matched) -> Iterable[Fault]:
    for line, state in meant.items():
        if state.release is None:
            yield from line.place.faults([why_unbuilt(state)])


def _freeze_files(
    context: CommandContext, server: Server, found: Requirements, meant: Matched, faults: list[Fault]
) -> None:
    """Judge all files before the first is written."""
    texts: Texts = {}
    if not faults:
        try:
            texts = _texts(context, server, found, meant)
        except PinsRefusedError as refused:
            faults = [*refused.faults]
            context.show_faults(faults)
    if not faults:
        _write(context, found, texts)
    context.screen.json({"files": texts, "faults": [fault_json(fault) for fault in faults]})


def _texts(context: CommandContext, server: Server, found: Requirements, meant: Matched) -> Texts:
    """The frozen files by name. Raises PinsRefusedError."""
    if context.args.format == "pylock":
        return {"pylock.toml": pylock((line, state) for line, state in meant.items())}
    releases = {line: state.release for line, state in meant.items() if state.release is not None}
    texts = {file.name: frozen(file, releases) for file in found.files}
    declared = Declared(server.index.replace("/", "-"), f"{server.url}/+simple/")
    for name in context.args.requirement:
        if PurePath(name).name == PROJECT:
            own = {line: release for line, release in releases.items() if line.place.file == name}
            texts[name] = frozen_project(read_text(Path(name)), name, own, declared)
    return texts


def _write(context: CommandContext, found: Requirements, texts: Texts) -> None:
    args, screen = context.args, context.screen
    before = {file.name: str(file) for file in found.files}
    for name, text in texts.items():
        own = [line for line in found.git_lines if line.place.file == name]
        if args.in_place:
            if text != before.get(name):
                rewrite(Path(name), text)
                screen.line(f"{name}: {len(own)} git {'line' if len(own) == 1 else 'lines'} frozen")
        elif name in args.requirement or args.format == "pylock":
            if not screen.wants_json:
                screen.exact(text)
        elif own:
            screen.note(f"{name}, which is included, has git lines, too: freeze it by itself, or all --in-place")


def _freeze_index(context: CommandContext, states: Sequence[ForkState], unbuilt: Sequence[ForkState]) -> None:
    screen = context.screen
    releases: list[tuple[ForkState, FrozenRelease]] = [
        (state, state.release) for state in states if state.release is not None
    ]
    lines = [requirement(GitLine(state.project, state.url), release) for state, release in releases]
    if context.args.format == "pylock":
        text = pylock((GitLine(state.project, state.url), state) for state, _ in releases)
    else:
        text = "".join(f"{line}\n" for line in lines)
    if not unbuilt and not screen.wants_json:
        screen.exact(text)
    screen.json({"requirements": lines, "missing": [state.label for state in unbuilt]})
