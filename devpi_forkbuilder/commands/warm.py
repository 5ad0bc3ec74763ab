"""`devpi-forkbuilder warm`: everything that requirements files need, fetched through an index so that it is cached."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from devpi_forkbuilder.client.progress import Progress
from devpi_forkbuilder.client.requirement_files import read_all
from devpi_forkbuilder.commands.indexes import index_url, open_web, positive
from devpi_forkbuilder.domain.pins.pins import PinsRefusedError
from devpi_forkbuilder.domain.requirements_files.locks.readers import reader_for
from devpi_forkbuilder.domain.requirements_files.requirements import RequirementsFile, unnamed
from devpi_forkbuilder.errors import RefusedError

if TYPE_CHECKING:
    from devpi_forkbuilder.warming.warm import Outcome, Plan

USAGE = """\
examples:
  devpi-forkbuilder warm --index-url http://localhost:3141/main/forks/+simple/ -r requirements.txt
  devpi-forkbuilder warm --index-url URL -r base.txt -r test.txt --python 3.11 --python 3.12 --manifest cache.json

After an interrupt, run it again: only files that are not in the cache are fetched.
The exit status is 1 when something is missing.
"""


def add_parser(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "warm",
        help="fetch everything that requirements need through an index, so that it is cached",
        description="Fetch everything that requirements need through an index, so that it is cached there.",
        epilog=USAGE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add(
        "--index-url",
        required=True,
        metavar="URL",
        help="URL of the index, as for pip: http://HOST/USER/NAME/+simple/",
    )
    add("-r", "--requirement", action="append", default=[], metavar="FILE", help="a requirements file (repeatable)")
    add(
        "--build-requirements",
        action="append",
        default=[],
        metavar="FILE",
        help="requirements of builds, each file resolved by itself (repeatable)",
    )
    add(
        "--python",
        action="append",
        default=[],
        metavar="X.Y",
        help="for this interpreter (repeatable); default: this one",
    )
    add(
        "--platform",
        action="append",
        default=[],
        metavar="NAME",
        help="for this platform, as uv calls it: x86_64-manylinux_2_28, ... (repeatable); default: this one",
    )
    add("--sources", action="store_true", help="source distributions, too")
    add("--manifest", metavar="FILE", help="write names, versions, file names and SHA-256 to this file (JSON)")
    add("--jobs", type=positive, default=8, metavar="NUM", help="requests at once; default: 8")
    add("--quiet", action="store_true", help="no progress, only what is missing and the sum")
    parser.set_defaults(run=run, usage_error=parser.error)


def run(arguments: argparse.Namespace, more: Sequence[str]) -> int:
    """Fetch, write the manifest, tell what is missing; 1 when something is."""
    if more:
        arguments.usage_error(f"unrecognized arguments: {' '.join(more)}")
    if not arguments.requirement and not arguments.build_requirements:
        arguments.usage_error("name a file: -r FILE")
    from devpi_forkbuilder.pipeline.process.programs import uv_program  # noqa: PLC0415  (the extra `warm` may not be installed)
    from devpi_forkbuilder.warming.resolve import Resolver  # noqa: PLC0415
    from devpi_forkbuilder.warming.warm import Warming  # noqa: PLC0415

    index, plan = index_url(arguments.index_url), _plan(arguments)
    uv = uv_program(os.environ.get("PATH", os.defpath))
    with Progress(os.environ, quiet=arguments.quiet) as progress:
        web = open_web(index, time.sleep, arguments.jobs)
        outcome = Warming(web, Resolver(uv, index, os.environ), progress, arguments.jobs).run(plan)
    if arguments.manifest:
        _write(Path(arguments.manifest), str(outcome.manifest))
    return _tell(outcome)


def _plan(arguments: argparse.Namespace) -> Plan:
    from devpi_forkbuilder.domain.compat.platforms import targets  # noqa: PLC0415
    from devpi_forkbuilder.pipeline.frontend.interpreters import own_interpreter, own_platform  # noqa: PLC0415
    from devpi_forkbuilder.warming.warm import Plan  # noqa: PLC0415

    try:
        found = targets(arguments.python, arguments.platform, own_platform(own_interpreter()))
    except ValueError as fault:
        raise RefusedError("target-unknown", str(fault)) from None
    alone = tuple(_files([name]) for name in arguments.build_requirements)
    return Plan(_files(arguments.requirement), found, alone, arguments.sources)


def _files(names: Sequence[str]) -> tuple[RequirementsFile, ...]:
    """The requirements files of these names, with what they include. Raises RefusedError."""
    locks = [name for name in names if reader_for(name) is not None]
    if locks:
        fix = "Have its own tool write one: uv export --no-emit-project --format requirements-txt, poetry export, ..."
        raise RefusedError("not-requirements", f"{', '.join(locks)} is not a requirements file.", next_step=fix)
    read = read_all(names, os.environ)
    faults = [*read.faults, *unnamed(read.git_lines)]
    if faults:
        raise PinsRefusedError(faults)
    return read.files


def _write(path: Path, text: str) -> None:
    """Put a file in place in one step. Raises RefusedError."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        aside.write_text(text, encoding="utf-8")
        aside.replace(path)
    except OSError as error:
        aside.unlink(missing_ok=True)
        what = f"{path} cannot be written ({error.strerror})."
        step = "Check its folder's permissions and the disk."
        raise RefusedError("file-not-written", what, next_step=step) from error


def _tell(outcome: Outcome) -> int:
    size = f"{outcome.size / 1024 / 1024:.1f} MiB"
    count = len(outcome.manifest.files)
    sys.stderr.flush()
    print(f"{count} files are in the cache: {outcome.fetched} fetched ({size}), {outcome.kept} already there.")
    if outcome.missing:
        print(f"{len(outcome.missing)} could not be fetched:")
        for one in outcome.missing:
            print(f"  {one}")
    sys.stdout.flush()
    return int(bool(outcome.missing))
