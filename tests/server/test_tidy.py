"""Tidying of what devpi stores: nothing that is pinned goes, and what goes comes back the same."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import pytest

from devpi_forkbuilder.devpi.tidy import mirrored
from devpi_forkbuilder.devpi.tidy.leftovers import LeftoverShelf
from devpi_forkbuilder.devpi.tidy.mirrored import MirroredShelf
from devpi_forkbuilder.devpi.tidy.shelves import daily_tidy, shelves
from devpi_forkbuilder.devpi.tidy.superseded import SupersededShelf, pinned_commits
from devpi_forkbuilder.domain.tidy import DAY, KeepLimits, TidyKind, TidyPlan, TidyReport
from devpi_forkbuilder.service.clock import SystemClock
from devpi_forkbuilder.service.tidy.engine import TidyPass
from tests.publicindex import PublicIndex, public_index
from tests.server.app import COMMIT, OTHER, App, pin
from tests.server.conftest import MakeApp

LATER = 10 * DAY
"""The shelves are told that it is ten days later."""


@pytest.fixture
def public(tmp_path: Path) -> Iterator[PublicIndex]:
    with public_index(tmp_path / "public") as index:
        for version, padding in (("1.0", 50_000), ("2.0", 10_000)):
            index.add_wheel("remote", version, padding=padding)
        yield index


def with_mirror(app: App, url: str) -> App:
    config = {"type": "mirror", "mirror_url": url, "mirror_no_project_list": True}
    assert app.request("PUT", "/root/public", config).status_int == 200
    assert app.make_index("root/forks", pin(), bases=["root/public"]).status_int == 200
    return app


def fetched(app: App, project: str = "remote") -> dict[str, str]:
    """Download all files of a project; their hashes by name."""
    page = f"http://devpi.example.com/root/forks/+simple/{project}/"
    urls = {file["filename"]: urlsplit(urljoin(page, file["url"])).path for file in app.files(urlsplit(page).path)}
    return {name: hashlib.sha256(app.get(path).body).hexdigest() for name, path in urls.items()}


def tidied(shelf: Any, *, size: int | None = None, age: float | None = None, dry: bool = False) -> TidyReport:
    plan = TidyPlan({shelf.kind: KeepLimits(age, size)}, free=0)
    return TidyPass((shelf,), plan, SystemClock(), dry_run=dry).run()


def shelf_of(app: App, later: float = LATER) -> MirroredShelf:
    return MirroredShelf(app.xom, lambda: time.time() + later)


def cached(app: App) -> list[str]:
    return sorted(one.name.rpartition("/")[2] for one in shelf_of(app).stored())


def test_mirrored__the_largest_goes_and_comes_back_the_same(app: App, public: PublicIndex) -> None:
    with_mirror(app, public.url)
    before = fetched(app)
    assert cached(app) == ["remote-1.0-py3-none-any.whl", "remote-2.0-py3-none-any.whl"]
    serial = app.xom.keyfs.get_current_serial()
    assert tidied(shelf_of(app), size=40_000, dry=True).freed > 50_000
    assert len(cached(app)) == 2
    report = tidied(shelf_of(app), size=40_000)
    assert (report.faults, report.kinds[0].removed) == ((), 1)
    assert cached(app) == ["remote-2.0-py3-none-any.whl"]
    assert app.xom.keyfs.get_current_serial() == serial  # replicas keep theirs
    assert fetched(app) == before
    assert len(cached(app)) == 2


def test_mirrored__our_own_releases_are_none_of_them(app: App, public: PublicIndex) -> None:
    with_mirror(app, public.url)
    before = fetched(app, "alpha")
    assert tidied(shelf_of(app), size=0).faults == ()
    assert fetched(app, "alpha") == before
    assert len(app.builder.orders) == 1


def test_mirrored__what_upstream_has_no_more_or_does_not_give_stays(app: App, public: PublicIndex) -> None:
    with_mirror(app, public.url)
    fetched(app)
    public.faults["remote-1.0-py3-none-any.whl"] = 404
    public.faults["remote-2.0-py3-none-any.whl"] = "reset"
    report = tidied(shelf_of(app), size=0)
    assert report.kinds[0].kept == {mirrored.GONE: 2}
    assert len(cached(app)) == 2


def test_mirrored__what_was_just_read_stays(app: App, public: PublicIndex) -> None:
    with_mirror(app, public.url)
    fetched(app)
    assert tidied(shelf_of(app, 0.0), size=0).kinds[0].kept == {mirrored.RECENT: 2}


def test_mirrored__in_offline_mode_all_stays(make_app: MakeApp, public: PublicIndex) -> None:
    app = with_mirror(make_app(), public.url)
    fetched(app)
    app.xom.config.args.offline_mode = True
    assert tidied(shelf_of(app), size=0).kinds[0].kept == {mirrored.OFFLINE: 2}


def superseded(app: App, **limits: Any) -> TidyReport:
    return tidied(SupersededShelf(app.xom), **limits)


def test_superseded__goes_only_when_asked_and_pinned_stays(app: App) -> None:
    app.make_index("root/forks", pin())
    old = {file["filename"] for file in app.files("/root/forks/+simple/alpha/")}
    app.pin(pin(commit=OTHER))
    both = fetched(app, "alpha")
    assert len(both) == 2
    assert superseded(app).kinds[0].count == 1
    assert superseded(app, age=DAY).freed == 0  # built a moment ago
    report = superseded(app, size=0)
    assert (report.faults, report.kinds[0].removed) == ((), 1)
    left = fetched(app, "alpha")
    assert left == {name: digest for name, digest in both.items() if name not in old}
    assert len(app.builder.orders) == 2  # and nothing was built again
    assert pinned_commits(app.xom) == {OTHER}


def test_superseded__without_any_pin_the_project_stays_registered(app: App) -> None:
    """Else the public project of that name would take its place."""
    app.make_index("root/forks", pin())
    fetched(app, "alpha")
    app.pin()
    assert superseded(app, size=0).kinds[0].removed == 1
    assert app.files("/root/forks/+simple/alpha/") == []
    assert "alpha" in app.config()["projects"]


def test_superseded__pinned_again_meanwhile_stays(app: App) -> None:
    app.make_index("root/forks", pin())
    fetched(app, "alpha")
    app.pin(pin(commit=OTHER))
    shelf = SupersededShelf(app.xom)
    (found,) = shelf.stored()
    app.pin(pin(commit=COMMIT))
    assert shelf.remove(found) == "pinned again"
    assert len(fetched(app, "alpha")) == 1


def test_leftovers__old_ones_go_unless_a_change_waits_for_them(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    app.make_index("root/forks", pin())
    folder = app.xom.config.server_path / "+files" / "root" / "forks"
    folder.mkdir(parents=True, exist_ok=True)
    files = {name: folder / f"{name}.whl-{'a' * 64}-tmp" for name in ("old", "young", "waited")}
    for name, path in files.items():
        path.write_bytes(b"x")
        os.utime(path, (time.time() - (60 if name == "young" else 7200),) * 2)
    waited = files["waited"].relative_to(app.xom.config.server_path).as_posix()
    monkeypatch.setattr(LeftoverShelf, "_waited_for", lambda _self: frozenset({waited}))
    assert tidied(LeftoverShelf(app.xom)).kinds[0].removed == 1
    assert [name for name, path in files.items() if path.exists()] == ["young", "waited"]


def test_leftovers__what_changes_wait_for_is_read_from_them(app: App) -> None:
    app.make_index("root/forks", pin())
    fetched(app, "alpha")
    waited = LeftoverShelf(app.xom)._waited_for()
    assert any(name.startswith("+files/root/forks/+f/") and name.endswith("-tmp") for name in waited)


def test_server__makes_passes_and_keeps_the_report(app: App) -> None:
    app.make_index("root/forks", pin())
    app.files("/root/forks/+simple/alpha/")
    tidy = app.context.tidy
    assert tidy is not None
    report = tidy.pass_if_due()
    assert report is not None
    assert {one.kind for one in report.kinds} == set(TidyKind) - {TidyKind.SUPERSEDED}
    assert report.faults == ()
    assert tidy.last == report
    assert tidy.pass_if_due() is None


def test_command__knows_where_builds_run_that_cannot_get_to_the_servers_folder(app: App, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    daily_tidy(app.xom, tmp_path, TidyPlan(), 0.0, (elsewhere,))
    found = [shelf.place for shelf in shelves(app.xom, tmp_path, lambda: tmp_path) if shelf.kind is TidyKind.WORK]
    assert found == [tmp_path / "work", elsewhere]
