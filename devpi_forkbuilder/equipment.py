"""The parts of builders, put together from the server's options; devpi is not needed for any of them."""

from __future__ import annotations

import atexit
import logging
import os
import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from devpi_forkbuilder.domain.compat.targets import ServerTargets
from devpi_forkbuilder.errors import ForkbuilderError, InfrastructureError
from devpi_forkbuilder.farm.builder import FarmBuilder
from devpi_forkbuilder.farm.desk import WorkDesk
from devpi_forkbuilder.options import Options
from devpi_forkbuilder.pipeline.build_source import BuildSource, GitSource, NoSource
from devpi_forkbuilder.pipeline.builder import WheelBuilder
from devpi_forkbuilder.pipeline.frontend.build_env import BuildTools
from devpi_forkbuilder.pipeline.frontend.index_tokens import IndexTokens
from devpi_forkbuilder.pipeline.frontend.interpreters import Interpreters, own_interpreter, own_platform
from devpi_forkbuilder.pipeline.git.archive_store import Sources
from devpi_forkbuilder.pipeline.git.client import Git
from devpi_forkbuilder.pipeline.git.credential_files import CredentialFiles
from devpi_forkbuilder.pipeline.git.mirror import Mirrors
from devpi_forkbuilder.pipeline.git.pinned_dns import PinnedDns
from devpi_forkbuilder.pipeline.late_builder import LateBuilder, Unable
from devpi_forkbuilder.pipeline.process.disk_space import FULL, existing, out_of_space, space_of
from devpi_forkbuilder.pipeline.process.extra_tools import ToolFolders
from devpi_forkbuilder.pipeline.process.network_settings import with_network_settings
from devpi_forkbuilder.pipeline.process.private import private_folder
from devpi_forkbuilder.pipeline.process.programs import Tools, find_uv
from devpi_forkbuilder.pipeline.process.time_limits import BuildLimits
from devpi_forkbuilder.pipeline.protocols import Builder, Sandbox
from devpi_forkbuilder.pipeline.sandbox.open_place import open_copy, work_place
from devpi_forkbuilder.pipeline.sandbox.probe import choose_tier
from devpi_forkbuilder.pipeline.sandbox.reaper import end_abandoned

log = logging.getLogger(__name__)

ATTEMPTS, SPARE = 3, 600.0
"""How often a worker may build, with what it tries to find the reason of a failure, and seconds to send files."""
TIDYING = 5.0
"""Seconds that a start waits for the end of what a killed server's builds have left; then that goes on beside it."""


def make_builder(options: Options) -> Builder:
    """The pipeline on this machine; where something that builds need is missing, a builder that says what."""
    try:
        return _wheel_builder(options, IndexTokens())
    except ForkbuilderError as reason:
        log.error("No fork can be built: %s", reason)
        if reason.retryable:
            return LateBuilder(partial(_wheel_builder, options), reason)
        return Unable(reason)


def _wheel_builder(options: Options, index_tokens: IndexTokens) -> WheelBuilder:
    """Raises ForkbuilderError for what is missing."""
    with usable(options.folder):
        tools = Tools.find(program_path())
        return equipped(options, tools, lambda: git_source(options, tools), index_tokens)


def make_farm(options: Options, own_url: str) -> Builder:
    """What has workers on other machines build; where git or the extra `farm` is missing, a builder that says so."""
    try:
        with usable(options.folder):
            return _farm_builder(options, own_url)
    except ModuleNotFoundError as error:
        what = f"--forkbuilder-farm needs the Python package {error.name}."
        step = "Install it: pip install 'devpi-forkbuilder[farm]'"
        return _unable(InfrastructureError("program-missing", what, next_step=step))
    except ForkbuilderError as reason:
        return _unable(reason)


def _unable(reason: ForkbuilderError) -> Unable:
    log.error("No fork can be built: %s", reason)
    return Unable(reason)


def _farm_builder(options: Options, own_url: str) -> FarmBuilder:
    """Raises ForkbuilderError, ModuleNotFoundError and OSError for what is missing."""
    from devpi_forkbuilder.farm.engine import Engine  # noqa: PLC0415  (the extra `farm`; takes a while to import)

    tools = Tools.find(program_path())
    work = private_folder(options.folder / "farm")
    limit = ATTEMPTS * options.build_timeout + SPARE
    desk = WorkDesk(secrets.token_bytes(32), limit)
    own = own_interpreter()
    builder = FarmBuilder(
        work=work,
        source=git_source(options, tools),
        queue=(engine := Engine(options.farm, desk.heard)),
        desk=desk,
        own_url=own_url,
        own=ServerTargets((own.name,), own_platform(own)),
        limit=limit,
    )
    builder.sweep()
    engine.start()
    atexit.register(engine.stop)
    return builder


def make_worker_builder(options: Options) -> WheelBuilder:
    """The pipeline on a machine that builds for another. Raises ForkbuilderError for what is missing."""
    with usable(options.folder):
        return equipped(options, Tools(find_uv(program_path())), NoSource, IndexTokens())


@contextmanager
def usable(folder: Path) -> Iterator[None]:
    """Raise InfrastructureError (`disk-full`, `folder-unusable`) for an OSError in a block that works in `folder`."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise out_of_space(space_of(existing(folder)), f"{folder} cannot be used.") from error
        what = f"{error.filename or folder} cannot be used: {error.strerror}."
        raise InfrastructureError("folder-unusable", what, retryable=False) from error


def program_path() -> str:
    """Where the server's own programs are looked for, as in PATH."""
    return os.environ.get("PATH", os.defpath)


def equipped(
    options: Options, tools: Tools, source: Callable[[], BuildSource], index_tokens: IndexTokens
) -> WheelBuilder:
    """A builder of what `source`, made when the sandbox is there, has. Raises ForkbuilderError and OSError."""
    folder = options.folder
    base = with_network_settings(os.environ)
    work = folder / "work"
    work.mkdir(parents=True, exist_ok=True)
    folders = ToolFolders.judged(options.tools)
    readable = (own_interpreter().prefix, *folders.folders)
    sandbox = choose_tier(
        options.sandbox, scratch=work, readable=readable, limits=options.limits, first_uid=options.first_uid
    )
    work, uv, pythons = _within_reach(sandbox, work, tools.uv.path, folder / "pythons")
    downloads = pythons if options.python_downloads else None
    wheel_builder = WheelBuilder(
        work=work,
        tools=tools,
        interpreters=Interpreters(tools.uv.path, os.environ, downloads, sandbox.reaches),
        source=source(),
        equipment=BuildTools(uv, folder / "uv-cache", sandbox, base, folders),
        index_tokens=index_tokens,
        limits=BuildLimits(options.build_timeout, options.silence_timeout, options.limits.folder),
    )
    tidying = threading.Thread(target=_tidy, args=(wheel_builder,), name="forkbuilder-tidy", daemon=True)
    tidying.start()
    tidying.join(TIDYING)
    return wheel_builder


def git_source(options: Options, tools: Tools) -> GitSource:
    """The repositories that pins name, with the administrator's credentials for them."""
    folder, base = options.folder, with_network_settings(os.environ)
    access = CredentialFiles(options.credentials, options.ssh_key, options.known_hosts)
    _tell(access)
    routes = PinnedDns(options.policy.names_host, base)
    git = Git(
        folder / "git-home",
        base,
        access=access,
        timeout=options.build_timeout,
        route=routes.to,
        follows=options.policy.allows,
    )
    sources = Sources(folder / "sources")
    mirrors = Mirrors(folder / "mirrors", git, allows=options.policy.allows, sources=sources)
    return GitSource(mirrors, sources, tools.git.version if tools.git is not None else "")


def _tell(access: CredentialFiles) -> None:
    """Say in the log what is wrong with the files of `access`. Each fetch looks again: they can be fixed meanwhile."""
    try:
        access.check()
        for number in access.odd_lines():
            log.warning("Line %d of %s is not a credential: it is left out.", number, access.credentials_file)
    except (ForkbuilderError, OSError) as fault:
        log.error("No fork can be fetched: %s", fault)


def _tidy(wheel_builder: WheelBuilder) -> None:
    """Remove what builds of a killed server have left. In a thread, since a start must not depend on it."""
    try:
        end_abandoned()
    except ForkbuilderError as fault:
        log.warning("%s", fault)
    wheel_builder.sweep()


def _within_reach(sandbox: Sandbox, work: Path, uv: Path, pythons: Path) -> tuple[Path, Path, Path]:
    """The folders for builds and for downloaded interpreters, and uv, where builds of `sandbox` get to them."""
    if sandbox.scratch is None:
        return work, uv, pythons
    work = work_place(sandbox.scratch, work)
    return work, open_copy(uv, work), pythons if sandbox.reaches(pythons) else work / pythons.name
