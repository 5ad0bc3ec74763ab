"""A devpi-server that runs in this process: made when it is not there, repaired when it crashed, then served."""

from __future__ import annotations

import json
import logging
import signal
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from devpi_server.init import init
from devpi_server.log import configure_logging
from devpi_server.main import CommandRunner, xom_from_config

from devpi_forkbuilder.devpi import answers, storage
from devpi_forkbuilder.devpi.names import MIRROR, mirror_setting
from devpi_forkbuilder.devpi.primary import PrimaryServer
from devpi_forkbuilder.devpi.settings import INDEX_TYPE
from devpi_forkbuilder.domain.pins.settings import BUILD, BuildWhen
from devpi_forkbuilder.errors import InfrastructureError
from devpi_forkbuilder.service.replica.client import PrimaryUnreachableError

log = logging.getLogger(__name__)

PUBLIC = "root/pypi"


def exists(server_path: Path) -> bool:
    """Whether `server_path` is a server directory already."""
    return (server_path / ".nodeinfo").exists()


def was_replica(server_path: Path) -> bool:
    """Whether `server_path` was last served, or made, as a replica."""
    try:
        return bool(json.loads((server_path / ".nodeinfo").read_text(encoding="utf-8")).get("role") == "replica")
    except FileNotFoundError:
        return False


def create(server_path: Path, root_password: str, more: Sequence[str] = ()) -> None:
    """Make a server directory (devpi-init); raises InfrastructureError when devpi refuses."""
    status = init(argv=["devpi-init", "--serverdir", str(server_path), f"--root-passwd={root_password}", *more])
    if status:
        raise InfrastructureError("init-failed", f"devpi-init could not make {server_path}.", retryable=False)


def serve(config: Any, started: float, prepare: Callable[[Any], None], ready: Callable[[], None]) -> int:
    """Run devpi-server with `config` (of `command_line.read_command_line`) until it is stopped; its exit status.

    `prepare` is called with devpi's `xom` before the first request, on a server that has recovered from a crash.
    `ready` is called, in a thread of its own, once the server answers.
    `started` (seconds since the epoch): older temporary files are a crash's and are removed.
    """
    storage.write_node_when_changed(config)
    with CommandRunner() as runner:
        configure_logging(config.args)
        storage.repair_sqlite(config.server_path)
        xom = xom_from_config(config)
        xom.keyfs  # noqa: B018  (made on first use: devpi finishes what a crash left unfinished)
        storage.sweep(config.server_path, started)
        prepare(xom)
        stop_on_sigterm()
        answers.announce(config.args, ready)
        status = xom.main()
        runner.return_code = status if isinstance(status, int) else 0  # after serving, devpi-server 6 gives an object
    return int(runner.return_code or 0)


def stop_on_sigterm() -> None:
    """End on SIGTERM as on Ctrl-C: devpi has no handler, so builds would not end.

    Does nothing outside the main thread, or when somebody else handles the signal.
    """
    if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _interrupt)


def _interrupt(signum: int, frame: FrameType | None) -> None:  # noqa: ARG001  (the signal handler's contract)
    raise KeyboardInterrupt


def set_public(xom: Any, url: str | None = None) -> bool:
    """Keep the public mirror from reading the list of all names in the world, and let it read `url`; whether changed.

    The list has more than 900,000 entries, and with devpi-web each is indexed: minutes of CPU for nothing.
    """
    wanted = {
        mirror_setting("no_project_list"): True,
        **({mirror_setting("url"): url.rstrip("/") + "/"} if url else {}),
    }
    with xom.keyfs.read_transaction():
        stage = xom.model.getstage(PUBLIC)
        done = stage is None or wanted.items() <= dict(stage.ixconfig).items()
    if done:
        return False
    with xom.keyfs.write_transaction():
        xom.model.getstage(PUBLIC).modify(**wanted)
    return True


def ensure_index(xom: Any, name: str, password: Callable[[str], str]) -> bool:
    """Make the index `user/name` and its user unless they are there; whether anything was made.

    `password` is asked for a new user's password. Raises InfrastructureError when the index has another type.
    """
    user, index = name.split("/")
    with xom.keyfs.read_transaction():
        stage = xom.model.getstage(name)
        kind = None if stage is None else stage.ixconfig["type"]
    if kind == INDEX_TYPE:
        return False
    if kind is not None:
        raise _other_type(name, kind)
    with xom.keyfs.write_transaction():
        owner = xom.model.get_user(user) or xom.model.create_user(user, password(user))
        bases = [PUBLIC] if xom.model.getstage(PUBLIC) is not None else []
        owner.create_stage(index, type=INDEX_TYPE, bases=bases, volatile=False)
    return True


def ensure_cache(xom: Any, name: str, url: str, expiry: int, password: Callable[[str], str]) -> bool:
    """Make the index `user/name` a mirror of the simple page at `url`; whether anything was changed.

    Its pages are given for `expiry` seconds without asking. Raises InfrastructureError when the index has another type.
    """
    user, index = name.split("/")
    wanted = {
        mirror_setting("url"): url,
        mirror_setting("cache_expiry"): expiry,
        mirror_setting("no_project_list"): True,
    }
    with xom.keyfs.read_transaction():
        stage = xom.model.getstage(name)
        config = None if stage is None else dict(stage.ixconfig)
    if config is not None and config["type"] != MIRROR:
        raise _other_type(name, config["type"])
    if config is not None and wanted.items() <= config.items():
        return False
    with xom.keyfs.write_transaction():
        if config is not None:
            xom.model.getstage(name).modify(**wanted)
        else:
            owner = xom.model.get_user(user) or xom.model.create_user(user, password(user))
            owner.create_stage(index, type=MIRROR, volatile=False, **wanted)
    return True


def check_replica(xom: Any) -> None:
    """Raises InfrastructureError when the primary does not take this server for a replica of its own.

    A primary that does not answer is not a fault: what is here already is served.
    """
    primary = PrimaryServer(xom)
    try:
        known = primary.knows_us()
    except PrimaryUnreachableError as error:
        log.warning("%s", error)
        return
    finally:
        primary.close()
    if not known:
        raise InfrastructureError(
            "replica-refused",
            f"The server at {primary.url} does not take this one for a replica of its own.",
            next_step="The secret file has to be the primary's, the primary has to run with --role primary, and both"
            " have to stretch the secret alike: a primary that was started by devpi-server itself, with no --argon2"
            " options, needs --argon2-memory-cost 524288 --argon2-parallelism 8 --argon2-time-cost 16 here.",
            retryable=False,
        )


def _other_type(name: str, kind: str) -> InfrastructureError:
    return InfrastructureError(
        "index-of-other-type",
        f"The index {name} exists and is of type {kind}.",
        next_step="Choose another name with --index.",
        retryable=False,
    )


def pins_of_index(xom: Any, name: str) -> list[str]:
    """The pin lines of an index."""
    with xom.keyfs.read_transaction():
        return list(xom.model.getstage(name).ixconfig["forks"])


def build_when_pinned(xom: Any, name: str) -> None:
    """Have what is pinned on an index built before anybody asks."""
    with xom.keyfs.read_transaction():
        if xom.model.getstage(name).ixconfig.get(BUILD) == BuildWhen.PIN.value:
            return
    with xom.keyfs.write_transaction():
        xom.model.getstage(name).modify(**{BUILD: BuildWhen.PIN.value})


def set_pins(xom: Any, name: str, lines: Sequence[str]) -> None:
    """Store the pin lines of an index; raises devpi's InvalidIndexconfig when they are not valid."""
    with xom.keyfs.write_transaction():
        xom.model.getstage(name).modify(forks=list(lines))
