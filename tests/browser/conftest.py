"""A real browser: Debian's chromium, driven by Playwright, which downloads none of its own here."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from waitress.server import create_server

from devpi_forkbuilder.domain.pins.orders import Order
from devpi_forkbuilder.domain.results import Built
from devpi_forkbuilder.pipeline.protocols import BuildProgress
from tests.functional.conftest import devpi_servers, host  # noqa: F401  (fixtures)
from tests.server.app import PASSWORD, App, HeldBuilder
from tests.server.conftest import MakeApp, app_template, make_app  # noqa: F401  (fixtures)

HERE = Path(__file__).parent
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
WIDE, NARROW = {"width": 1280, "height": 860}, {"width": 390, "height": 844}
PATIENCE = 30_000  # milliseconds
SCREENSHOTS = Path(__file__).parent.parent.parent / "docs" / "images"


def why_not() -> str | None:
    """Why there is no browser, or None."""
    if CHROMIUM is None:
        return "there is no chromium"
    missing = [name for name in ("playwright", "axe_playwright_python") if find_spec(name) is None]
    return f"there is no {' and no '.join(missing)} (pip install devpi-forkbuilder[browser])" if missing else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    reason = why_not()
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.browser)
            if reason is not None:
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright  # noqa: PLC0415  (not where there is no browser)

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
        )
        yield browser
        browser.close()


@dataclass(frozen=True, slots=True)
class Window:
    """A window of the browser; `complaints` are what scripts and policies said in its console."""

    page: Any
    complaints: list[str]


OpenWindow = Callable[..., Window]


@pytest.fixture
def window(chromium: Any) -> Iterator[OpenWindow]:
    """Opens windows: `window(url, size=WIDE, password="...", javascript=True)`. Nothing may complain in one."""
    opened: list[Window] = []
    with ExitStack() as stack:

        def make(url: str, size: dict[str, int] = WIDE, password: str = PASSWORD, javascript: bool = True) -> Window:
            login = {"username": "root", "password": password}
            context = chromium.new_context(viewport=size, http_credentials=login, java_script_enabled=javascript)
            stack.callback(context.close)
            page = context.new_page()
            page.set_default_timeout(PATIENCE)
            made = Window(page, [])
            page.on("console", lambda line: made.complaints.append(line.text) if line.type == "error" else None)
            page.on("pageerror", lambda error: made.complaints.append(str(error)))
            page.goto(url)
            opened.append(made)
            return made

        yield make
        complaints = [line for one in opened for line in one.complaints if "401" not in line]
    assert not complaints


class TalkingBuilder(HeldBuilder):
    """Writes to the log of the build that it holds what the test tells it."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.log: Any = None
        self.began = threading.Event()

    @contextmanager
    def _build(self, order: Order, progress: BuildProgress) -> Iterator[Built]:
        self.log = progress.log
        self.began.set()
        with super()._build(order, progress) as built:
            yield built

    def say(self, line: str) -> None:
        assert self.began.wait(30)
        self.log.write(line.encode() + b"\n")


@pytest.fixture
def builder(tmp_path: Path) -> TalkingBuilder:
    return TalkingBuilder(tmp_path / "wheels")


@pytest.fixture
def app(make_app: MakeApp) -> App:  # noqa: F811  (the fixture)
    return make_app("--forkbuilder-workers", "1")


@pytest.fixture
def site(app: App) -> Iterator[str]:
    """The URL of `app`, which has no devpi-web beside it."""
    server = create_server(app.wsgi, host="127.0.0.1", port=0, threads=8)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.effective_port}"
    server.close()
    thread.join(10)
