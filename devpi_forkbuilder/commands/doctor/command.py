"""`devpi-forkbuilder doctor`: is everything here that builds need? Each fault comes with its fix."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from devpi_forkbuilder.commands.doctor.findings import Finding, Verdict
from devpi_forkbuilder.commands.up.command import DEFAULT_DIR
from devpi_forkbuilder.commands.up.environment import words_for_doctor
from devpi_forkbuilder.commands.up.option_group import OptionGroup
from devpi_forkbuilder.options import Options, add_options

USAGE = """\
examples:
  devpi-forkbuilder doctor
  devpi-forkbuilder doctor --serverdir /srv/devpi --forkbuilder-credentials /etc/devpi/credentials
  devpi-forkbuilder doctor --index-url http://localhost:3141/main/forks

Give it the --forkbuilder options that the server is started with, and run it as the server's user.
The exit status is 1 when something failed. A warning does not count.
"""


def add_parser(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "doctor",
        help="check what builds need on this machine",
        description="Check git, uv, interpreters, sandbox, credentials, disk and an index; each fault with its fix.",
        epilog=USAGE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--serverdir", default=DEFAULT_DIR, metavar="DIR", help=f"data folder; default: {DEFAULT_DIR}")
    parser.add_argument("--index-url", metavar="URL", help="also ask this index: http://HOST/USER/NAME")
    parser.add_argument(
        "--request-timeout",
        type=int,
        metavar="NUM",
        help="as the server is started with; default: devpi's own, 5 seconds",
    )
    parser.add_argument("--json", action="store_true", help="print a list of objects: name, state, what, fix")
    add_options(OptionGroup(parser))
    parser.set_defaults(run=run, usage_error=parser.error, words=words_for_doctor)


def run(arguments: argparse.Namespace, more: Sequence[str]) -> int:
    """Make the checks and print what they found; 1 when something failed."""
    from devpi_forkbuilder.commands.doctor.examination import examine  # noqa: PLC0415  (the extra `server` may not be installed)

    if more:
        arguments.usage_error(f"unrecognized arguments: {' '.join(more)}")
    options = Options.read(arguments, Path(arguments.serverdir).expanduser().absolute())
    found = examine(options, arguments.index_url, os.environ, arguments.request_timeout)
    if arguments.json:
        print(json.dumps([findings_as_json(one) for one in found], indent=2))
    else:
        show_findings(found)
    return int(any(one.state is Verdict.FAILED for one in found))


def findings_as_json(finding: Finding) -> Mapping[str, str]:
    """A finding as an object."""
    return {"name": finding.name, "state": finding.state.value, "what": finding.what, "fix": finding.fix}


def show_findings(found: Sequence[Finding]) -> None:
    """One line for each finding; its fix below it."""
    width = max(len(one.name) for one in found)
    for one in found:
        print(f"{one.state.value:8} {one.name:{width}}  {one.what}")
        if one.fix:
            print(f"{'':8} {'':{width}}  -> {one.fix}")
    sys.stdout.flush()
