"""Git as this project runs it: on hostile repositories, without configuration, prompts or programs of others.

The options answer the list of git's own security releases: `--` and absolute paths keep a URL from being read as an
option, hooks, file-system monitors and filters are off, objects are checked when they arrive.
"""

from __future__ import annotations

import contextlib
import re
import shlex
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from devpi_forkbuilder.domain.pins import redacted
from devpi_forkbuilder.domain.urls import url_faults
from devpi_forkbuilder.errors import RefusedError
from devpi_forkbuilder.pipeline import environment, process
from devpi_forkbuilder.pipeline.command import MEBIBYTE, Command, Finished
from devpi_forkbuilder.pipeline.seams import LogSink

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
    "transfer.bundleURI=false",
    "http.followRedirects=false",
    "submodule.recurse=false",
    "gc.auto=0",
    "maintenance.auto=0",
    "advice.detachedHead=false",
    "init.defaultBranch=main",
)
STATUS = re.compile(rb"<= [Rr]ecv header: HTTP/[0-9.]+ ([0-9]{3})")
TRACE_LIMIT = 4 * MEBIBYTE


@dataclass(frozen=True, slots=True)
class Watch:
    """Who follows a command: where its output goes, and whether it should end."""

    log: LogSink
    cancelled: Callable[[], bool]


@dataclass(frozen=True, slots=True)
class Transfer:
    """A network command that ended, and the status codes of the HTTP answers it got, in their order."""

    finished: Finished
    statuses: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Access:
    """What git may show to hosts: a git-credential-store file, an ssh key, and the hosts that ssh knows."""

    credentials_file: Path | None = None
    ssh_key: Path | None = None
    known_hosts: Path | None = None


class Git:
    """Runs git. `home` is a folder of ours, `base` the server's environment, `timeout` in seconds for one command.

    A host that sends fewer than `slow_bytes` a second for `slow_seconds` is given up.
    """

    def __init__(
        self,
        home: Path,
        base: Mapping[str, str],
        *,
        access: Access | None = None,
        timeout: float = 900,
        slow_seconds: int = 30,
        slow_bytes: int = 1000,
    ) -> None:
        self.home = home
        self.base = base
        self.access = access or Access()
        self.timeout = timeout
        self.slow = (f"http.lowSpeedLimit={slow_bytes}", f"http.lowSpeedTime={slow_seconds}")

    def local(
        self,
        folder: Path,
        *arguments: str,
        watch: Watch,
        stdin: bytes = b"",
        capture_limit: int = 64 * MEBIBYTE,
        protocols: tuple[str, ...] = (),
        settings: tuple[str, ...] = (),
    ) -> Finished:
        """Run git in `folder` without network and without credentials; standard output is captured.

        `settings` (`KEY=VALUE`) come after, and so override, those of this module.
        """
        env = environment.git_environment(
            self.base, self._home(), protocols or ("none",), config=[("credential.helper", "")]
        )
        command = self._command(
            folder, arguments, env, extra=settings, stdin=stdin, capture=True, capture_limit=capture_limit
        )
        return process.run(command, log=watch.log, cancelled=watch.cancelled)

    def network(self, folder: Path, url: str, *arguments: str, watch: Watch) -> Transfer:
        """Run git in `folder` with the network, only with the transport of `url`, and with the credentials.

        Raises RefusedError (`url-refused`) for a `url` that is none of ours: `ext::COMMAND` has a scheme, too.
        """
        faults = url_faults(url)
        if faults:
            raise RefusedError("url-refused", f"git is not run on {redacted(url)!r}: {faults[0][0]}.")
        scheme = urlsplit(url).scheme
        with self._trace() as trace:
            env = environment.git_environment(
                self.base,
                self._home(),
                (scheme,),
                network=True,
                config=self._credentials(),
                ssh_command=environment.ssh_command(self.access.ssh_key, self.access.known_hosts),
            )
            # git names no status code in its exit status; its trace of the HTTP exchange does, and never a secret
            # (git(1), GIT_TRACE_CURL and GIT_TRACE_REDACT).
            env |= {"GIT_TRACE_CURL": str(trace), "GIT_TRACE_CURL_NO_DATA": "1", "GIT_TRACE_REDACT": "1"}
            command = self._command(folder, arguments, env, extra=self.slow)
            finished = process.run(command, log=watch.log, cancelled=watch.cancelled)
            return Transfer(finished, _statuses(trace))

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

    def _credentials(self) -> list[tuple[str, str]]:
        # The empty value forgets every helper before it (gitcredentials(7)). Of the three verbs only `get` is passed
        # on: with `erase` a host that says 401 would make git take the line out of the administrator's file.
        settings = [("credential.helper", "")]
        if self.access.credentials_file is not None:
            store = f"git credential-store --file={shlex.quote(str(self.access.credentials_file))} get"
            settings.append(("credential.helper", f'!f() {{ test "$1" != get || {store}; }}; f'))
        return settings

    @contextlib.contextmanager
    def _trace(self) -> Iterator[Path]:
        with tempfile.TemporaryDirectory(prefix="trace-", dir=self._home()) as folder:
            yield Path(folder, "curl")


def _statuses(trace: Path) -> tuple[int, ...]:
    try:
        with trace.open("rb") as stream:
            return tuple(int(found) for found in STATUS.findall(stream.read(TRACE_LIMIT)) if not found.startswith(b"1"))
    except FileNotFoundError:
        return ()
