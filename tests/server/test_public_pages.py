"""Pages of public projects that no server has yet: waited for, and never 404 unless the public index says so."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from devpi_forkbuilder.devpi.mirrors import repeat
from tests.devpi import free_port
from tests.publicindex import PublicIndex, public_index
from tests.server.app import App, pin
from tests.server.conftest import MakeApp

PAGE = "/root/forks/+simple/remote/"
SHORT = ("--request-timeout", "1")
"""devpi gives a mirror up after a second."""
BEYOND = 2.5


@pytest.fixture
def public(tmp_path: Path) -> Iterator[PublicIndex]:
    with public_index(tmp_path / "public") as index:
        index.add_wheel("remote", "1.0")
        yield index


def with_mirror(app: App, url: str, **settings: object) -> App:
    config = {"type": "mirror", "mirror_url": url, "mirror_no_project_list": True, **settings}
    assert app.request("PUT", "/root/public", config).status_int == 200
    assert app.make_index("root/forks", pin(), bases=["root/public"]).status_int == 200
    return app


def slow(public: PublicIndex, project: str) -> None:
    """The page of this project comes when devpi has given up, and not before somebody waits for it."""
    public.delays[project] = BEYOND


def test_page__that_takes_longer_than_devpi_waits(make_app: MakeApp, public: PublicIndex) -> None:
    app = with_mirror(make_app(*SHORT, "--forkbuilder-hold", "0"), public.url)
    slow(public, "remote")
    answer = app.page(PAGE)
    assert (answer.status_int, answer.headers["X-Accel-Buffering"]) == (200, "no")
    chunks = list(answer.app_iter)
    assert chunks[0] == b"\n"
    assert [file["filename"] for file in json.loads(b"".join(chunks))["files"]] == ["remote-1.0-py3-none-any.whl"]
    answer.app_iter.close()
    assert app.context.seats.taken == 0
    assert len(app.files(PAGE)) == 1  # and at once from now on


def test_page__within_the_hold_is_an_ordinary_one(make_app: MakeApp, public: PublicIndex) -> None:
    app = with_mirror(make_app(*SHORT, "--forkbuilder-hold", "30"), public.url)
    slow(public, "remote")
    answer = app.page(PAGE, Accept="text/html")
    assert answer.text.startswith("<!DOCTYPE html>")
    assert "remote-1.0" in answer.text


@pytest.mark.parametrize("path", [PAGE, "/root/forks/remote", "/root/forks/+cached/remote/"])
def test_page__is_not_404_because_nobody_answers(app: App, path: str) -> None:
    with_mirror(app, f"http://127.0.0.1:{free_port()}/simple/")
    answer = app.page(path)
    assert (answer.status_int, answer.headers["Retry-After"]) == (503, "5")
    assert "remote" in answer.text


def test_page__that_has_begun_is_cut_off_rather_than_empty(make_app: MakeApp, public: PublicIndex) -> None:
    app = with_mirror(make_app("--forkbuilder-hold", "0", "--forkbuilder-wait", "1.5", *SHORT), public.url)
    slow(public, "remote")
    answer = app.page(PAGE)
    with pytest.raises(Exception, match="page of remote"):
        list(answer.app_iter)
    answer.app_iter.close()
    assert app.context.seats.taken == 0


def test_page__404_is_what_the_public_index_says(app: App, public: PublicIndex) -> None:
    with_mirror(app, public.url, mirror_cache_expiry=0)
    for _ in range(2):
        assert app.page("/root/forks/+simple/nowhere/").status_int == 404


def test_page__without_a_seat_is_devpis_own_affair_and_still_no_404(make_app: MakeApp, public: PublicIndex) -> None:
    app = with_mirror(make_app(*SHORT), public.url)
    slow(public, "remote")
    taken = [app.context.seats.take() for _ in range(app.context.seats.limit)]
    assert app.page(PAGE).status_int == 503
    for seat in taken:
        seat.leave()


def test_page__of_a_private_project_asks_no_mirror(app: App, public: PublicIndex) -> None:
    with_mirror(app, public.url)
    app.page("/root/forks/+simple/alpha/")
    assert not public.sent


def test_page__for_a_replica_is_complete_or_refused(make_app: MakeApp, public: PublicIndex) -> None:
    """A stream has no serial in its head, and without that a replica drops the page."""
    app = with_mirror(make_app(*SHORT, "--forkbuilder-hold", "0"), public.url)
    slow(public, "remote")
    answer = app.page("/root/public/+simple/remote/", **{"X-DEVPI-REPLICA-UUID": "a"})
    assert "X-DEVPI-SERIAL" in answer.headers
    assert len(answer.json["files"]) == 1


def test_repeat__is_for_what_takes_long() -> None:
    from devpi_forkbuilder.devpi.names import UpstreamError, UpstreamNotFoundError  # noqa: PLC0415 - as only here

    tries: list[int] = []

    def refused() -> None:
        tries.append(1)
        raise UpstreamError("refused")

    def absent() -> None:
        raise UpstreamNotFoundError("absent")

    with pytest.raises(UpstreamError):
        repeat(refused, 10)
    assert len(tries) == 1
    repeat(absent, 10)
