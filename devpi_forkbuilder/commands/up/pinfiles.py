"""Requirements, lock and project files into the pins that `up` begins with."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

from devpi_forkbuilder.client.computed_names import Computed
from devpi_forkbuilder.client.requested import Requested, as_written, ask_git_hosts
from devpi_forkbuilder.client.requirement_files import read_all
from devpi_forkbuilder.client.rewriting import rewrite
from devpi_forkbuilder.domain.pins.pins import Pin
from devpi_forkbuilder.domain.requirements_files.gitlines import GitLine
from devpi_forkbuilder.domain.requirements_files.requirements import Requirements, contradicting
from devpi_forkbuilder.domain.requirements_files.write_back import written_back
from devpi_forkbuilder.errors import RefusedError

RESOLVER = "'devpi-forkbuilder up -r {file} --resolve'"


def add_options(parser: Any) -> None:
    """The options that say which files are pinned, and how."""
    add = parser.add_argument
    add("-r", "--requirement", action="append", default=[], metavar="FILE", help="pin the git lines of FILE")
    text = "resolve tags, branches and missing names in these files, with your own git credentials"
    add("--resolve", action="store_true", help=text)
    add("--write", action="store_true", help="with --resolve: write commits and names back to the files")
    add("--keep-going", action="store_true", help="start with the lines that can be pinned although others have faults")


def read_pins(
    arguments: argparse.Namespace,
    environ: Mapping[str, str],
    terminal: TextIO | None,
    compute: Computed | None = None,
) -> tuple[Pin, ...]:
    """The pins in the git lines of files and of what they include; `terminal` is where a question is answered, and
    `compute` finds names that no file of a repository says.

    Raises RefusedError with the faults of all files in a line each, those that cannot be read among them.
    """
    found = read_all(arguments.requirement, environ)
    open_lines = _open_lines(found)
    resolve = arguments.resolve or _wanted(open_lines, terminal)
    requested = ask_git_hosts(found, environ, compute) if resolve else as_written(found, RESOLVER)
    _show_resolved(found, requested)
    if requested.faults:
        _judge(requested, keep_going=arguments.keep_going, hint=bool(open_lines) and not resolve)
    if arguments.write and resolve:
        _write(found, requested)
    return requested.pins


def _open_lines(found: Requirements) -> dict[str, set[GitLine]]:
    """The lines that lack what only their repositories know, by what they name instead."""
    lines = found.git_lines
    kinds = {
        "a tag or branch": {line for line in lines if line.commit is None},
        "no project": {line for line in lines if line.nameless},
        "several commits of one project": {line for line in contradicting(lines) if line.marker is not None},
    }
    return {kind: them for kind, them in kinds.items() if them}


def _wanted(open_lines: Mapping[str, set[GitLine]], terminal: TextIO | None) -> bool:
    """Whether the person at the terminal wants what is open to be resolved."""
    count = len(set().union(*open_lines.values()))
    if not count or terminal is None or not terminal.isatty():
        return False
    what, them = ("1 line names", "it") if count == 1 else (f"{count} lines name", "them")
    question = f"{what} {' or '.join(open_lines)}: resolve {them} now? [Y/n] "
    print(question, end="", file=sys.stderr, flush=True)
    return terminal.readline().lower() in {"\n", "y\n", "yes\n"}


def _show_resolved(found: Requirements, requested: Requested) -> None:
    before = {line.place: line for line in found.git_lines}
    for line in requested.lines:
        written = before.get(line.place, line)
        if (written.commit, written.name, written.version) != (line.commit, line.name, line.version):
            version = f"=={line.version}" if line.version else ""
            ref = "" if written.commit else f" {written.ref or 'HEAD'}"
            print(f"{line.place.file}:{line.place.line}: {line.project}{version}{ref} -> {line.commit}", flush=True)


def _judge(requested: Requested, *, keep_going: bool, hint: bool) -> None:
    """Show the faults, each in a line; raises RefusedError with them unless to go on was wanted."""
    faults = requested.faults
    count = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
    listed = "\n".join(f"  {fault}" for fault in faults)
    if keep_going:
        print(f"{count}; starting without these lines:\n{listed}", file=sys.stderr)
        return
    resolve = "use --resolve for what only lacks a commit or a name, " if hint else ""
    step = f"Fix what is named, {resolve}or start without it: --keep-going"
    raise RefusedError("pins-refused", str(faults[0]) if len(faults) == 1 else f"{count}:\n{listed}", next_step=step)


def _write(found: Requirements, requested: Requested) -> None:
    after = {line.place: line for line in requested.lines}
    resolved = {line: after[line.place] for line in found.git_lines if line.place in after}
    for file in found.files:
        text = written_back(file, resolved)
        if text != str(file):
            rewrite(Path(file.name), text)
            print(f"{file.name} written", flush=True)
