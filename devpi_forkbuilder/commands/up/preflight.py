"""What `up` looks at before it writes or serves anything; each fault is one line with the command that fixes it."""

from __future__ import annotations

import errno
import os
import platform
import socket
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from devpi_forkbuilder.commands.trial import check_builder
from devpi_forkbuilder.domain.compat.distributions import install_command
from devpi_forkbuilder.errors import ForkbuilderError, InfrastructureError, RefusedError
from devpi_forkbuilder.options import Options
from devpi_forkbuilder.pipeline.process.disk_space import existing, space_of

PRIVILEGED = 1024
BUBBLEWRAP = "bubblewrap"
OTHER_FOLDER = "Name another folder with --serverdir DIR."


def check_folder(folder: Path, option: str) -> None:
    """Raise RefusedError (`folder-unusable`) when `folder` cannot be made or written to."""
    place = next(place for place in (folder, *folder.parents) if os.path.lexists(place))
    if not place.is_dir():
        what = f"{place} is not a folder" if place.exists() else f"{place} is a link that leads nowhere"
        raise _unusable(f"{what}.", f"Name another one with {option} DIR.")
    if os.access(place, os.W_OK | os.X_OK):
        return
    if os.statvfs(place).f_flag & os.ST_RDONLY:
        raise _unusable(f"{place} is on a read-only file system.", f"Name a folder on another one with {option} DIR.")
    step = f"Name another one with {option} DIR, or run: chown -R {os.getuid()} {place}"
    raise _unusable(f"User {os.getuid()} may not write in {place}.", step)


def _unusable(what: str, next_step: str) -> RefusedError:
    return RefusedError("folder-unusable", what, next_step=next_step)


@dataclass(frozen=True, slots=True)
class Address:
    """Where the server is to listen."""

    host: str
    port: int

    @classmethod
    def of_server(cls, args: Any) -> Address | None:
        """That of devpi's parsed arguments; None where `--listen` or a socket file stand for host and port."""
        return None if args.listen or args.unix_socket else cls("" if args.host == "*" else args.host, int(args.port))

    def check(self) -> str:
        """Return the host to listen on: an IPv4 address where the machine has no IPv6, whatever its hosts file says.

        Raises RefusedError (`host-unknown`, `port-taken`, `port-privileged`, `port-unusable`).
        """
        if not 0 < self.port < 1 << 16:
            raise RefusedError("port-unusable", f"{self.port} is not a port.", next_step="Write --port 3141, say.")
        try:
            hints = socket.AI_PASSIVE if not self.host else 0
            found = socket.getaddrinfo(self.host or None, self.port, type=socket.SOCK_STREAM, flags=hints)
        except (OSError, UnicodeError):
            step = "Give an address of this machine with --host, or localhost."
            raise RefusedError("host-unknown", f"There is no host called {self.host}.", next_step=step) from None
        usable = [where for family, kind, protocol, _, where in found if self._opens(family, kind, protocol, where)]
        if not usable:
            raise self._fault(OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL)))
        return self.host or "*" if len(usable) == len(found) else str(usable[0][0])

    def _opens(self, family: int, kind: int, protocol: int, where: Any) -> bool:
        try:
            with closing(socket.socket(family, kind, protocol)) as one:
                one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                one.bind(where)
                one.listen(1)
        except OSError as error:
            if family == socket.AF_INET6 and not isinstance(error, PermissionError) and error.errno != errno.EADDRINUSE:
                return False  # a machine without IPv6 is served over IPv4
            raise self._fault(error) from None
        return True

    def _fault(self, error: OSError) -> RefusedError:
        shown = f"Port {self.port} of {self.host or 'this machine'}"
        if error.errno == errno.EADDRINUSE:
            what, step = f"{shown} is taken by another program.", f"Choose another one: --port {self._free()}"
            return RefusedError("port-taken", what, next_step=step)
        if isinstance(error, PermissionError) and self.port < PRIVILEGED:
            what = f"{shown} may be opened by root only."
            step = "Choose one above 1023, as --port 3141, and put nginx in front."
            return RefusedError("port-privileged", what, next_step=step)
        what = f"{shown} cannot be opened: {error.strerror}."
        return RefusedError("port-unusable", what, next_step="Give an address of this machine with --host.")

    def _free(self) -> int:
        for port in range(self.port + 1, min(self.port + 100, 1 << 16)):
            with closing(socket.socket()) as one:
                if one.connect_ex(("127.0.0.1", port)):
                    return port
        return 0


def check_build_tools(options: Options) -> None:
    """Raise ForkbuilderError when nothing could be built here: git, uv or a sandbox is missing, or an option is off."""
    try:
        check_builder(options)
    except ForkbuilderError as error:
        raise _with_command(error) from None
    except OSError as error:
        raise _unusable(f"Nothing can be written in {options.folder}: {error.strerror}.", OTHER_FOLDER) from None


def disk_is_full(folder: Path) -> bool:
    """Whether the disk of `folder` has too few bytes or inodes free for builds. Raises OSError."""
    return space_of(existing(folder)).scarce


def _with_command(error: ForkbuilderError) -> ForkbuilderError:
    """`error` with the command of this distribution that fixes it, where a package does."""
    if error.reference == "program-missing" and error.what.startswith("git "):
        return InfrastructureError(error.reference, error.what, next_step=f"Run: {_install('git')}", retryable=False)
    if error.reference in {"no-sandbox", "sandbox-unusable"} and "bwrap is not on PATH" in error.what:
        step = f"Run: {_install(BUBBLEWRAP)}"
        return InfrastructureError(error.reference, error.what, next_step=step, retryable=False)
    return error


def _install(package: str) -> str:
    try:
        return install_command(platform.freedesktop_os_release(), package)
    except OSError:
        return install_command({}, package)
