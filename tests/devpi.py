"""A real devpi-server as a process of its own, from the same environment as the tests, talked to over its HTTP API."""

from __future__ import annotations

import base64
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from devpi_forkbuilder.devpi.names import mirror_setting
from devpi_forkbuilder.devpi.storage import repair_sqlite
from tests.devpinames import options_of_devpi, settings_of_devpi
from tests.preloaded import preloaded
from tests.processes import Running, remember_descendants
from tests.surroundings import clean_environment, few_interpreters, remember_interpreters

ROOT_PASSWORD = "of-root"
START = 60.0  # seconds until a server that does not answer is given up
STOP = 30.0  # seconds between SIGTERM and the end
CHEAP_KEY = ("--argon2-memory-cost", "8", "--argon2-time-cost", "1", "--argon2-parallelism", "1")
"""devpi derives its key from the secret by seconds of work on purpose; with these, a start takes a fifth of it."""
CHEAP_PASSWORDS = {"argon2__memory_cost": 8, "argon2__rounds": 1, "argon2__parallelism": 1}
"""The same for the hashes of passwords (0.15 seconds each), for which devpi has no options: they are passlib's."""
CHEAPLY = f"""\
import devpi_server.auth
from passlib.context import CryptContext
devpi_server.auth.pwd_context = CryptContext(schemes=["argon2"], **{CHEAP_PASSWORDS})
"""
COMMAND = "import sys; from devpi_forkbuilder.commands.main import main; sys.exit(main())"
"""What `devpi-forkbuilder` does, whatever folder the environment's scripts are in."""
IMPORTS = """\
import devpi_forkbuilder.commands.up.startup
import devpi_forkbuilder.commands.warm
import devpi_server.config
import passlib.context
devpi_server.config.get_pluginmanager()
"""
"""What a server or a command of ours imports when it starts."""
SERVE = f"""\
{CHEAPLY}
from devpi_server.main import main
main()
"""
WITHOUT_PLUGIN = f"""\
{CHEAPLY}
from devpi_server.config import get_pluginmanager
from devpi_server.main import CommandRunner, _main
manager = get_pluginmanager(load_entrypoints=False)
manager.set_blocked("devpi-forkbuilder")
manager.load_setuptools_entrypoints("devpi_server")
with CommandRunner(pluginmanager=manager) as runner:
    _main(manager)
"""
INIT = f"""\
{CHEAPLY}
from devpi_server import main
from devpi_server.init import init
# The list of all public projects is tens of megabytes: a server that has this from its first start never asks for it.
main._pypi_ixconfig_default["{mirror_setting("no_project_list")}"] = True
raise SystemExit(init())
"""


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer. `reason` is the status line's phrase; header names are in lower case."""

    status: int
    reason: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def result(self) -> Any:
        """What devpi wraps as `{"type": ..., "result": ...}`."""
        return self.json["result"]

    def check(self, *expected: int) -> Answer:
        """Itself, if the status is as expected (by default any 2xx); else the test fails with the body."""
        fine = self.status in expected if expected else self.status // 100 == 2
        assert fine, f"{self.status} {self.reason}: {self.text[:2000]}"
        return self


class DevpiServer:
    """A server directory in `folder` and the process that serves it.

    `template` is a directory made by `initialise`; copying it takes milliseconds where `devpi-init` takes seconds.
    `primary` makes this server its replica, `beside` another process on the directory of a server that runs already.
    `options` are handed to devpi-server. It knows the machine's usual interpreters, or `every_python` that is on PATH.
    """

    program: tuple[str, ...] = ("-c", SERVE)
    python: str = sys.executable

    def __init__(
        self,
        folder: Path,
        *options: str,
        template: Path | None = None,
        mirror: bool = False,
        threads: int | None = None,
        primary: DevpiServer | None = None,
        beside: DevpiServer | None = None,
        environment: Mapping[str, str] | None = None,
        every_python: bool = False,
    ) -> None:
        self.folder = folder
        self.serverdir = folder / "server" if beside is None else beside.serverdir
        self.log = folder / "devpi.log"
        self.port = free_port()
        self.options = (
            *_flag("--threads", threads),
            *_flag("--primary-url", primary and primary.url),
            *options_of_devpi(options),
        )
        self.tokens: dict[str, str] = {}
        self._mirror = mirror
        self._primary = primary
        self._environment = dict(environment or {})
        if not every_python:
            self._environment.setdefault("PATH", few_interpreters(os.environ["PATH"]))
        self._running: Running | None = None
        self.template = template
        self._prepare(template)

    def __enter__(self) -> DevpiServer:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def index_url(self, index: str) -> str:
        """What an installer is given for `user/index`."""
        return f"{self.url}/{index}/+simple/"

    @property
    def pid(self) -> int:
        assert self._running is not None, "the server does not run"
        return self._running.pid

    # the process

    def start(self) -> DevpiServer:
        """Start, and return when `/+api` answers."""
        assert self._running is None, "the server runs already"
        modules = preloaded(IMPORTS) if self.python == sys.executable else None
        with self.log.open("ab") as log:
            self._running = Running(self._command(), self._surroundings(), self.folder, log, preloaded=modules)
        self._wait_until_up(time.monotonic() + START)
        return self

    def stop(self) -> None:
        """SIGTERM, as a service manager does, and wait for the end. Nothing if the server does not run."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL: a crash. What the server's own children do about it is the test's to see.

        Then what `up` does before it starts devpi: after a kill in the middle of a commit devpi alone would not start.
        """
        self._end(signal.SIGKILL)
        repair_sqlite(self.serverdir)

    def restart(self) -> DevpiServer:
        """The same directory, port and options."""
        self.stop()
        return self.start()

    def serial(self) -> int:
        """The number of the last change that this server knows."""
        return int(self.api("GET", "+api").check().headers["x-devpi-serial"])

    def wait_for(self, other: DevpiServer, timeout: float = START) -> None:
        """Wait until this replica knows every change that `other`, its primary, knows now."""
        wanted, deadline = other.serial(), time.monotonic() + timeout
        while self.serial() < wanted:
            assert time.monotonic() < deadline, f"serial {wanted} did not come within {timeout} s:\n{self.log_text()}"
            time.sleep(0.05)  # only a replica's own answers tell how far it is

    def log_text(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    # the HTTP API

    def api(
        self,
        method: str,
        path: str,
        content: object = None,
        user: str | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float = 60.0,
    ) -> Answer:
        """One request. `content` goes out as JSON, `user` must have logged in; any status, 3xx too, is an answer."""
        given = {"Accept": "application/json", **(headers or {})}
        if user is not None:
            given["X-Devpi-Auth"] = base64.b64encode(f"{user}:{self.tokens[user]}".encode()).decode()
        data = None
        if content is not None:
            data = json.dumps(settings_of_devpi(content)).encode()
            given["Content-Type"] = "application/json"
        url = path if path.startswith("http") else f"{self.url}/{path.lstrip('/')}"
        return send(urllib.request.Request(url, data, given, method=method), timeout)

    def get(self, path: str, headers: Mapping[str, str] | None = None, timeout: float = 60.0) -> Answer:
        """GET as nobody, with no wish about the content type unless `headers` name one."""
        return self.api("GET", path, headers={"Accept": "*/*", **(headers or {})}, timeout=timeout)

    def login(self, user: str, password: str) -> None:
        """Remember a token for the user; it lives as long as the server's secret, which a restart keeps."""
        answer = self.api("POST", "+login", {"user": user, "password": password}).check()
        self.tokens[user] = answer.result["password"]

    def as_user(self, user: str, password: str) -> DevpiServer:
        """Log in, unless that was done already."""
        if user not in self.tokens:
            self.login(user, password)
        return self

    def create_user(self, user: str, password: str | None = None) -> None:
        """Make a user and log in. The password is `of-USER` unless the test names one."""
        chosen = password or f"of-{user}"
        self.api("PUT", user, {"password": chosen}).check()
        self.login(user, chosen)

    def create_index(self, index: str, **config: object) -> Answer:
        """Make `user/index` as its user; `root` logs in by itself. The answer may be a refusal: `check()` it."""
        return self.api("PUT", index, {"type": "stage", "bases": [], **config}, user=self._owner(index))

    def modify_index(self, index: str, **config: object) -> Answer:
        """Change these settings and leave the others (PATCH). The answer may be a refusal: `check()` it."""
        changes = [f"{key}={_setting(value)}" for key, value in config.items()]
        return self.api("PATCH", index, changes, user=self._owner(index))

    def _owner(self, index: str) -> str:
        owner = index.partition("/")[0]
        if owner == "root":
            self.as_user("root", ROOT_PASSWORD)
        return owner

    # making ready

    def _prepare(self, template: Path | None) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        remember_interpreters(self.folder)
        if self.serverdir.exists():
            return  # somebody serves it already
        if self._primary is not None:
            initialise_replica(self.serverdir, self._primary)
        elif template is not None:
            shutil.copytree(template, self.serverdir)
        else:
            initialise(self.serverdir, *(() if self._mirror else ("--no-root-pypi",)))

    def _command(self) -> list[str]:
        place = ["--serverdir", str(self.serverdir), "--secretfile", str(self.serverdir / "secret")]
        address = ["--host", "127.0.0.1", "--port", str(self.port)]
        return [self.python, *self.program, *place, *address, *CHEAP_KEY, *self.options]

    def _surroundings(self) -> dict[str, str]:
        return clean_environment(self.folder, **self._environment)

    def _wait_until_up(self, deadline: float) -> None:
        assert self._running is not None
        while self._running.popen.poll() is None and time.monotonic() < deadline:
            if self._answers():
                return
            time.sleep(0.02)  # a server gives no other sign that it is ready than its answer
        self.kill()
        raise AssertionError(f"devpi-server did not start:\n{self.log_text()[-5000:]}")

    def _answers(self) -> bool:
        try:
            return self.api("GET", "+api", timeout=5.0).status == 200
        except (OSError, http.client.HTTPException):
            return False

    def _end(self, number: signal.Signals) -> None:
        running, self._running = self._running, None
        if running is None:
            return
        remember_descendants(running.pid)
        running.signal(number)
        try:
            running.wait(STOP)
        except subprocess.TimeoutExpired as error:
            raise AssertionError(f"devpi-server did not stop within {STOP} s:\n{self.log_text()[-5000:]}") from error


class PlainServer(DevpiServer):
    """devpi-server as it is without the plugin: what it answers is what the plugin must not change."""

    program = ("-c", WITHOUT_PLUGIN)


def initialise(serverdir: Path, *options: str) -> Path:
    """`devpi-init` with root's password `ROOT_PASSWORD`, and a secret in it, so that logins outlive a restart."""
    serverdir.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-c", INIT, "--serverdir", str(serverdir), "--root-passwd", ROOT_PASSWORD, *options]
    surroundings = clean_environment(serverdir.parent)
    running = Running(command, surroundings, serverdir.parent, None, preloaded=preloaded(IMPORTS))
    running.wait(START).check()
    serverdir.chmod(0o700)  # devpi refuses a secret in a folder that others may write
    secret = serverdir / "secret"
    secret.touch(mode=0o600)
    secret.write_text(base64.urlsafe_b64encode(os.urandom(32)).decode())
    return serverdir


def initialise_replica(serverdir: Path, primary: DevpiServer) -> None:
    """The same for a replica: a copy of the first one beside the primary's template, with an identity of its own."""
    options = ("--role", "replica", "--primary-url", primary.url)
    if primary.template is None:
        initialise(serverdir, *options)
    else:
        template = primary.template.with_name(f"{primary.template.name}-for-replicas")
        shutil.copytree(template if template.exists() else initialise(template, *options), serverdir)
        node = serverdir / ".nodeinfo"
        known = json.loads(node.read_text())
        # the key of the primary's URL has another name in each of devpi's versions
        own = {key: primary.url for key, value in known.items() if str(value).startswith("http")}
        node.write_text(json.dumps({**known, **own, "uuid": uuid.uuid4().hex}))
    shutil.copy2(primary.serverdir / "secret", serverdir / "secret")


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object, **__: object) -> None:
        """None: the 3xx is the answer."""


OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirect())


def send(request: urllib.request.Request, timeout: float) -> Answer:
    """The answer, whatever its status; redirects are not followed."""
    try:
        response = OPENER.open(request, timeout=timeout)
    except urllib.error.HTTPError as error:
        response = error
    with response:
        headers = {name.lower(): value for name, value in response.headers.items()}
        return Answer(response.status, response.reason, headers, response.read())


def is_served(url: str) -> bool:
    """Whether a devpi server answers there."""
    try:
        return send(urllib.request.Request(f"{url}/+api"), 5.0).status == 200
    except (OSError, http.client.HTTPException):
        return False


def _flag(name: str, value: object) -> tuple[str, ...]:
    return () if value is None else (name, str(value))


def _setting(value: object) -> str:
    """A setting as `devpi index` sends it: lists one item a line."""
    return "\n".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def free_port() -> int:
    """A port of loopback that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
