"""Badges, and the webhook on a server."""

from __future__ import annotations

import json
import threading
from argparse import ArgumentTypeError
from collections.abc import Mapping
from xml.etree import ElementTree

import pytest

from devpi_forkbuilder.domain.states import State
from devpi_forkbuilder.errors import BuildError
from devpi_forkbuilder.option_values import web_url
from devpi_forkbuilder.service import webhook
from devpi_forkbuilder.web.api.badge import svg
from tests.server.app import COMMIT, OTHER, App, pin
from tests.server.conftest import MakeApp

BADGE = "/root/forks/+forks/alpha/badge.svg"


def words(text: str) -> list[str]:
    root = ElementTree.fromstring(text)  # noqa: S314 - our own
    return [element.text or "" for element in root.iter("{http://www.w3.org/2000/svg}text")]


def test_badge__says_the_state_of_a_pin(app: App) -> None:
    app.make_index("root/forks", pin())
    answer = app.get(BADGE)
    assert (answer.status_int, answer.content_type) == (200, "image/svg+xml")
    assert words(answer.text) == ["alpha 1.0", "wanted"]
    app.files("/root/forks/+simple/alpha/")
    assert words(app.get(BADGE).text) == ["alpha 1.0", "built"]
    assert words(app.get(f"/root/forks/+forks/alpha/{COMMIT}/badge.svg").text) == ["alpha 1.0", "built"]
    assert app.get(f"/root/forks/+forks/alpha/{OTHER}/badge.svg").status_int == 404
    assert app.get("/root/forks/+forks/beta/badge.svg").status_int == 404


def test_badge__of_several_pins_says_the_worst(app: App) -> None:
    app.make_index("root/forks", pin(), pin(commit=OTHER, version="2.0"))
    app.builder.failure = BuildError("build-failed", "It does not build.")
    app.request("POST", "/root/forks/+forks/alpha/build", {"commit": OTHER})
    app.files("/root/forks/+simple/alpha/")
    assert words(app.get(BADGE).text) == ["alpha", "failed"]


def test_badge__is_asked_for_each_time(app: App) -> None:
    app.make_index("root/forks", pin())
    first = app.get(BADGE)
    assert first.headers["Cache-Control"] == "no-cache"
    assert app.get(BADGE, If_None_Match=first.headers["ETag"]).status_int == 304
    app.files("/root/forks/+simple/alpha/")
    assert app.get(BADGE, If_None_Match=first.headers["ETag"]).status_int == 200


def test_badge__who_may_not_read_the_index_gets_none(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    app.make_index("root/forks", pin())
    monkeypatch.setattr(
        "devpi_forkbuilder.devpi.index.ForkbuilderIndex.get_principals_for_pkg_read",
        lambda _self, *_, **__: {"root"},
        raising=False,
    )
    assert app.get(BADGE).status_int in {401, 403}
    assert app.request("GET", BADGE).status_int == 200


def test_svg__is_well_formed_whatever_the_name() -> None:
    assert words(svg('<script>"&', State.BUILDING)) == ['<script>"&', "building"]


@pytest.mark.parametrize("url", ["ftp://h/x", "https://", "https://joe:pw@h/x", "h/x", "file:///x"])
def test_web_url__refuses(url: str) -> None:
    with pytest.raises(ArgumentTypeError) as refused:
        web_url(url)
    assert "pw" not in str(refused.value)


def test_webhook__of_a_server_is_told_with_a_secret_of_its_own(
    make_app: MakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrived = threading.Event()
    got: list[tuple[str, bytes, Mapping[str, str]]] = []

    def post(url: str, body: bytes, headers: Mapping[str, str]) -> int:
        got.append((url, body, headers))
        arrived.set()
        return 200

    monkeypatch.setattr(webhook, "send", post)
    app = make_app("--forkbuilder-hold", "30", "--forkbuilder-webhook", "https://ci.example/hook")
    app.make_index("root/forks", pin())
    app.files("/root/forks/+simple/alpha/")
    assert arrived.wait(20)
    ((url, body, headers),) = got
    assert (url, json.loads(body)["event"], json.loads(body)["index"]) == (
        "https://ci.example/hook",
        "built",
        "root/forks",
    )
    path = app.xom.config.server_path / ".forkbuilder" / "webhook-secret"
    assert path.stat().st_mode & 0o77 == 0
    wanted = webhook.signature(path.read_text().strip().encode(), headers[webhook.TIMESTAMP], body)
    assert headers[webhook.SIGNATURE] == f"sha256={wanted}"
