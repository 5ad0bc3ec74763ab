from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.server.app import App, HeldBuilder, cheap_passwords, initialise, plug_in

MakeApp = Callable[..., App]


@pytest.fixture(scope="session")
def app_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An initialised server directory; each application takes a copy."""
    with pytest.MonkeyPatch.context() as patch:
        cheap_passwords(patch)
        return initialise(tmp_path_factory.mktemp("app-template") / "server")


@pytest.fixture
def builder(tmp_path: Path) -> HeldBuilder:
    return HeldBuilder(tmp_path / "wheels")


@pytest.fixture
def make_app(
    tmp_path: Path, app_template: Path, builder: HeldBuilder, monkeypatch: pytest.MonkeyPatch
) -> Iterator[MakeApp]:
    cheap_passwords(monkeypatch)
    plug_in(monkeypatch, builder)
    apps: list[App] = []

    def make(*options: str) -> App:
        apps.append(App(tmp_path / f"app-{len(apps)}", app_template, builder, options))
        return apps[-1]

    yield make
    builder.gate.set()
    for app in apps:
        app.close()


@pytest.fixture
def app(make_app: MakeApp) -> App:
    return make_app("--forkbuilder-hold", "30", "--forkbuilder-workers", "2")
