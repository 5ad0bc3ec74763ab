"""`devpi-forkbuilder worker`: build for a primary, on another machine."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import platform
import signal
import socket
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from devpi_forkbuilder import __version__
from devpi_forkbuilder.commands.doctor.command import show_findings
from devpi_forkbuilder.commands.doctor.findings import Verdict
from devpi_forkbuilder.commands.up.option_group import OptionGroup
from devpi_forkbuilder.commands.worker_check import examine_worker
from devpi_forkbuilder.errors import ForkbuilderError, InfrastructureError
from devpi_forkbuilder.farm.tickets import NAME
from devpi_forkbuilder.option_values import positive_option
from devpi_forkbuilder.options import Options, add_options

DEFAULT_DIR = "devpi-forkbuilder-worker"
QUEUE = "FORKBUILDER_QUEUE"
"""The environment variable for --queue, which may hold a password."""
USAGE = """\
example:
  devpi-forkbuilder worker --primary http://devpi.example.com:3141 --queue postgresql://worker@db.example.com/farm

It holds no credentials of the primary's, and needs no git. It runs until SIGTERM or Ctrl-C, which hands running builds
back. The --forkbuilder options are those of the server that shape builds: sandbox, limits, time limits, tools.
"""


def add_parser(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "worker",
        help="build forks for a server on another machine",
        description="Take orders from a primary's queue, build them in this machine's sandbox, send the files.",
        epilog=USAGE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--primary", required=True, metavar="URL", help="the primary, as this machine reaches it")
    parser.add_argument(
        "--queue", metavar="DSN", help=f"the database of the primary's --forkbuilder-farm; default: ${QUEUE}"
    )
    parser.add_argument("--name", metavar="NAME", help="its name, which no other worker has; default: the host's")
    parser.add_argument(
        "--builds",
        type=positive_option,
        default=os.cpu_count() or 1,
        metavar="NUM",
        help="builds at once; default: CPUs",
    )
    parser.add_argument("--dir", default=DEFAULT_DIR, metavar="DIR", help=f"its folder; default: {DEFAULT_DIR}")
    parser.add_argument("--check", action="store_true", help="look whether it could work, say what is missing, and end")
    add_options(OptionGroup(parser))
    parser.set_defaults(run=run, usage_error=parser.error)


def run(arguments: argparse.Namespace, more: Sequence[str]) -> int:
    """Work until it is stopped; 1 when the primary does not want it."""
    if more:
        arguments.usage_error(f"unrecognized arguments: {' '.join(more)}")
    dsn = arguments.queue or os.environ.get(QUEUE)
    name = arguments.name or socket.gethostname()
    if not dsn:
        arguments.usage_error(f"--queue or ${QUEUE} is needed")
    if not NAME.fullmatch(name):
        arguments.usage_error(
            f"{name!r} is not a name for a worker: give it one with --name, of letters, digits, . _ -"
        )
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("procrastinate").setLevel(logging.WARNING)
    options = Options.read(arguments, Path(arguments.dir).expanduser().absolute())
    judge_system(platform.system(), options.sandbox)
    if arguments.check:
        found = list(examine_worker(options, arguments.primary, str(dsn)))
        show_findings(found)
        return int(any(one.state is Verdict.FAILED for one in found))
    return _work(arguments, options, name, str(dsn))


def judge_system(system: str, sandbox: str) -> None:
    """Raise InfrastructureError where builds cannot be confined and nobody has said that they need not be."""
    if system != "Linux" and sandbox != "none":
        raise InfrastructureError(
            "no-sandbox",
            f"Builds cannot be confined on {system}.",
            next_step="On a machine that is for this alone, say --forkbuilder-sandbox none.",
        )


def _work(arguments: argparse.Namespace, options: Options, name: str, dsn: str) -> int:
    from devpi_forkbuilder.equipment import make_worker_builder  # noqa: PLC0415  (the extra `worker`)
    from devpi_forkbuilder.farm import engine  # noqa: PLC0415  (the extra `worker`)
    from devpi_forkbuilder.farm.order_document import Announcement  # noqa: PLC0415
    from devpi_forkbuilder.farm.worker import FarmWorker, HandedBackError  # noqa: PLC0415  (the extra `worker`)

    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    builder = make_worker_builder(options)
    targets = builder.server_targets()
    assert targets.platform is not None  # noqa: S101  (that of this machine)
    announcement = Announcement(name, __version__, targets.platform, targets.pythons, arguments.builds)
    worker = FarmWorker(arguments.primary, announcement, builder, stopping)
    tier = builder.equipment.sandbox.name
    logging.info("worker %s builds for Python %s in the sandbox %s", name, targets, tier)
    asyncio.run(engine.serve(dsn, announcement, worker.build, HandedBackError, stopping))
    if worker.refused:
        raise ForkbuilderError("worker-refused", worker.refused)
    return 0
