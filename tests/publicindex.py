"""The least public index there is, on loopback: a folder of simple pages (PEP 503) and wheels behind http.server."""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.server.app import make_wheel


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the signature is the base's
        pass


class PublicIndex:
    """`add` puts a wheel on it; `url` is what installers and mirrors are given."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        self.url = f"http://127.0.0.1:{port}/simple/"

    def add(self, project: str, version: str) -> Path:
        """A wheel of this project and version, without modules."""
        wheel = make_wheel(self.folder / "files", project, version)
        page = self.folder / "simple" / project / "index.html"
        page.parent.mkdir(parents=True, exist_ok=True)
        known = page.read_text() if page.exists() else "<!DOCTYPE html>\n"
        page.write_text(f'{known}<a href="../../files/{wheel.name}">{wheel.name}</a>\n')
        names = sorted(path.parent.name for path in (self.folder / "simple").glob("*/index.html"))
        listed = "".join(f'<a href="{name}/">{name}</a>\n' for name in names)
        (self.folder / "simple" / "index.html").write_text(f"<!DOCTYPE html>\n{listed}")
        return wheel


@contextmanager
def public_index(folder: Path) -> Iterator[PublicIndex]:
    """Serve `folder` until the end of the block."""
    (folder / "simple").mkdir(parents=True)
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield PublicIndex(folder, server.server_address[1])
        finally:
            server.shutdown()
            thread.join()
