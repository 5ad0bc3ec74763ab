"""The steps of `up`: read everything, look at everything, make what is missing, serve."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from devpi_forkbuilder.commands.up import preflight, secretfiles
from devpi_forkbuilder.commands.up.checkouts import Checkouts, find_checkouts
from devpi_forkbuilder.commands.up.consolelog import NAME, write_configuration
from devpi_forkbuilder.commands.up.passwords import Passwords
from devpi_forkbuilder.commands.up.roles import CACHE_EXPIRY, Role, role_of, upstream_url
from devpi_forkbuilder.commands.up.server_lock import ServerLock
from devpi_forkbuilder.commands.up.server_words import defaults, server_words
from devpi_forkbuilder.commands.up.welcome import root_url, served_index_url, welcome
from devpi_forkbuilder.commands.up.words import split_words
from devpi_forkbuilder.devpi import bootstrap
from devpi_forkbuilder.devpi.command_line import option_names, read_command_line
from devpi_forkbuilder.domain.pins.pin_diff import pin_diff
from devpi_forkbuilder.domain.pins.pins import Pin
from devpi_forkbuilder.domain.pins.policy import PinPolicy
from devpi_forkbuilder.errors import ForkbuilderError, InfrastructureError, RefusedError
from devpi_forkbuilder.options import FOLDER, Options


@dataclass(frozen=True, slots=True)
class Startup:
    """One start of a server: what was asked for, read and judged as far as that goes without looking around."""

    arguments: argparse.Namespace
    server_path: Path
    role: Role
    storage: tuple[str, ...]
    checkouts: Checkouts
    config: Any
    lock: ServerLock

    @classmethod
    def read(cls, arguments: argparse.Namespace, more: Sequence[str]) -> Startup:
        """Raises RefusedError for options, files and checkouts that cannot be used. Nothing is written."""
        _check_index(arguments.index)
        known = option_names()
        words = split_words(more, known, arguments.parser._option_string_actions)
        server_path = Path(arguments.serverdir).expanduser().absolute()
        preflight.check_folder(server_path, "--serverdir")
        folder = server_path / FOLDER
        storage = tuple(secretfiles.storage_words(arguments))
        role = role_of(arguments, words.server, bootstrap.was_replica(server_path))
        if words.checkouts and (arguments.replica_of or arguments.upstream):
            what = "A replica or a cache builds nothing, so a checkout has no use here."
            raise RefusedError("pins-on-replica", what, next_step="Name it on the server that builds.")
        checkouts = find_checkouts(words.checkouts, folder)
        usual = defaults(folder / NAME, Passwords(folder / "passwords").secret_path(arguments.secretfile))
        usual = {option: value for option, value in usual.items() if option in known}  # devpi-server 7 has fewer
        handed_on = [*role.serve, *storage, *words.server]
        config = read_command_line(server_words(arguments, server_path, usual, handed_on, checkouts.prefixes))
        return cls(arguments, server_path, role, storage, checkouts, config, ServerLock(server_path, folder))

    @property
    def folder(self) -> Path:
        """What `up` and the build service keep in the server directory."""
        return self.server_path / FOLDER

    @property
    def passwords(self) -> Passwords:
        """The generated passwords."""
        return Passwords(self.folder / "passwords")

    @property
    def options(self) -> Options:
        """The plugin's options."""
        return Options.read(self.config.args, self.server_path)

    def check(self) -> None:
        """Raise ForkbuilderError when the server could not serve or not build. Nothing is written."""
        options = self.options
        preflight.check_folder(options.folder, "--forkbuilder-dir")
        self.lock.take(root_url(self.arguments))
        address = preflight.Address.of_server(self.config.args)
        if address is not None:
            self.config.args.host = address.check()
        if not (self.arguments.replica_of or self.arguments.upstream or options.cached_only):
            self._check_build_tools(options)

    def _check_build_tools(self, options: Options) -> None:
        """Raise ForkbuilderError when nothing can be built here; for a full disk that is not a reason not to serve."""
        try:
            preflight.check_build_tools(options)
        except ForkbuilderError as error:
            if not bootstrap.exists(self.server_path) or not preflight.disk_is_full(options.folder):
                raise
            print(f"What is built is served; nothing can be built before there is room: {error}", file=sys.stderr)

    def make(self) -> None:
        """Make the server directory unless it is there, and what is kept beside devpi's own files.

        Raises InfrastructureError (`folder-unusable`) when the disk does not take it.
        """
        try:
            self._make()
        except OSError as error:
            what = f"{error.filename or self.server_path} cannot be written: {error.strerror}."
            raise InfrastructureError("folder-unusable", what, next_step=preflight.OTHER_FOLDER) from error

    def _make(self) -> None:
        made = not bootstrap.exists(self.server_path)
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.lock.take(root_url(self.arguments))
        logging = write_configuration(self.folder)
        if made:
            self.server_path.chmod(0o700)  # password hashes are in there
            made_with = ["--logger-cfg", str(logging), *self.role.init, *self.storage]
            bootstrap.create(self.server_path, self._root_password(), made_with)
        self.passwords.secret(self.arguments.secretfile)
        self.checkouts.keep(self.folder)

    def serve(self, started: float, pins: Sequence[Pin]) -> int:
        """Pin the checkouts and `pins`, and serve until the process is stopped; devpi's exit status."""
        prepare = partial(self._prepare, (*self.checkouts.pins, *pins))
        return bootstrap.serve(self.config, started, prepare, self._ready)

    def _prepare(self, pins: Sequence[Pin], xom: Any) -> None:
        changes = list(self.checkouts.notes)
        arguments, index = self.arguments, self.arguments.index
        if arguments.replica_of:
            bootstrap.check_replica(xom)
        elif arguments.upstream:
            url = upstream_url(arguments.upstream)
            bootstrap.ensure_cache(xom, index, url, CACHE_EXPIRY, self.passwords.make)
        else:
            bootstrap.set_public(xom, arguments.public_index)
            bootstrap.ensure_index(xom, index, self.passwords.make)
            if arguments.build:
                bootstrap.build_when_pinned(xom, index)
            changes += _pin(xom, index, pins, self.options.policy)
        print(welcome(arguments, self.server_path, self.passwords, changes), flush=True)

    def _ready(self) -> None:
        print(f"Ready: {served_index_url(self.arguments)}", flush=True)

    def _root_password(self) -> str:
        if self.arguments.root_password_file:
            return secretfiles.read_secret(self.arguments.root_password_file, "--root-password-file")
        return self.passwords.make("root")


def _check_index(index: str) -> None:
    if not re.fullmatch(r"[A-Za-z0-9_.@-]+/[A-Za-z0-9_.@-]+", index):
        raise RefusedError("index-name", f"{index!r} is not an index.", next_step="Write USER/NAME, as in main/forks.")


def _pin(xom: Any, index: str, pins: Sequence[Pin], policy: PinPolicy) -> list[str]:
    """Store the pins; a line for each change. Raises RefusedError for what the server's rules do not allow."""
    before = bootstrap.pins_of_index(xom, index)
    after = [str(pin) for pin in pin_diff([Pin.parse(line) for line in before], pins).pins]
    new = [line for line in after if line not in before]
    faults = policy.faults(Pin.parse(line) for line in new)
    if faults:
        raise RefusedError("pins-refused", "\n".join(faults))
    if after != before:
        bootstrap.set_pins(xom, index, after)
    if not after:
        return ["No fork is pinned yet: start again with -r FILE, or use: devpi forks pin -r FILE"]
    return [f"+ {line}" for line in new] + [f"- {line}" for line in before if line not in after]
