"""`devpi forks freeze`: git lines become versions with hashes, in the file's own words otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from packaging.version import Version

from devpi_forkbuilder.client.context import Context, fault_json
from devpi_forkbuilder.client.files import read_all
from devpi_forkbuilder.client.rewriting import rewrite
from devpi_forkbuilder.client.states import ClientError, ForkState
from devpi_forkbuilder.domain.freeze import Release, frozen, requirement
from devpi_forkbuilder.domain.gitlines import GitLine
from devpi_forkbuilder.domain.locks.readers import reader_for
from devpi_forkbuilder.domain.pins import Fault, PinsRefusedError
from devpi_forkbuilder.domain.requirements import RequirementsFile

Releases = dict[GitLine, Release]


def freeze(context: Context) -> int:
    """Freeze files, or, without one, list the index's own pins as requirements."""
    args = context.args
    locks = [name for name in args.requirement if reader_for(name) is not None]
    if locks:
        what = f"{', '.join(locks)} is not a requirements file."
        mend = "Its own tool writes it again: give it this index, and the project's name instead of its git URL."
        raise ClientError("not-requirements", what, next_step=mend)
    if args.in_place and not args.requirement:
        raise ClientError("nothing-given", "Name the files to rewrite: -r FILE.")
    server = context.connect()
    if not args.requirement:
        return _freeze_index(context, server.states())
    return _freeze_files(context, server.states())


def releases(lines: Sequence[GitLine], states: Sequence[ForkState]) -> tuple[Releases, tuple[Fault, ...]]:
    """What each line was built to, and a fault for each line that is not pinned so on the index.

    A line that is pinned and not built is in neither: `frozen` tells that.
    """
    found: Releases = {}
    faults: list[Fault] = []
    for line in lines:
        state = _state_of(line, states)
        if isinstance(state, str):
            faults += line.place.faults([(state, f"'devpi forks pin -r {line.place.file or 'FILE'}' pins it")])
        elif state.release is not None:
            found[line] = state.release
    return found, tuple(faults)


def _freeze_files(context: Context, states: Sequence[ForkState]) -> int:
    """Judge all files before the first is written."""
    args = context.args
    read = read_all(args.requirement, context.environ)
    known, unpinned = releases(read.git_lines, states)
    told = {(fault.where, fault.line) for fault in unpinned}
    faults = [*read.faults, *unpinned]
    texts: dict[str, str] = {}
    for file in read.files:
        texts[file.name], more = _frozen(file, known)
        faults += [one for one in more if one not in faults and (one.where, one.line) not in told]
    if not faults:
        _write(context, read.files, texts)
    context.show_faults(faults)
    context.screen.json({"files": texts if not faults else {}, "faults": [fault_json(fault) for fault in faults]})
    return 1 if faults else 0


def _frozen(file: RequirementsFile, known: Releases) -> tuple[str, tuple[Fault, ...]]:
    try:
        return frozen(file, known), ()
    except PinsRefusedError as refused:
        return "", refused.faults


def _write(context: Context, files: Sequence[RequirementsFile], texts: dict[str, str]) -> None:
    args, screen = context.args, context.screen
    for file in files:
        if args.in_place:
            if texts[file.name] != str(file):
                rewrite(Path(file.name), texts[file.name])
                screen.line(f"{file.name}: {len(file.git_lines)} git lines frozen")
        elif file.name in args.requirement:
            if not screen.wants_json:
                screen.exact(texts[file.name])
        elif file.git_lines:
            screen.note(f"{file.name}, which is included, has git lines, too: freeze it by itself, or all --in-place")


def _freeze_index(context: Context, states: Sequence[ForkState]) -> int:
    screen = context.screen
    missing = [state for state in states if state.release is None]
    for state in missing:
        mend = f"'devpi forks build {state.label} --wait' builds it"
        screen.fault(f"{state.label} has no file on the index (it is {state.state}): {mend}")
    lines = [
        requirement(GitLine(state.project, state.url), state.release) for state in states if state.release is not None
    ]
    if not missing and not screen.wants_json:
        screen.exact("".join(f"{line}\n" for line in lines))
    screen.json({"requirements": lines, "missing": [state.label for state in missing]})
    return 1 if missing else 0


def _state_of(line: GitLine, states: Sequence[ForkState]) -> ForkState | str:
    """The pin that stands for a line, or why there is none."""
    own = [state for state in states if state.name == line.name]
    if line.version is not None:
        wanted = Version(line.version)
        own = [state for state in own if state.version is not None and Version(state.version) == wanted] or [
            state for state in own if state.version is None
        ]
    if not own:
        return f"{line.project} {line.version or ''}".rstrip() + " is not pinned on the index"
    if line.commit is not None:
        exact = [state for state in own if state.commit == line.commit]
        if not exact:
            return f"the index pins {line.project} at {own[0].commit[:7]}, not at {line.commit[:7]}"
        return exact[0]
    if len(own) > 1:
        return f"the index pins several versions of {line.project}, and the line names none"
    if repository(own[0].url) != repository(line.url):
        return f"the index pins {line.project} from {own[0].url}"
    return own[0]


def repository(url: str) -> tuple[str, str]:
    """Host and path of a repository, without what differs between its https and its ssh URL."""
    parts = urlsplit(url)
    return parts.hostname or "", parts.path.strip("/").removesuffix(".git")
