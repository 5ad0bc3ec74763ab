"""The least public index there is, on loopback: a folder of simple pages (PEP 503) and files behind http.server."""

from __future__ import annotations

import functools
import hashlib
import io
import json
import os
import re
import tarfile
import threading
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.repositories import FORKS
from tests.server.app import make_wheel

JSON = "application/vnd.pypi.simple.v1+json"
BACKEND = "tiny-backend"
"""The project of `PublicIndex.add_backend`."""
BUILD_SYSTEM = f'[build-system]\nrequires = ["{BACKEND}"]\nbuild-backend = "tiny_backend"\n'


Fault = int | str
"""A status; `html`: another page; `reset`: no answer; `cut`: half of the file; `short`: half, as if it were all."""


class _Quiet(SimpleHTTPRequestHandler):
    def __init__(self, *arguments: object, index: PublicIndex, **more: object) -> None:
        self.index = index
        super().__init__(*arguments, **more)  # type: ignore[arg-type]  # handed on as they come

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the signature is the base's
        pass

    def do_GET(self) -> None:
        name = self.path.rpartition("/")[2]
        self.index.sent[name] += 1
        project = self.path.rstrip("/").rpartition("/")[2]
        self.index.stopped.wait(self.index.delays.get(project, 0.0))
        gate = self.index.gates.get(name)
        if gate is not None:
            self.index.reached.set()
            gate.wait(60)
        fault = self.index.faults.get(name) or self.index.faults.get("")
        found = self.index.answer(self.path, self.headers.get("Accept", ""), self.headers.get("Range", ""))
        if fault is not None:
            self._break(fault)
        elif found is None:
            super().do_GET()
        else:
            self._send(*found)

    def _send(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for header, value in headers.items():
            self.send_header(header, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def copyfile(self, source: Any, outputfile: Any) -> None:
        """Send a whole file; the reader may leave in the middle."""
        while block := source.read(16 * 1024):
            self.index.bytes_sent += len(block)
            try:
                outputfile.write(block)
            except ConnectionError:
                return

    def _break(self, fault: Fault) -> None:
        if fault == "reset":
            self.connection.close()
            return
        whole = Path(self.translate_path(self.path)).read_bytes() if fault in {"short", "cut"} else b""
        body = whole[: len(whole) // 2] if whole else b"<html><body>Please log in.</body></html>"
        self.send_response(fault if isinstance(fault, int) else 200)
        self.send_header("Content-Type", "text/html" if not whole else "application/zip")
        self.send_header("Content-Length", str(len(whole if fault == "cut" else body)))
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = True


class _Server(ThreadingHTTPServer):
    request_queue_size = 128
    """With the 5 of http.server, clients that come together wait a second for their connection."""


class PublicIndex:
    """`add` puts a wheel on it; `url` is what installers and mirrors are given."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = ""
        self.sent: Counter[str] = Counter()
        """How often each file was asked for, by its name."""
        self.gates: dict[str, threading.Event] = {}
        """A file with a gate is sent when that is opened; `reached` tells that somebody waits."""
        self.reached = threading.Event()
        self.bytes_sent = 0
        """How much of files was sent: whole ones, ranges and metadata."""
        self.ranges = self.suffixes = False
        """Whether ranges are answered, and those that count from the end."""
        self.json = False
        """Whether pages come in JSON, with sizes and `facts`."""
        self.facts: dict[str, dict[str, Any]] = {}
        """Further keys of files on JSON pages, by file name."""
        self.status: dict[str, str] = {}
        """The project status of all projects (PEP 792)."""
        self.announced: dict[str, str | bool] = {}
        """Files whose core metadata are announced, with a hash or without."""
        self.metadata: dict[str, bytes] = {}
        """Metadata files, by the names of their wheels; what is announced need not be there."""
        self.faults: dict[str, Fault] = {}
        """What goes wrong with an answer, by the file's name; a project's page has the name ""."""
        self.delays: dict[str, float] = {}
        """Seconds before anything is sent of a project's page."""
        self.stopped = threading.Event()

    def announce(self, wheel: Path, *, hashed: bool = True) -> bytes:
        """Announce and serve the core metadata of a wheel."""
        content = metadata_of(wheel)
        self.metadata[wheel.name] = content
        self.announced[wheel.name] = hashlib.sha256(content).hexdigest() if hashed else True
        return content

    def answer(self, path: str, accept: str, wanted: str) -> tuple[int, dict[str, str], bytes] | None:
        """What a better index answers; None: what the folder has."""
        name = path.rpartition("/")[2]
        if name.endswith(".metadata") and name.removesuffix(".metadata") in self.metadata:
            content = self.metadata[name.removesuffix(".metadata")]
            self.bytes_sent += len(content)
            return 200, {"Content-Type": "application/octet-stream"}, content
        file = self.folder / "files" / name
        if path.startswith("/files/") and file.exists() and wanted and self.ranges:
            return self._range(file.read_bytes(), wanted.removeprefix("bytes="))
        if path.startswith("/simple/") and path.endswith("/") and path != "/simple/":
            page = self.folder / "simple" / path.split("/")[2] / "index.html"
            if page.exists() and (self.json or self.announced):
                return self._page(page, as_json=self.json and JSON in accept)
        return None

    def _range(self, content: bytes, wanted: str) -> tuple[int, dict[str, str], bytes] | None:
        first, _, last = wanted.partition("-")
        if not first and not self.suffixes:
            self.bytes_sent += 16 * 1024
            return 200, {"Accept-Ranges": "bytes"}, content
        start = int(first) if first else max(0, len(content) - int(last))
        end = min(len(content), int(last) + 1 if first and last else len(content))
        if start >= len(content):
            return 416, {"Content-Range": f"bytes */{len(content)}"}, b""
        self.bytes_sent += end - start
        return 206, {"Content-Range": f"bytes {start}-{end - 1}/{len(content)}"}, content[start:end]

    def _page(self, page: Path, *, as_json: bool) -> tuple[int, dict[str, str], bytes]:
        links = re.findall(r'<a href="([^"#]+)#sha256=([^"]+)">([^<]+)</a>', page.read_text())
        if not as_json:
            lines = [
                f'<a href="{href}#sha256={digest}"{_attribute(self.announced.get(name))}>{name}</a>\n'
                for href, digest, name in links
            ]
            return 200, {"Content-Type": "text/html"}, ("<!DOCTYPE html>\n" + "".join(lines)).encode()
        files = []
        for href, digest, name in links:
            file = {"filename": name, "url": href, "hashes": {"sha256": digest}}
            file["size"] = (self.folder / "files" / name).stat().st_size  # type: ignore[assignment]
            if name in self.announced:
                told = self.announced[name]
                file["core-metadata"] = {"sha256": told} if isinstance(told, str) else told  # type: ignore[assignment]
            files.append({**file, **self.facts.get(name, {})})
        body: dict[str, Any] = {"meta": {"api-version": "1.4"}, "name": page.parent.name, "files": files}
        if self.status:
            body["project-status"] = self.status
        return 200, {"Content-Type": JSON}, json.dumps(body).encode()

    def add(self, project: str, version: str) -> Path:
        """A wheel of this project and version, without modules."""
        return self._list(make_wheel(self.folder / "files", project, version), project)

    def add_wheel(
        self,
        project: str,
        version: str,
        *,
        requires: Sequence[str] = (),
        modules: Mapping[str, str] | None = None,
        tags: str = "py3-none-any",
        padding: int = 0,
    ) -> Path:
        """A wheel with dependencies and modules, complete enough to be installed by everybody.

        `padding` bytes that cannot be compressed come before its metadata.
        """
        stem = f"{project.replace('-', '_')}-{version}"
        needed = "".join(f"Requires-Dist: {line}\n" for line in requires)
        members = {
            **(modules or {f"{project.replace('-', '_')}.py": f"VERSION = {version!r}\n"}),
            f"{stem}.dist-info/METADATA": f"Metadata-Version: 2.1\nName: {project}\nVersion: {version}\n{needed}",
            f"{stem}.dist-info/WHEEL": f"Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: {tags}\n",
        }
        record = f"{stem}.dist-info/RECORD"
        wheel = self.folder / "files" / f"{stem}-{tags}.whl"
        wheel.parent.mkdir(exist_ok=True)
        with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
            if padding:
                archive.writestr("padding.bin", os.urandom(padding))
            for name, text in members.items():
                archive.writestr(name, text)
            archive.writestr(
                record, "".join(f"{name},,\n" for name in (*members, record, *(("padding.bin",) if padding else ())))
            )
        return self._list(wheel, project)

    def add_backend(self) -> Path:
        """A build back end as a project of its own: it builds what an `inline.json` says."""
        text = (FORKS / "_backend" / "inline_backend.py").read_text(encoding="utf-8")
        return self.add_wheel(BACKEND, "1.0", modules={"tiny_backend.py": text})

    def add_source(self, project: str, version: str) -> Path:
        """A source distribution alone, built by `add_backend`'s project."""
        stem = f"{project.replace('-', '_')}-{version}"
        settings = {"name": project, "version": version, "modules": [f"{project.replace('-', '_')}.py"]}
        members = {
            "pyproject.toml": BUILD_SYSTEM,
            "inline.json": json.dumps(settings),
            str(settings["modules"][0]): f"VERSION = {version!r}\n",
            "PKG-INFO": f"Metadata-Version: 2.1\nName: {project}\nVersion: {version}\n",
        }
        archive = self.folder / "files" / f"{stem}.tar.gz"
        archive.parent.mkdir(exist_ok=True)
        with tarfile.open(archive, "w:gz") as tar:
            for name, text in members.items():
                member = tarfile.TarInfo(f"{stem}/{name}")
                member.size = len(text.encode())
                tar.addfile(member, io.BytesIO(text.encode()))
        return self._list(archive, project)

    def _list(self, file: Path, project: str) -> Path:
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        page = self.folder / "simple" / project / "index.html"
        page.parent.mkdir(parents=True, exist_ok=True)
        known = page.read_text() if page.exists() else "<!DOCTYPE html>\n"
        page.write_text(f'{known}<a href="../../files/{file.name}#sha256={digest}">{file.name}</a>\n')
        names = sorted(path.parent.name for path in (self.folder / "simple").glob("*/index.html"))
        listed = "".join(f'<a href="{name}/">{name}</a>\n' for name in names)
        (self.folder / "simple" / "index.html").write_text(f"<!DOCTYPE html>\n{listed}")
        return file


def metadata_of(wheel: Path) -> bytes:
    """A wheel's METADATA."""
    with zipfile.ZipFile(wheel) as archive:
        [name] = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        return archive.read(name)


def _attribute(announced: str | bool | None) -> str:
    """As HTML pages announce metadata (PEP 714)."""
    if announced is None:
        return ""
    return ' data-core-metadata="true"' if announced is True else f' data-core-metadata="sha256={announced}"'


@contextmanager
def public_index(folder: Path) -> Iterator[PublicIndex]:
    """Serve `folder` until the end of the block."""
    (folder / "simple").mkdir(parents=True)
    index = PublicIndex(folder)
    handler = functools.partial(_Quiet, index=index, directory=str(folder))
    with _Server(("127.0.0.1", 0), handler) as server:
        index.url = f"http://127.0.0.1:{server.server_address[1]}/simple/"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield index
        finally:
            index.stopped.set()
            for gate in index.gates.values():
                gate.set()
            server.shutdown()
            thread.join()
