"""A primary and its replicas, as real processes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from tests.devpi import DevpiServer
from tests.live import METADATA, Host, Live

ONLY_ASKED = ("--forkbuilder-read-ahead", "0")
"""A primary with this option builds nothing but what was asked for: the tests say when something is built."""
MakeSite = Callable[..., "Site"]
NONE_FETCHED = ("--file-replication-skip-indexes", "all")
"""A replica with this option has no file before it is asked for: the longest lag that there is."""


class Site:
    """A primary with indexes of forks, and its replicas."""

    def __init__(self, primary: Live, replicas: list[Live]) -> None:
        self.primary = primary
        self.replicas = replicas

    @property
    def replica(self) -> Live:
        """The first of them, or the only one."""
        return self.replicas[0]

    def settle(self) -> None:
        """Wait until every replica knows what the primary knows."""
        for replica in self.replicas:
            replica.server.wait_for(self.primary.server)

    def index_of(self, *args: object, **more: object) -> str:
        """A new index with pins of these forks, known to all."""
        index = self.primary.index_of(*args, **more)  # type: ignore[arg-type]  # checked by Live itself
        self.settle()
        return index

    def files(self, server: DevpiServer) -> dict[str, bytes]:
        """What a server has stored below `+files`: path to content. A server that is killed while it writes one leaves
        its temporary file (devpi_server.filestore_fs), which nothing refers to."""
        root = server.serverdir / "+files"
        stored = (path for path in root.rglob("*") if path.is_file() and not path.name.endswith("-tmp"))
        return {path.relative_to(root).as_posix(): path.read_bytes() for path in stored}

    def wait_for_files(self, replica: Live, timeout: float = 60.0) -> None:
        """Wait until a replica has the primary's files, all of them and no others."""
        deadline = time.monotonic() + timeout
        while (found := self.files(replica.server)) != self.files(self.primary.server):
            assert time.monotonic() < deadline, f"{sorted(found)} are not the primary's files"
            time.sleep(0.05)  # files are fetched after their transactions, and nobody announces them


@contextmanager
def running_site(
    folder: Path,
    host: Host,
    template: Path,
    replicas: int = 1,
    options: tuple[str, ...] = (),
    on_primary: tuple[str, ...] = (),
    threads: int | None = None,
    environment: Mapping[str, str] | None = None,
) -> Iterator[Site]:
    """A site in `folder`; `options` are the replicas'."""
    common: dict[str, Any] = {"threads": threads, "environment": environment}
    with ExitStack() as stack:
        own = ("--role", "primary", *host.allowed, METADATA, *ONLY_ASKED, *on_primary)
        primary = stack.enter_context(DevpiServer(folder / "primary", *own, template=template, **common))
        made = [
            stack.enter_context(
                DevpiServer(folder / f"replica-{number}", METADATA, *options, primary=primary, **common)
            )
            for number in range(1, replicas + 1)
        ]
        yield Site(Live(primary, host), [Live(server, host) for server in made])


def readers_plugin(folder: Path) -> Path:
    """A folder for PYTHONPATH with a devpi plugin: an index whose title is "private" may be read by root alone.

    devpi-server has the permission `pkg_read` and leaves it to plugins who has it.
    """
    information = folder / "readers_of_tests-1.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: readers-of-tests\nVersion: 1\n")
    (information / "entry_points.txt").write_text("[devpi_server]\nreaders = readers_of_tests\n")
    (folder / "readers_of_tests.py").write_text(
        "from pluggy import HookimplMarker\n"
        'hookimpl = HookimplMarker("devpiserver")\n'
        "@hookimpl\n"
        "def devpiserver_stage_get_principals_for_pkg_read(ixconfig):\n"
        '    return ["root"] if ixconfig.get("title") == "private" else None\n'
    )
    return folder
