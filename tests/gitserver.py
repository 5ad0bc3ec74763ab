"""A real git host on loopback: `git http-backend` (git-http-backend(1), a CGI) behind a small HTTP server.

`GitServer` serves the bare repositories of a folder at `http://127.0.0.1:PORT/NAME.git` and counts what is asked of it.
`BadServer` is a host that misbehaves in one chosen way. Both are context managers; when they exit, their threads have
ended and their processes are gone.
"""

from __future__ import annotations

import base64
import contextlib
import gzip
import os
import re
import signal
import socket
import socketserver
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

REPOSITORY = re.compile(r"/(?P<name>.+?)\.git(?P<rest>/.*)?")
PATIENCE = 30.0  # seconds until a test that waits for a request is told that none came


@cache
def http_backend() -> str:
    """The path of the CGI; it lies where `git --exec-path` says, not on PATH."""
    found = subprocess.run(["git", "--exec-path"], check=True, capture_output=True, text=True)
    return str(Path(found.stdout.strip()) / "git-http-backend")


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it came in. `kind` is `advertisement`, `listing`, `fetch` or `other`."""

    method: str
    path: str
    name: str
    kind: str
    protocol: str


@dataclass(slots=True)
class Gate:
    """Holds a repository's answers back: `reached` is set when the first request waits, `open()` lets all go."""

    reached: threading.Event = field(default_factory=threading.Event)
    opened: threading.Event = field(default_factory=threading.Event)

    def open(self) -> None:
        self.opened.set()

    def wait_until_reached(self, timeout: float = PATIENCE) -> None:
        assert self.reached.wait(timeout), f"no request reached the gate within {timeout} s"

    def pass_through(self) -> None:
        self.reached.set()
        self.opened.wait()


@dataclass(slots=True)
class Rules:
    """How one repository answers, where that differs from an ordinary public host."""

    ids_refused: bool = False
    filters_refused: bool = False
    authorization: str | None = None
    hidden: bool = False
    gate: Gate | None = None
    cut: int | None = None
    location: str | None = None


class _Listener(socketserver.ThreadingTCPServer):
    """Threads that can be ended: open connections are known, so that no handler waits for a client for ever."""

    allow_reuse_address = True
    daemon_threads = False
    block_on_close = True
    request_queue_size = 256

    def __init__(
        self, handler: type[socketserver.BaseRequestHandler], address: tuple[str, int] = ("127.0.0.1", 0)
    ) -> None:
        self.connections: set[socket.socket] = set()
        self.failures: list[BaseException] = []
        super().__init__(address, handler)
        self.port: int = self.server_address[1]
        self._accepting = threading.Thread(
            target=self.serve_forever, kwargs={"poll_interval": 0.02}, name=f"{type(self).__name__}-{self.port}"
        )

    def process_request(self, request: Any, client_address: Any) -> None:
        self.connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self.connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - the signature is the base's
        error = sys.exc_info()[1]
        if error is not None and not isinstance(error, OSError):  # a client that went away is none of our faults
            self.failures.append(error)

    def start(self) -> None:
        self._accepting.start()

    def stop(self) -> None:
        self.shutdown()
        self._accepting.join()
        for connection in tuple(self.connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self.server_close()


class _GitListener(_Listener):
    def __init__(self, owner: GitServer, address: tuple[str, int]) -> None:
        self.owner = owner
        super().__init__(_GitHandler, address)


class _GitHandler(BaseHTTPRequestHandler):
    """Reads a request, lets the server judge it, and answers once. HTTP/1.1 for `Expect`, one request a connection."""

    server: _GitListener
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer(b"")

    def do_POST(self) -> None:
        self._answer(self._chunks() if "chunked" in self.headers.get("Transfer-Encoding", "") else self._body())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the signature is the base's
        pass

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _chunks(self) -> bytes:
        parts = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _answer(self, body: bytes) -> None:
        status, headers, content = self.server.owner.respond(self.command, self.path, dict(self.headers.items()), body)
        self.close_connection = True
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(content)


Answer = tuple[int, list[tuple[str, str]], bytes]


class GitServer:
    """Serves every bare repository `NAME.git` below `folder`; repositories may be added while it runs."""

    def __init__(self, folder: Path, address: tuple[str, int] = ("127.0.0.1", 0)) -> None:
        self.folder = folder
        self._rules: dict[str, Rules] = {}
        self._log: list[Request] = []
        self._arrived = threading.Condition()
        self._processes: set[subprocess.Popen[bytes]] = set()
        self._listener = _GitListener(self, address)

    def __enter__(self) -> GitServer:
        self._listener.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        for rules in self._rules.values():
            if rules.gate is not None:
                rules.gate.open()
        for process in tuple(self._processes):
            _end_group(process)
        self._listener.stop()
        if self._listener.failures and error is None:
            raise self._listener.failures[0]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listener.port}"

    def repository_url(self, name: str) -> str:
        return f"{self.url}/{name}.git"

    # what a repository does differently; each may be called while the server runs

    def refuse_ids(self, name: str) -> None:
        """Give only what a branch or tag names: protocol v2, which gives any object, is not spoken."""
        self._of(name).ids_refused = True

    def refuse_filters(self, name: str) -> None:
        """Send whole histories whatever is asked to be left out, as plain git does unless it is configured to."""
        self._of(name).filters_refused = True

    def require_login(self, name: str, user: str, password: str) -> None:
        """Basic authentication (RFC 7617); without it the answer is 401."""
        token = base64.b64encode(f"{user}:{password}".encode()).decode()
        self._of(name).authorization = f"Basic {token}"

    def hide(self, name: str) -> None:
        """Answer 404, as a host does whose repository was deleted or made private."""
        self._of(name).hidden = True

    def move(self, name: str, location: str) -> None:
        """Answer 301 to `location` and what was asked of the repository, as a code host does after a renaming."""
        self._of(name).location = location

    def hold(self, name: str) -> Gate:
        """Hold every answer for this repository until the gate is opened (or the server exits)."""
        gate = Gate()
        self._of(name).gate = gate
        return gate

    def cut(self, name: str, size: int) -> None:
        """Send no more than `size` bytes of the objects that are asked for, and then end the answer."""
        self._of(name).cut = size

    def reset(self, name: str) -> None:
        """An ordinary public repository again; who waits at its gate goes on. The counts stay."""
        gate = self._rules.pop(name, Rules()).gate
        if gate is not None:
            gate.open()

    def _of(self, name: str) -> Rules:
        return self._rules.setdefault(name, Rules())

    # what was asked

    @property
    def requests(self) -> tuple[Request, ...]:
        """Everything that came in, oldest first, refused requests too."""
        return tuple(self._log)

    def requests_for(self, name: str) -> tuple[Request, ...]:
        """What came in for one repository, refused requests too."""
        return tuple(request for request in self.requests if request.name == name)

    def count(self, name: str, kind: str) -> int:
        return sum(1 for request in self.requests_for(name) if request.kind == kind)

    def fetches(self, name: str) -> int:
        """POST git-upload-pack that ask for objects: one for a fetch or clone into an empty repository.

        POSTs that only list or prepare (protocol v2's ls-refs, v0's `--depth`) are of kind `listing`.
        """
        return self.count(name, "fetch")

    def advertisements(self, name: str) -> int:
        """GET info/refs: one for each git command that talks to the repository (two where a login is asked for)."""
        return self.count(name, "advertisement")

    def wait_for(self, name: str, kind: str, count: int = 1, timeout: float = PATIENCE) -> None:
        """Block until `count` requests of that kind have come in."""
        with self._arrived:
            came = self._arrived.wait_for(lambda: self.count(name, kind) >= count, timeout)
        assert came, f"{self.count(name, kind)} of {count} requests ({kind}) for {name} came within {timeout} s"

    # answering; called by the handler's threads

    def respond(self, method: str, target: str, headers: dict[str, str], body: bytes) -> Answer:
        lower = {key.lower(): value for key, value in headers.items()}
        request = _read(method, target, lower, body)
        with self._arrived:
            self._log.append(request)
            self._arrived.notify_all()
        rules = self._rules.get(request.name, Rules())
        if rules.gate is not None:
            rules.gate.pass_through()
        if rules.location is not None:
            rest = target.partition(".git")[2]
            return 301, [("Location", f"{rules.location}{rest}"), ("Content-Type", "text/html")], b"moved\n"
        refusal = _judge(rules, lower)
        answer = refusal or self._backend(request, rules, target, lower, body)
        if rules.cut is not None and request.kind == "fetch":
            return *answer[:2], answer[2][: rules.cut]
        return answer

    def _backend(self, request: Request, rules: Rules, target: str, headers: dict[str, str], body: bytes) -> Answer:
        parts = urlsplit(target)
        environment = {
            "PATH": os.environ["PATH"],
            "GIT_PROJECT_ROOT": str(self.folder),
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": "/dev/null",
            "GIT_CONFIG_COUNT": "2",
            "GIT_CONFIG_KEY_0": "safe.directory",
            "GIT_CONFIG_VALUE_0": "*",
            "GIT_CONFIG_KEY_1": "uploadpack.allowFilter",
            "GIT_CONFIG_VALUE_1": "false" if rules.filters_refused else "true",
            "REQUEST_METHOD": request.method,
            "PATH_INFO": parts.path,
            "QUERY_STRING": parts.query,
            "REMOTE_ADDR": "127.0.0.1",
            "CONTENT_TYPE": headers.get("content-type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": headers.get("content-encoding", ""),
        }
        if request.protocol and not rules.ids_refused:
            environment["GIT_PROTOCOL"] = request.protocol
        return _parse(self._run(environment, body))

    def _run(self, environment: dict[str, str], body: bytes) -> bytes:
        with subprocess.Popen(
            [http_backend()],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        ) as process:
            self._processes.add(process)
            try:
                return process.communicate(body)[0]
            finally:
                self._processes.discard(process)


def _read(method: str, target: str, headers: dict[str, str], body: bytes) -> Request:
    parts = urlsplit(target)
    match = REPOSITORY.fullmatch(parts.path)
    name = match["name"] if match else ""
    return Request(method, target, name, _kind(method, parts.path, headers, body), headers.get("git-protocol", ""))


def _kind(method: str, path: str, headers: dict[str, str], body: bytes) -> str:
    if method == "GET" and path.endswith("/info/refs"):
        return "advertisement"
    if method == "POST" and path.endswith("/git-upload-pack"):
        plain = gzip.decompress(body) if headers.get("content-encoding") == "gzip" else body
        return "fetch" if _asks_for_objects(plain) else "listing"
    return "other"


def _asks_for_objects(plain: bytes) -> bool:
    """Not so: ls-refs, the empty probe before a login, and the first of the two POSTs that v0 needs for `--depth`."""
    if plain[4:].startswith(b"command="):
        return plain[4:].startswith(b"command=fetch")
    return b"have " in plain or plain.endswith(b"done\n")


def _judge(rules: Rules, headers: dict[str, str]) -> Answer | None:
    if rules.authorization is not None and headers.get("authorization") != rules.authorization:
        return 401, [("WWW-Authenticate", 'Basic realm="forks"'), ("Content-Type", "text/plain")], b"login needed\n"
    if rules.hidden:
        return 404, [("Content-Type", "text/plain")], b"Repository not found.\n"
    return None


def _parse(output: bytes) -> Answer:
    """A CGI's answer (RFC 3875, section 6): header lines, an empty line, the body."""
    head, _, content = output.partition(b"\r\n\r\n")
    status, headers = 200, []
    for line in head.decode("latin-1").splitlines():
        name, _, value = line.partition(":")
        if name.lower() == "status":
            status = int(value.split()[0])
        elif name:
            headers.append((name, value.strip()))
    return (status, headers, content) if head else (500, [], b"git http-backend gave no answer\n")


def _end_group(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


class BadServer:
    """A host that misbehaves. `behaviour` is a key of `BEHAVIOURS`; `location` is where `redirect` sends.

    `silent` accepts and says nothing; `trickle` sends an endless answer, one byte a second; `drop` hangs up once it was
    asked; `garbage` answers with what is not git's protocol; `html` is a login page with status 200; `login` is 401;
    `redirect` is 302.
    """

    def __init__(self, behaviour: str, location: str = "") -> None:
        self.location = location
        self.stopping = threading.Event()
        self.requests: list[bytes] = []
        self.asked = threading.Event()
        self._act = BEHAVIOURS[behaviour]
        owner = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                owner.serve(self.request)

        self._listener = _Listener(Handler)

    def __enter__(self) -> BadServer:
        self._listener.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.stopping.set()
        self._listener.stop()
        if self._listener.failures and error is None:
            raise self._listener.failures[0]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listener.port}"

    def repository_url(self, name: str) -> str:
        return f"{self.url}/{name}.git"

    def serve(self, connection: socket.socket) -> None:
        """Read the request's head, remember it, then misbehave."""
        head = b""
        while b"\r\n\r\n" not in head and (data := connection.recv(65536)):
            head += data
        self.requests.append(head)
        self.asked.set()
        self._act(self, connection)


def _silent(server: BadServer, connection: socket.socket) -> None:  # noqa: ARG001 - the connection is left alone
    server.stopping.wait()


def _trickle(server: BadServer, connection: socket.socket) -> None:
    connection.sendall(_head("200 OK", "application/x-git-upload-pack-advertisement"))
    while not server.stopping.wait(1.0):
        connection.sendall(b"0")


def _drop(server: BadServer, connection: socket.socket) -> None:
    pass


def _garbage(server: BadServer, connection: socket.socket) -> None:  # noqa: ARG001
    head = _head("200 OK", "application/x-git-upload-pack-advertisement")
    connection.sendall(head + b"this is not what git says\n" * 10)


def _html(server: BadServer, connection: socket.socket) -> None:  # noqa: ARG001
    page = b"<!DOCTYPE html><title>Sign in</title><form><input name=user><input name=password></form>\n"
    connection.sendall(_head("200 OK", "text/html") + page)


def _login(server: BadServer, connection: socket.socket) -> None:  # noqa: ARG001
    connection.sendall(_head("401 Unauthorized", "text/plain", 'WWW-Authenticate: Basic realm="forks"'))


def _redirect(server: BadServer, connection: socket.socket) -> None:
    """To `location` and, as hosts do, with the path and query that were asked for."""
    target = server.requests[-1].split(b" ", 2)[1].decode("latin-1")
    connection.sendall(_head("302 Found", "text/plain", f"Location: {server.location}{target}"))


def _head(status: str, content_type: str, *more: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Type: {content_type}", "Connection: close", *more, "", ""]
    return "\r\n".join(lines).encode("latin-1")


BEHAVIOURS: dict[str, Callable[[BadServer, socket.socket], None]] = {
    "silent": _silent,
    "trickle": _trickle,
    "drop": _drop,
    "garbage": _garbage,
    "html": _html,
    "login": _login,
    "redirect": _redirect,
}
