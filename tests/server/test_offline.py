"""A server without network, and mirrors of which it has some files."""

from __future__ import annotations

import json

import pytest

from devpi_forkbuilder.domain.simple.offline import WORDS, HiddenFile
from devpi_forkbuilder.web.pages import HTML, JSON, with_files
from devpi_forkbuilder.web.tweens.offline import unavailable
from tests.server.app import SIMPLE_JSON, App
from tests.server.conftest import MakeApp


@pytest.fixture
def offline(make_app: MakeApp) -> App:
    return make_app("--offline-mode")


@pytest.fixture
def above(offline: App) -> App:
    """An index of forks above a mirror that nothing was asked of."""
    offline.request("PUT", "/root/public", {"type": "mirror", "mirror_url": "http://127.0.0.1:9/simple/"})
    offline.make_index("root/forks", bases=["root/public"])
    return offline


@pytest.mark.parametrize("index", ["root/forks", "root/public"])
@pytest.mark.parametrize("form", ["+simple", "+cached"])
@pytest.mark.parametrize("accept", [SIMPLE_JSON, "text/html"])
def test_page__of_a_public_project_that_was_never_asked_for(above: App, index: str, form: str, accept: str) -> None:
    answer = above.page(f"/{index}/{form}/gamma/", Accept=accept)
    assert answer.status_int == 424
    assert f"gamma {WORDS}" in answer.status
    assert f"gamma {WORDS}" in answer.text


def test_page__without_a_mirror_is_devpis_own_404(offline: App) -> None:
    offline.make_index("root/forks")
    assert offline.page("/root/forks/+simple/gamma/").status_int == 404
    assert offline.page("/root/nope/+simple/gamma/").status_int == 404


@pytest.mark.parametrize("folder", ["+f/abc/0123456789abc", "+e/some"])
@pytest.mark.parametrize("name", ["gamma-1.0-py3-none-any.whl", "gamma-1.0-py3-none-any.whl.metadata"])
def test_file__of_a_mirror_that_is_not_here(above: App, folder: str, name: str) -> None:
    answer = above.get(f"/root/public/{folder}/{name}")
    assert answer.status_int == 424
    assert f"{name} {WORDS}" in answer.status
    assert f"{name} {WORDS}" in answer.text


def test_file__of_no_mirror_is_devpis_own_404(above: App) -> None:
    assert above.get("/root/forks/+f/abc/0123456789abc/gamma-1.0-py3-none-any.whl").status_int == 404


def test_online__nothing_of_it(make_app: MakeApp) -> None:
    app = make_app()
    app.make_index("root/forks")
    assert app.page("/root/forks/+simple/gamma/").status_int == 404


def hidden(*names: str) -> tuple[HiddenFile, ...]:
    return tuple(HiddenFile(name, f"/root/public/+f/{name}", "ab" * 32, ">=3.8") for name in names)


def test_unavailable__files_of_versions_that_are_here_stay_hidden() -> None:
    links = hidden("a-1.0-py3-none-any.whl", "a-1.0.tar.gz", "a-2.0.tar.gz", "a-2.0-py3-none-any.whl", "odd.exe")
    found = unavailable(links, {"a-1.0-py3-none-any.whl"})
    assert [file.filename for file in found] == ["a-2.0.tar.gz", "a-2.0-py3-none-any.whl"]


@pytest.mark.parametrize("content_type", [HTML, JSON])
def test_with_files__yanked_with_the_reason(content_type: str) -> None:
    body = b"<html><body></body></html>" if content_type == HTML else b'{"files": []}'
    file = {"filename": "a-2.0.tar.gz", "url": "../x&y", "yanked": f"<{WORDS}>", "hashes": {"sha256": "ab"}}
    page = with_files(body, content_type, [{**file, "requires-python": ">=3.8"}])
    if content_type == JSON:
        assert json.loads(page)["files"] == [{**file, "requires-python": ">=3.8"}]
    else:
        told = 'data-requires-python="&gt;=3.8" data-yanked="&lt;is not in the offline cache&gt;"'
        assert f'<a href="../x&amp;y#sha256=ab" {told}>a-2.0.tar.gz</a>' in page.decode()
