"""`devpi-forkbuilder gc`: tidy a server by age and size, while it runs or not."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from devpi_forkbuilder.commands.up import secretfiles
from devpi_forkbuilder.commands.up.command import DEFAULT_DIR
from devpi_forkbuilder.commands.up.environment import UP, words_for_doctor
from devpi_forkbuilder.commands.up.option_group import OptionGroup
from devpi_forkbuilder.domain.tidy import KeepLimits, TidyKind, TidyPlan, TidyReport
from devpi_forkbuilder.errors import RefusedError
from devpi_forkbuilder.option_values import age_option, size
from devpi_forkbuilder.options import Options, add_options

STORAGE = ("FORKBUILDER_STORAGE", "FORKBUILDER_STORAGE_PASSWORD_FILE")
USAGE = """\
examples:
  devpi-forkbuilder gc --dry-run
  devpi-forkbuilder gc --serverdir /srv/devpi --free 20G
  devpi-forkbuilder gc --superseded 365d

The server may run; it makes such a pass of its own each day. Give the --forkbuilder options that it is started with,
and run this as its user. Releases of pinned commits, and what running builds use, always stay.
"""


def add_parser(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "gc",
        help="tidy a server by age and size",
        description="Remove logs, caches and leftovers beyond their limits, and more where a disk is short of space.",
        epilog=USAGE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--serverdir", default=DEFAULT_DIR, metavar="DIR", help=f"data folder; default: {DEFAULT_DIR}")
    parser.add_argument("--storage", metavar="NAME", help="devpi's storage: sqlite, or pg8000:host=H,database=D,user=U")
    parser.add_argument("--storage-password-file", metavar="FILE", help="the database user's password")
    parser.add_argument("--dry-run", action="store_true", help="remove nothing, and say what would be removed")
    parser.add_argument("--free", type=size, metavar="SIZE", help="as --forkbuilder-gc-free, for this run")
    parser.add_argument(
        "--superseded",
        type=age_option,
        metavar="AGE",
        help="also remove releases of commits that are no longer pinned, built longer ago; lock files may name them",
    )
    parser.add_argument("--json", action="store_true", help="print the report as an object")
    add_options(OptionGroup(parser))
    parser.set_defaults(run=run, usage_error=parser.error, words=words_for_gc)


def words_for_gc(environ: Mapping[str, str]) -> list[str]:
    """What the environment says of the server, as words of a command line."""
    words = [word for name in STORAGE if environ.get(name) for word in (UP[name], environ[name])]
    return [*words, *words_for_doctor(environ)]


def run(arguments: argparse.Namespace, more: Sequence[str]) -> int:
    """Make a pass and print what it did; 1 when something could not be removed or a disk stays short of space."""
    if more:
        arguments.usage_error(f"unrecognized arguments: {' '.join(more)}")
    report = _pass(arguments, Path(arguments.serverdir).expanduser().absolute())
    if arguments.json:
        print(json.dumps(report.to_json(), indent=2))
    else:
        print("\n".join(lines(report)))
    for fault in report.faults:
        print(f"devpi-forkbuilder gc: {fault}", file=sys.stderr)
    return int(bool(report.faults) or report.short)


def _pass(arguments: argparse.Namespace, server_path: Path) -> TidyReport:
    # the extra `server` may not be installed
    from devpi_forkbuilder.devpi.store_access import open_store  # noqa: PLC0415
    from devpi_forkbuilder.devpi.tidy.shelves import shelves  # noqa: PLC0415
    from devpi_forkbuilder.pipeline.process.programs import uv_program  # noqa: PLC0415
    from devpi_forkbuilder.service.clock import SystemClock  # noqa: PLC0415
    from devpi_forkbuilder.service.tidy.daily import REPORT, LastReport  # noqa: PLC0415
    from devpi_forkbuilder.service.tidy.engine import TidyPass  # noqa: PLC0415

    try:
        node = json.loads((server_path / ".nodeinfo").read_text(encoding="utf-8"))
    except OSError as error:
        raise RefusedError("no-server", f"There is no server in {server_path}: {error.strerror}.") from error
    options = Options.read(arguments, server_path)
    plan = plan_of(options.tidy, arguments)
    asked = plan.of_kind(TidyKind.SUPERSEDED) != KeepLimits()
    readonly = arguments.dry_run or not asked
    xom = open_store(server_path, secretfiles.storage_words(arguments), node, readonly=readonly)
    found = shelves(xom, options.folder, lambda: uv_program(os.environ.get("PATH", os.defpath)), superseded=asked)
    report = TidyPass(found, plan, SystemClock(), dry_run=arguments.dry_run).run()
    if not arguments.dry_run:
        LastReport(options.folder / REPORT).write(report)
    return report


def plan_of(plan: TidyPlan, arguments: argparse.Namespace) -> TidyPlan:
    """The server's plan, with the options of this run."""
    if arguments.free:
        plan = replace(plan, free=arguments.free)
    if arguments.superseded is not None:
        limits = replace(plan.of_kind(TidyKind.SUPERSEDED), age=arguments.superseded)
        plan = replace(plan, limits={**plan.limits, TidyKind.SUPERSEDED: limits})
    return plan


def lines(report: TidyReport) -> list[str]:
    """The report for people: a line for each kind, then the disks."""
    what = "would free" if report.dry_run else "freed"
    width = max(len(one.kind.value) for one in report.kinds)
    shown = []
    for one in report.kinds:
        kept = ", ".join(f"{count} {why}" for why, count in one.kept.items())
        line = (
            f"{one.kind.value:{width}}  {_mib(one.size):>12} in {one.count}, {what} {_mib(one.freed)} in {one.removed}"
        )
        shown.append(f"{line}{f' (kept: {kept})' if kept else ''}")
    # several kinds are on one disk, in folders of their own
    disks = {pair: place for place, pair in reversed(list(report.free.items()))}
    shown += [f"{place}: {_mib(before)} free before, {_mib(after)} after" for (before, after), place in disks.items()]
    if report.short:
        shown.append("A disk is still short of space: raise the limits of what may go, or make it larger.")
    return shown


def _mib(size: int) -> str:
    return f"{size / 2**20:.1f} MiB"
