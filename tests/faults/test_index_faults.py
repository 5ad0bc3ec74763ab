"""The public index fails in seven ways while a build needs it: nobody blames the fork, and repair is enough."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.live import Live
from tests.publicindex import BACKEND, BUILD_SYSTEM, Fault, PublicIndex, public_index

pytestmark = [pytest.mark.functional, pytest.mark.faults]
WHEEL = "tiny_backend-1.0-py3-none-any.whl"
WAYS: dict[str, tuple[str, Fault, str]] = {
    "500": ("", 500, "answered 500"),
    "502": ("", 502, "answered 502"),
    "403": ("", 403, "answered 403"),
    "portal": ("", "html", "without files"),
    "reset": ("", "reset", "could not be reached"),
    "short": (WHEEL, "short", "damaged or cut short"),
    "cut": (WHEEL, "cut", WHEEL),
    "file-500": (WHEEL, 500, "answered 500"),
}


@pytest.fixture
def publics(tmp_path: Path) -> Iterator[dict[str, PublicIndex]]:
    with ExitStack() as stack:
        made = {way: stack.enter_context(public_index(tmp_path / way)) for way in (*WAYS, "missing")}
        for way, public in made.items():
            if way != "missing":
                public.add_backend()
            else:
                public.add("other", "1.0")
        yield made


def fork_on(live: Live, way: str, public: PublicIndex) -> str:
    """An index of one fork whose back end comes from `public`, through devpi's own mirror."""
    settings = json.dumps({"name": f"fork-{way}", "version": "1.0.2", "modules": ["fork.py"]})
    files = {"pyproject.toml": BUILD_SYSTEM, "inline.json": settings, "fork.py": "", "inline.py": None}
    fork = live.host.fork("inline", project=f"fork-{way}", files=files)
    live.server.create_index(f"root/public-{way}", type="mirror", mirror_url=public.url, volatile=True).check()
    return live.index_of(fork, bases=(f"root/public-{way}",))


def healed(live: Live, index: str, project: str) -> None:
    """Ask for the page, as installers do, until it has the wheel: nobody forces anything."""
    deadline = time.monotonic() + 60
    while not any("/failed/" not in file["url"] for file in live.files(index, project).values()):
        assert time.monotonic() < deadline, live.state(index, project)
        live.states(index, project, wait=2)


def test_index_faults__infrastructure_named_and_healed(live: Live, publics: dict[str, PublicIndex]) -> None:
    for way, (name, fault, _) in WAYS.items():
        publics[way].faults[name] = fault
    indexes = {way: fork_on(live, way, public) for way, public in publics.items()}
    for way, index in indexes.items():
        live.build(index, f"fork-{way}").check(202)
    for way, (_, _, said) in WAYS.items():
        failed = live.wait_for(indexes[way], f"fork-{way}", "failed", timeout=200)
        error = failed["error"]
        assert (error["kind"], error["reference"]) == ("infrastructure", "index-unreachable"), (way, error)
        assert said in error["message"], way
        assert publics[way].url.rstrip("/") in error["message"], way
        assert failed["retry_at"] - failed["finished_at"] <= 45, way
    missing = live.wait_for(indexes["missing"], "fork-missing", "failed", timeout=200)
    assert (missing["error"]["kind"], missing["error"]["reference"]) == ("build", "requirements-unresolvable")
    assert f"No index has a wheel of {BACKEND}" in missing["error"]["message"]
    assert missing["retry_at"] - missing["finished_at"] == pytest.approx(120, abs=1)
    for way in WAYS:
        publics[way].faults.clear()
    for way in WAYS:
        healed(live, indexes[way], f"fork-{way}")
