"""Git as this project runs it: on hostile repositories, without configuration, prompts or programs of others.

The options answer the list of git's own security releases: `--` and absolute paths keep a URL from being read as an
option, hooks, file-system monitors and filters are off, objects are checked when they arrive.
"""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from devpi_forkbuilder.domain.pins.pins import redacted
from devpi_forkbuilder.domain.pins.urls import url_faults
from devpi_forkbuilder.errors import RefusedError
from devpi_forkbuilder.pipeline.git import credential_helper
from devpi_forkbuilder.pipeline.git.credential_files import CredentialFiles
from devpi_forkbuilder.pipeline.git.moved import MOST, moved_to
from devpi_forkbuilder.pipeline.git.pinned_dns import PinnedAddress
from devpi_forkbuilder.pipeline.process import environment, runner
from devpi_forkbuilder.pipeline.process.command import MEBIBYTE, Command, Finished
from devpi_forkbuilder.pipeline.process.watch import TransferWatch
from devpi_forkbuilder.pipeline.process.work_dir import owner_of

SETTINGS = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.protectHFS=true",
    "core.protectNTFS=true",
    "core.attributesFile=/dev/null",
    "core.logAllRefUpdates=false",
    "protocol.version=2",
    "fetch.fsckObjects=true",
    # Old histories have these, they harm nobody, and index-pack counts warnings as errors (git-fsck(1)).
    "fetch.fsck.zeroPaddedFilemode=ignore",
    "fetch.fsck.badTimezone=ignore",
    "fetch.fsck.missingSpaceBeforeDate=ignore",
    "fetch.fsck.missingNameBeforeEmail=ignore",
    "fetch.fsck.missingEmail=ignore",
    "fetch.fsck.missingSpaceBeforeEmail=ignore",
    "fetch.fsck.zeroPaddedDate=ignore",
    "fetch.fsck.badName=ignore",
    "fetch.fsck.badEmail=ignore",
    "fetch.fsck.multipleAuthors=ignore",
    "transfer.bundleURI=false",
    "fetch.unpackLimit=1",
    "http.followRedirects=false",
    "submodule.recurse=false",
    "gc.auto=0",
    "maintenance.auto=0",
    "advice.detachedHead=false",
    "init.defaultBranch=main",
)
STATUS = re.compile(rb"<= [Rr]ecv header: HTTP/[0-9.]+ ([0-9]{3})")
TRACE = "trace-"
TRACE_LIMIT = 4 * MEBIBYTE
LISTING_LIMIT = 64 * MEBIBYTE
FILE = "file"
ANY_OWNER = "[safe]\n\tdirectory = *\n"
"""git refuses repositories of other users (git-config(1), `safe.directory`). Which repositories of this machine may be
read is said by the operator's allowed URLs, so it is not asked a second time. It must be a file: git hands neither `-c`
nor variables on to the process that serves a `file` URL."""


@dataclass(frozen=True, slots=True)
class Transfer:
    """A network command that ended, the status codes of the HTTP answers it got, in their order, and the URL on the
    same host to which it was redirected."""

    finished: Finished
    statuses: tuple[int, ...] = ()
    moved: str | None = None


class Git:
    """Runs git. `home` is a folder of ours, `base` the server's environment, `timeout` in seconds for one command.

    A host that sends fewer than `slow_bytes` a second for `slow_seconds` is given up. `route` leads to a URL's host, or
    raises when it may not be connected to. `follows` says whether a redirect within a host may lead to a URL.
    """

    def __init__(
        self,
        home: Path,
        base: Mapping[str, str],
        *,
        access: CredentialFiles | None = None,
        timeout: float = 900,
        slow_seconds: int = 30,
        slow_bytes: int = 1000,
        route: Callable[[str], PinnedAddress] = lambda _url: PinnedAddress(),
        follows: Callable[[str], bool] = lambda _url: False,
    ) -> None:
        self.home = home
        self.base = base
        self.access = access or CredentialFiles()
        self.timeout = timeout
        self.route = route
        self.follows = follows
        self.slow = (f"http.lowSpeedLimit={slow_bytes}", f"http.lowSpeedTime={slow_seconds}")

    def local(
        self,
        folder: Path,
        *arguments: str,
        watch: TransferWatch,
        stdin: bytes = b"",
        capture_limit: int = 64 * MEBIBYTE,
        protocols: tuple[str, ...] = (),
        settings: tuple[str, ...] = (),
        any_owner: bool = False,
    ) -> Finished:
        """Run git in `folder` without network and without credentials; standard output is captured.

        `settings` (`KEY=VALUE`) come after, and so override, those of this module. `any_owner`: the repository may
        belong to another user.
        """
        env = environment.git_environment(
            self.base, self._home(), protocols or ("none",), config=[("credential.helper", "")]
        )
        if any_owner:
            env |= self._any_owner()
        command = self._command(
            folder, arguments, env, extra=settings, stdin=stdin, capture=True, capture_limit=capture_limit
        )
        return runner.run(command, log=watch.log, cancelled=watch.cancelled)

    def network(self, folder: Path, url: str, *arguments: str, watch: TransferWatch, capture: bool = False) -> Transfer:
        """Run git in `folder` with the network, only with the transport of `url`, and with the credentials.

        A repository that was renamed on its host is read under its new URL, and the log says so.

        Raises RefusedError (`url-refused`) for a `url` that is none of ours: `ext::COMMAND` has a scheme, too; and what
        `Access.check` and `route` raise.
        """
        faults = url_faults(url)
        if faults:
            raise RefusedError("url-refused", f"git is not run on {redacted(url)!r}: {faults[0][0]}.")
        transfer = self._exchange(folder, url, arguments, watch, capture)
        current = url
        for _ in range(MOST):
            target = transfer.moved
            if transfer.finished.returncode == 0 or target is None or not self.follows(target):
                break
            watch.log.say(f"{current} has moved to {target}: following; pin the new URL")
            transfer = self._exchange(folder, target, arguments, watch, capture, instead_of=url)
            current = target
        return transfer

    def _exchange(
        self,
        folder: Path,
        url: str,
        arguments: tuple[str, ...],
        watch: TransferWatch,
        capture: bool,
        instead_of: str = "",
    ) -> Transfer:
        """Run git once; `url` takes the place of `instead_of` in its arguments."""
        self.access.check()
        scheme, route = urlsplit(url).scheme, self.route(url)
        rewriting = [(f"url.{url}.insteadOf", instead_of)] if instead_of else []
        ssh_command = environment.ssh_command(self.access.ssh_key, self.access.known_hosts, route.ssh_options)
        with self._trace() as trace:
            env = environment.git_environment(
                self.base,
                self._home(),
                (scheme,),
                network=True,
                config=[*self._credentials(), *route.settings, *rewriting],
                ssh_command=ssh_command,
            )
            # git names no status code in its exit status; its trace of the HTTP exchange does, and never a secret
            # (git(1), GIT_TRACE_CURL and GIT_TRACE_REDACT).
            env |= self._any_owner() if scheme == FILE else {}
            env |= {"GIT_TRACE_CURL": str(trace), "GIT_TRACE_CURL_NO_DATA": "1", "GIT_TRACE_REDACT": "1"}
            limit = LISTING_LIMIT if capture else 0
            command = self._command(folder, arguments, env, extra=self.slow, capture=capture, capture_limit=limit)
            finished = runner.run(command, log=watch.log, cancelled=watch.cancelled)
            seen = _read(trace)
            return Transfer(finished, _statuses(seen), moved_to(url, seen))

    def _command(
        self,
        folder: Path,
        arguments: tuple[str, ...],
        env: Mapping[str, str],
        *,
        extra: tuple[str, ...] = (),
        stdin: bytes = b"",
        capture: bool = False,
        capture_limit: int = 0,
    ) -> Command:
        settings = [part for setting in (*SETTINGS, *extra) for part in ("-c", setting)]
        return Command(
            argv=("git", *settings, *arguments),
            env=env,
            cwd=folder,
            timeout=self.timeout,
            label=f"git {arguments[0]}",
            capture=capture,
            capture_limit=capture_limit,
            stdin=stdin,
        )

    def _home(self) -> Path:
        self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        return self.home

    def _any_owner(self) -> dict[str, str]:
        path = self._home() / "any-owner.gitconfig"
        if not path.is_file():
            with tempfile.NamedTemporaryFile("w", dir=self._home(), delete=False, encoding="ascii") as file:
                file.write(ANY_OWNER)
            Path(file.name).replace(path)
        return {"GIT_CONFIG_GLOBAL": str(path)}

    def _credentials(self) -> list[tuple[str, str]]:
        # The empty value forgets every helper before it; the path is part of the question (gitcredentials(7)).
        settings = [("credential.helper", ""), ("credential.useHttpPath", "true")]
        if self.access.credentials_file is not None:
            settings.append(("credential.helper", credential_helper.helper(self.access.credentials_file)))
        return settings

    @contextlib.contextmanager
    def _trace(self) -> Iterator[Path]:
        with tempfile.TemporaryDirectory(prefix=f"{TRACE}{owner_of(os.getpid())}-", dir=self._home()) as folder:
            yield Path(folder, "curl")


def _read(trace: Path) -> bytes:
    try:
        with trace.open("rb") as stream:
            return stream.read(TRACE_LIMIT)
    except FileNotFoundError:
        return b""


def _statuses(trace: bytes) -> tuple[int, ...]:
    return tuple(int(found) for found in STATUS.findall(trace) if not found.startswith(b"1"))
