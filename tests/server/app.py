"""devpi-server's WSGI application with the plugin, in this process, around a builder that tests hold in their hands."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import devpi_server.auth
from devpi_server.config import get_pluginmanager, parseoptions
from devpi_server.main import XOM, init_default_indexes, set_state_version
from packaging.version import Version
from passlib.context import CryptContext
from webob import Request

import devpi_forkbuilder.plugin
from devpi_forkbuilder.domain.compat.targets import Client, ServerTargets
from devpi_forkbuilder.domain.pins.orders import Order
from devpi_forkbuilder.domain.requirements_files.project_identity import Identity
from devpi_forkbuilder.domain.results import Artefact, Built
from devpi_forkbuilder.domain.states import State
from devpi_forkbuilder.domain.versions import stamp
from devpi_forkbuilder.errors import ForkbuilderError
from devpi_forkbuilder.pipeline.protocols import BuildProgress, CancelledError
from tests.devpi import CHEAP_KEY, CHEAP_PASSWORDS
from tests.devpinames import options_of_devpi, settings_of_devpi

COMMIT = "1a2b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d"
OTHER = "2b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d5e"
COMMIT_TIME = 1_763_634_153  # 2025-11-20 10:22:33 UTC
PIP = 'pip/26.3 {"installer":{"name":"pip","version":"26.3"}}'
SIMPLE_JSON = "application/vnd.pypi.simple.v1+json"
PURE = "py3-none-any"
PASSWORD = "secret"
ONLY_WHAT_IS_ASKED_FOR = ("--forkbuilder-read-ahead", "0")


def pin(project: str = "alpha", commit: str = COMMIT, version: str | None = "1.0", more: str = "") -> str:
    wanted = f"=={version}" if version else ""
    return f"git+https://git.example.com/org/{project}.git@{commit}#egg={project}{wanted}{more}"


class HeldBuilder:
    """Writes a small wheel; waits in `building` for `gate` unless it is open; raises `failure` if there is one."""

    def __init__(self, folder: Path) -> None:
        self.identity = "held 1"
        self.folder = folder
        self.gate = threading.Event()
        self.gate.set()
        self.failure: ForkbuilderError | None = None
        self.orders: list[Order] = []
        self.identified: list[Order] = []
        self.tags: Callable[[Order], str] = lambda _order: PURE
        self.source: Callable[[Order], bytes | None] = lambda _order: None

    def identify(self, order: Order, progress: BuildProgress) -> Identity:
        self.identified.append(order)
        while not self.gate.wait(0.02):
            if progress.cancelled():
                raise CancelledError
        if self.failure is not None:
            raise self.failure
        return Identity("Called-This", "1.0")

    def server_targets(self) -> ServerTargets:
        return ServerTargets(
            ("3.11", "3.12", "pypy3.10"), Client("cpython", (3, 11), "linux", "x86_64", "glibc", (2, 36))
        )

    def build(self, order: Order, progress: BuildProgress) -> AbstractContextManager[Built]:
        return self._build(order, progress)

    @contextmanager
    def _build(self, order: Order, progress: BuildProgress) -> Iterator[Built]:
        self.orders.append(order)
        progress.enter(State.FETCHING)
        progress.commit_time(COMMIT_TIME)
        progress.enter(State.BUILDING)
        progress.log.write(b"compiling <script>alert(1)</script>\n")
        while not self.gate.wait(0.02):
            if progress.cancelled():
                break
        if self.failure is not None:
            raise self.failure
        progress.enter(State.CHECKING)
        version = stamp(Version(order.pin.version or "1.0"), COMMIT_TIME, order.pin.commit)
        tags = self.tags(order)
        path = make_wheel(self.folder, order.pin.name, str(version), tags)
        content = path.read_bytes()
        metadata: dict[str, str | list[str]] = {"requires_python": ">=3.8", "summary": "a fork"}
        artefact = Artefact(
            path, path.name, hashlib.sha256(content).hexdigest(), len(content), str(version), tags == PURE, metadata
        )
        yield Built(
            (artefact, *self._sources(order, str(version))),
            COMMIT_TIME,
            {"uv": "0.0", "interpreter": order.python or "3.11"},
        )

    def _sources(self, order: Order, version: str) -> tuple[Artefact, ...]:
        content = self.source(order)
        if content is None:
            return ()
        path = self.folder / f"{order.pin.name}-{version}.tar.gz"
        path.write_bytes(content)
        return (Artefact(path, path.name, hashlib.sha256(content).hexdigest(), len(content), version, False, {}),)


def plugins() -> Any:
    """devpi's plugins without devpi-web, whose search engine warns at import; real processes have it loaded."""
    manager = get_pluginmanager(load_entrypoints=False)
    for name in ("devpi-web", "devpi-web-whoosh"):
        manager.set_blocked(name)
    manager.load_setuptools_entrypoints("devpi_server")
    return manager


def make_wheel(folder: Path, name: str, version: str, tags: str = PURE) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name.replace('-', '_')}-{version}-{tags}.whl"
    info = f"{name.replace('-', '_')}-{version}.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        archive.writestr(f"{info}/WHEEL", f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tags}\n")
        archive.writestr(f"{info}/RECORD", "")
    return path


def _config(serverdir: Path, *options: str) -> Any:
    """devpi's configuration for a server directory, as its own command line makes it."""
    config = parseoptions(plugins(), ["devpi-server", "--serverdir", str(serverdir), *CHEAP_KEY, *options])
    config.init_nodeinfo()
    return config


def initialise(serverdir: Path) -> Path:
    """What `devpi-init` does, in this process."""
    serverdir.mkdir(parents=True)
    config = _config(serverdir)
    config.args.root_passwd, config.args.no_root_pypi = PASSWORD, True  # options of devpi-init
    set_state_version(config)
    xom = XOM(config)
    init_default_indexes(xom)
    xom.keyfs.release_all_wait_tx()
    return serverdir


class App:
    """The application on a copy of the server directory `template`; requests are made as root unless `user` is None."""

    def __init__(self, folder: Path, template: Path, builder: HeldBuilder, options: tuple[str, ...]) -> None:
        serverdir = Path(shutil.copytree(template, folder / "server"))
        self.builder = builder
        self.xom = XOM(_config(serverdir, "--threads", "8", *ONLY_WHAT_IS_ASKED_FOR, *options_of_devpi(options)))
        self.wsgi = self.xom.create_app()
        self.context = self.wsgi.app.registry["forkbuilder"]
        self.xom.thread_pool.start()
        self._answers: list[Any] = []

    def close(self) -> None:
        """Close each answer, as a WSGI server does (PEP 3333), so that no held page is waited for; end the threads."""
        for answer in self._answers:
            if hasattr(answer.app_iter, "close"):
                answer.app_iter.close()
        self.xom.thread_pool.kill()

    def request(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        user: str | None = "root",
        environ: dict[str, str] | None = None,
        **headers: str,
    ) -> Any:
        request = Request.blank(path, method=method, base_url="http://devpi.example.com", environ=environ)
        request.headers.update({name.replace("_", "-"): value for name, value in headers.items()})
        if isinstance(body, bytes):
            request.body = body
        elif body is not None:
            request.body = json.dumps(settings_of_devpi(body)).encode()
            request.content_type = "application/json"
        if user is not None:
            token = base64.b64encode(f"{user}:{PASSWORD}".encode()).decode()
            request.headers["Authorization"] = f"Basic {token}"
        answer = request.get_response(self.wsgi)
        self._answers.append(answer)
        return answer

    def form(self, path: str, body: str, *, user: str | None = "root", **headers: str) -> Any:
        """A form as a browser sends it."""
        more = {"CONTENT_TYPE": "application/x-www-form-urlencoded"}
        return self.request("POST", path, body.encode(), user=user, environ=more, **headers)

    def get(self, path: str, **headers: str) -> Any:
        return self.request("GET", path, user=None, **{"User_Agent": "curl/8", **headers})

    def page(self, path: str, **headers: str) -> Any:
        return self.get(path, **{"User_Agent": PIP, "Accept": SIMPLE_JSON, **headers})

    def files(self, path: str, **headers: str) -> list[dict[str, Any]]:
        answer = self.page(path, **headers)
        assert answer.status_int == 200, answer.text
        files: list[dict[str, Any]] = json.loads(answer.text)["files"]
        return files

    def make_index(self, name: str = "root/forks", *pins: str, **settings: object) -> Any:
        body = {"type": "forkbuilder", "bases": [], "forks": list(pins), **settings}
        return self.request("PUT", f"/{name}", body)

    def pin(self, *pins: str, name: str = "root/forks") -> Any:
        return self.request("PATCH", f"/{name}", ["forks=" + "\n".join(pins)])

    def config(self, name: str = "root/forks") -> dict[str, Any]:
        config: dict[str, Any] = self.request("GET", f"/{name}", Accept="application/json").json["result"]
        return config


def cheap_passwords(patch: Any) -> None:
    """Hash passwords with little work: devpi's 0.15 seconds of CPU for each are on purpose, and no test's subject."""
    patch.setattr(devpi_server.auth, "pwd_context", CryptContext(schemes=["argon2"], **CHEAP_PASSWORDS))


def plug_in(patch: Any, builder: HeldBuilder) -> None:
    patch.setattr(devpi_forkbuilder.plugin, "make_builder", lambda _options: builder)
