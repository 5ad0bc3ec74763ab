"""`devpi-forkbuilder worker --check`: is everything here, and within reach, that a worker needs?"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator

from devpi_forkbuilder.commands.doctor.findings import Finding
from devpi_forkbuilder.errors import ForkbuilderError
from devpi_forkbuilder.options import Options

NO_FARM = 404
"""How a server without a farm answers a worker."""


def examine_worker(options: Options, primary: str, dsn: str) -> Iterator[Finding]:
    """The findings, one after the other: builds, the primary, the queue."""
    yield from _builds(options)
    yield _primary(primary)
    yield _queue(dsn)


def _builds(options: Options) -> Iterator[Finding]:
    from devpi_forkbuilder.equipment import make_worker_builder  # noqa: PLC0415  (the extra `worker`)

    try:
        builder = make_worker_builder(options)
    except ForkbuilderError as error:
        yield Finding.of_error("builds", error)
        return
    tier = builder.equipment.sandbox.name
    if tier == "none":
        yield Finding.warning("sandbox", "Nothing confines builds here.", "Use this machine for nothing else.")
    else:
        yield Finding.ok("sandbox", f"The sandbox tier of builds is {tier}.")
    yield Finding.ok("interpreters", f"It builds for Python {builder.server_targets()}.")


def _primary(url: str) -> Finding:
    from devpi_forkbuilder.farm.primary_client import PrimaryClient  # noqa: PLC0415  (the extra `worker`)
    from devpi_forkbuilder.farm.tickets import WorkRefusedError  # noqa: PLC0415

    try:
        PrimaryClient(url, "no-ticket", lambda: True).order()
    except WorkRefusedError as refused:
        if refused.status == NO_FARM:
            step = "Start it with --forkbuilder-farm, and look at --primary."
            return Finding.failed("primary", f"The server at {url} has no farm.", step)
        return Finding.ok("primary", f"The server at {url} has a farm.")
    except ForkbuilderError as error:
        return Finding.of_error("primary", error)
    return Finding.failed("primary", f"The server at {url} takes anything for a ticket.", "Look at --primary.")


def _queue(dsn: str) -> Finding:
    from devpi_forkbuilder.farm import engine  # noqa: PLC0415  (the extra `worker`)

    logging.getLogger("psycopg.pool").setLevel(logging.CRITICAL)  # it says each second what is said below once
    try:
        asyncio.run(engine.try_out(dsn))
    except ForkbuilderError as error:
        return Finding.of_error("queue", error)
    return Finding.ok("queue", "The database of the queue lets this worker work.")
