"""A lock that is made again asks for every page, and gets hardly a byte: real uv, over HTTP."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from waitress.server import create_server

from tests.clients import Uv
from tests.publicindex import public_index
from tests.server.app import App, pin
from tests.server.conftest import MakeApp

PROJECTS = 40


class Counted:
    """A WSGI application, with the status and the size of each answer for a page."""

    def __init__(self, wsgi: Any) -> None:
        self._wsgi = wsgi
        self.pages: list[tuple[str, int]] = []

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        told: list[str] = []

        def start(status: str, headers: Any, *more: Any) -> Any:
            told.append(status)
            return start_response(status, headers, *more)

        body = b"".join(self._wsgi(environ, start))
        if "/+simple/" in environ["PATH_INFO"]:
            self.pages.append((told[0][:3], len(body)))
        return [body]


@contextmanager
def listening(app: App) -> Iterator[tuple[str, Counted]]:
    counted = Counted(app.wsgi)
    server = create_server(counted, host="127.0.0.1", port=0, threads=8, channel_timeout=2, cleanup_interval=1)

    def run() -> None:
        with suppress(OSError):  # its sockets are closed while it waits for them
            server.run()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.effective_port}", counted
    finally:
        for channel in list(server.active_channels.values()):
            channel.handle_close()
        server.close()
        server.task_dispatcher.shutdown()
        thread.join(20)


def test_second_lock__is_a_question_for_each_page_and_no_answer(make_app: MakeApp, uv: Uv, tmp_path: Path) -> None:
    app = make_app("--forkbuilder-hold", "30", "--enable-core-metadata")
    with public_index(tmp_path / "public") as public, listening(app) as (url, counted):
        for number in range(PROJECTS):
            public.add_wheel(f"public{number}", "1.0")
        app.request("PUT", "/root/mirror", {"type": "mirror", "mirror_url": public.url, "mirror_no_project_list": True})
        app.make_index("root/forks", pin(), bases=["root/mirror"])
        wanted = tmp_path / "requirements.in"
        wanted.write_text("\n".join(["alpha", *(f"public{number}" for number in range(PROJECTS))]) + "\n")
        arguments = ("compile", str(wanted), "--upgrade", "--default-index", f"{url}/root/forks/+simple/")
        locks = []
        for _ in range(2):
            before = len(counted.pages)
            locks.append(uv.run(*arguments, cache=tmp_path / "uv-cache").wait(120).check().stdout)
            pages = counted.pages[before:]
    assert locks[0] == locks[1]
    sent = sum(size for status, size in counted.pages[:before])
    print(
        f"{sum(status == '304' for status, _ in pages)} of {len(pages)} pages are 304, {sum(s for _, s in pages)} bytes"
    )
    assert len(pages) >= PROJECTS
    assert sum(status == "304" for status, _ in pages) >= 0.95 * len(pages)
    assert sum(size for _, size in pages) <= 0.02 * sent
