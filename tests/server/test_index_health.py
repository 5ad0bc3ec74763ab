"""What mirrors say of build requirements when they are asked directly, over devpi's own mirror and HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from devpi_forkbuilder.devpi.index_health import index_health
from devpi_forkbuilder.domain.index_health import IndexHealth
from devpi_forkbuilder.domain.pins.orders import Order
from devpi_forkbuilder.domain.pins.pins import Pin
from tests.publicindex import Fault, PublicIndex, public_index
from tests.server.app import App, pin
from tests.server.test_mirrors import running_app

WHEEL = "tool-2.0-py3-none-any.whl"
DEEP = "deep-1.0-py3-none-any.whl"


@pytest.fixture(scope="module")
def public(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PublicIndex]:
    with public_index(tmp_path_factory.mktemp("public") / "index") as index:
        index.add_wheel("tool", "1.0")
        index.add_wheel("tool", "2.0", requires=["deep", "never; python_version < '3'"])
        index.add_wheel("deep", "1.0")
        index.add_source("source-only", "1.0")
        yield index


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, app_template: Path, public: PublicIndex) -> Iterator[App]:
    with running_app(tmp_path_factory.mktemp("health"), app_template) as app:
        mirrored(app, "forks", public.url, mirror_no_project_list=True)
        yield app


@pytest.fixture
def app(made: App, public: PublicIndex) -> Iterator[App]:
    yield made
    public.faults.clear()


def mirrored(app: App, name: str, url: str, **settings: object) -> None:
    """An index of a pin, `root/NAME`, over a mirror of `url`."""
    app.request("PUT", f"/root/public-{name}", {"type": "mirror", "mirror_url": url, **settings})
    app.make_index(f"root/{name}", pin("alpha"), bases=[f"root/public-{name}"])


def ask(app: App, *requirements: str, constraints: tuple[str, ...] = (), index: str = "forks") -> IndexHealth:
    order = Order(f"root/{index}", Pin.parse(pin("alpha")))
    return index_health(app.xom, order, requirements, constraints, {})


def test_index_health__nothing_is_wrong(app: App) -> None:
    assert ask(app, "tool", "alpha", constraints=("tool<9", "other==1")) == IndexHealth()


@pytest.mark.parametrize(
    ("requirements", "constraints", "unmet"),
    [
        (("tool>2",), (), ("tool",)),
        (("tool",), ("tool<1",), ("tool",)),
        (("nosuch", "tool"), (), ("nosuch",)),
        (("source-only",), (), ("source-only",)),
        (("tool==1.0",), (), ()),
        (("alpha>=99",), (), ()),  # a pin: the mirrors have no say
    ],
)
def test_index_health__really_unmet(
    app: App, requirements: tuple[str, ...], constraints: tuple[str, ...], unmet: tuple[str, ...]
) -> None:
    assert ask(app, *requirements, constraints=constraints) == IndexHealth(unmet=unmet)


@pytest.mark.parametrize(
    ("name", "fault", "said"),
    [
        ("", 500, "answered 500 for tool"),
        ("", 403, "answered 403 for tool"),
        ("", "reset", "could not be reached for tool"),
        ("", "html", "answered a page without files for tool"),
        (WHEEL, "cut", f"for {WHEEL}"),
        (WHEEL, "short", f"gave {WHEEL} damaged or cut short"),
        (WHEEL, 404, f"gave {WHEEL} damaged or cut short"),
        (WHEEL, 502, f"answered 502 for {WHEEL}"),
        (DEEP, "short", f"gave {DEEP} damaged or cut short"),
    ],
)
def test_index_health__names_the_index_and_the_cause(
    app: App, public: PublicIndex, name: str, fault: Fault, said: str
) -> None:
    public.faults[name] = fault
    health = ask(app, "tool")
    assert health.fault.startswith(f"The index {public.url.rstrip('/')}")
    assert said in health.fault
    assert health.fault.isascii()
    public.faults.clear()
    assert ask(app, "tool") == IndexHealth()


def test_index_health__a_secret_of_the_mirrors_url_is_not_told(app: App, public: PublicIndex) -> None:
    url = public.url.replace("http://", "http://somebody:sesame@")
    mirrored(app, "secret", url, mirror_no_project_list=True)
    public.faults[""] = 500
    fault = ask(app, "tool", index="secret").fault
    assert "answered 500" in fault
    assert "sesame" not in fault


@pytest.mark.parametrize(("fault", "no_list"), [(404, True), ("html", True), ("html", False)])
def test_index_health__a_wrong_page_that_devpi_remembers_is_forgotten(
    app: App, public: PublicIndex, fault: Fault, no_list: bool
) -> None:
    name = f"remembers-{fault}-{no_list}".lower()
    mirrored(app, name, public.url, mirror_no_project_list=no_list)
    public.faults[""] = fault
    assert "tool-2.0" not in app.page(f"/root/{name}/+simple/tool/").text
    public.faults.clear()
    assert "tool-2.0" not in app.page(f"/root/{name}/+simple/tool/").text  # for half an hour, devpi would say
    assert ask(app, "tool", index=name) == IndexHealth()
    assert "tool-2.0" in app.page(f"/root/{name}/+simple/tool/").text
