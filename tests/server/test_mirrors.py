"""Pages and core metadata of a mirror: what upstream says is passed on, what it does not say is read by ranges."""

from __future__ import annotations

import hashlib
import itertools
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import pytest
from packaging.version import Version

from tests.devpinames import SIX_ONLY
from tests.publicindex import PublicIndex, metadata_of, public_index
from tests.server.app import App, HeldBuilder, cheap_passwords, plug_in

MIB = 1024 * 1024
NUMBERS = itertools.count(1)
TIME = "2025-01-02T03:04:05.678901Z"


class Site:
    """A public index, a mirror of it, and an index of forks with the mirror as its base."""

    def __init__(self, app: App, public: PublicIndex, name: str) -> None:
        self.app, self.public = app, public
        self.mirror, self.forks = f"root/public{name}", f"root/forks{name}"
        config = {"type": "mirror", "mirror_url": public.url, "mirror_no_project_list": True, "volatile": True}
        assert app.request("PUT", f"/{self.mirror}", config).status_int == 200
        app.make_index(self.forks, bases=[self.mirror])

    def page(self, index: str = "") -> dict[str, Any]:
        """The page of `lib` through the index of forks, or another."""
        answer = self.app.page(f"/{index or self.forks}/+simple/lib/")
        assert answer.status_int == 200, answer.text
        found: dict[str, Any] = json.loads(answer.text)
        for file in found["files"]:
            file["path"] = urljoin(f"/{index or self.forks}/+simple/lib/", file["url"])
        return found

    def file(self, index: str = "") -> dict[str, Any]:
        """The only file on that page."""
        [file] = self.page(index)["files"]
        found: dict[str, Any] = file
        return found

    def metadata(self, file: dict[str, Any]) -> Any:
        """The answer for the file's core metadata."""
        return self.app.get(f"{file['path']}.metadata")

    def change(self, *settings: str) -> None:
        """Change the mirror's settings."""
        assert self.app.request("PATCH", f"/{self.mirror}", list(settings)).status_int == 200

    def refresh(self) -> None:
        """Have devpi read the page again."""
        assert self.app.request("POST", f"/{self.mirror}/+simple/lib/refresh").status_int in {200, 302}


class Silent:
    """An HTTP client whose server does not answer."""

    def stream(self, *_: object, **__: object) -> None:
        raise OSError("nobody listens")


@contextmanager
def running_app(folder: Path, template: Path, *options: str) -> Iterator[App]:
    builder = HeldBuilder(folder / "wheels")
    with pytest.MonkeyPatch.context() as patch:
        cheap_passwords(patch)
        plug_in(patch, builder)
        app = App(folder / "app", template, builder, options)
        yield app
        app.close()


@pytest.fixture(scope="module")
def shared(app_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    with running_app(tmp_path_factory.mktemp("shared"), app_template, "--enable-core-metadata") as app:
        yield app


@pytest.fixture
def public(tmp_path: Path) -> Iterator[PublicIndex]:
    with public_index(tmp_path / "public") as index:
        yield index


@pytest.fixture
def site(shared: App, public: PublicIndex) -> Site:
    return Site(shared, public, str(next(NUMBERS)))


@pytest.mark.parametrize("index", ["forks", "mirror"])
def test_mirror__passes_on_what_upstream_says_of_each_file(site: Site, public: PublicIndex, index: str) -> None:
    public.json, public.status = True, {"status": "archived", "reason": "moved"}
    old, new = public.add_wheel("lib", "1.0"), public.add_wheel("lib", "2.0")
    content = public.announce(new)
    public.facts[new.name] = {"upload-time": TIME, "provenance": "https://example.com/lib.provenance", "yanked": "bad"}
    public.facts[old.name] = {"upload-time": "yesterday", "size": -1, "requires-python": ">=3.8"}
    found = site.page(getattr(site, index))
    first, second = sorted(found["files"], key=lambda file: str(file["filename"]))
    assert second["upload-time"] == TIME
    assert second["size"] == new.stat().st_size
    assert second["provenance"] == "https://example.com/lib.provenance"
    assert second["core-metadata"] == {"sha256": hashlib.sha256(content).hexdigest()}
    assert second["yanked"] == "bad"
    assert second["hashes"] == {"sha256": hashlib.sha256(new.read_bytes()).hexdigest()}
    assert "upload-time" not in first
    assert "size" not in first
    assert first["requires-python"] == ">=3.8"
    assert found["project-status"] == {"status": "archived", "reason": "moved"}
    assert sorted(found["versions"]) == ["1.0", "2.0"]
    assert found["meta"]["api-version"] == "1.0", "a size is missing"


def test_mirror__pages_that_are_complete_say_so(site: Site, public: PublicIndex) -> None:
    public.json = True
    public.add_wheel("lib", "1.0")
    assert site.page()["meta"]["api-version"] == "1.1"


def test_mirror__urls_are_devpis_own(site: Site, public: PublicIndex) -> None:
    public.add_wheel("lib", "1.0")
    name = site.mirror.partition("/")[2]
    urls = {
        f"/{site.forks}/+simple/lib/": f"../../../{name}/+f/",
        f"/{site.mirror}/+simple/lib/": "../../+f/",
        f"/{site.mirror}/lib": "+f/",
    }
    for path, start in urls.items():
        [file] = site.app.files(path)
        assert file["url"].startswith(start), path
    [file] = site.app.files(f"/{site.mirror}/+simple/lib/", X_Devpi_Absolute_Urls="1")
    assert file["url"].startswith(f"http://devpi.example.com/{site.mirror}/+f/")
    assert site.app.get(file["url"]).body == (public.folder / "files" / file["filename"]).read_bytes()


def test_mirror__announced_metadata_is_passed_on_and_kept(site: Site, public: PublicIndex) -> None:
    public.json = True
    wheel = public.add_wheel("lib", "1.0", requires=["other>2"])
    content = public.announce(wheel)
    file = site.file()
    answer = site.metadata(file)
    assert (answer.status_int, answer.body) == (200, content)
    assert "immutable" in answer.headers["Cache-Control"]
    assert site.metadata(file).body == content
    assert public.sent[f"{wheel.name}.metadata"] == 1
    assert public.sent[wheel.name] == 0


@pytest.mark.parametrize("suffixes", [True, False], ids=["suffix", "absolute"])
def test_mirror__metadata_that_upstream_lacks_come_by_ranges(site: Site, public: PublicIndex, suffixes: bool) -> None:
    public.ranges, public.suffixes = True, suffixes
    wheel = public.add_wheel("lib", "1.0", requires=["other>2"], padding=MIB)
    file = site.file()
    assert file["core-metadata"] is True
    answer = site.metadata(file)
    assert (answer.status_int, answer.body) == (200, metadata_of(wheel))
    assert public.bytes_sent < 100 * 1024
    before = public.bytes_sent
    assert site.metadata(file).body == metadata_of(wheel)
    assert public.bytes_sent == before


def test_mirror__metadata_far_from_the_end_is_read_by_ranges(site: Site, public: PublicIndex) -> None:
    public.ranges = public.suffixes = True
    modules = {f"lib/m{number}.py": "" for number in range(2000)}
    wheel = public.add_wheel("lib", "1.0", modules=modules, padding=MIB)
    assert site.metadata(site.file()).body == metadata_of(wheel)
    assert public.bytes_sent < MIB / 2


def test_mirror__without_ranges_the_wheel_is_fetched_once(site: Site, public: PublicIndex) -> None:
    wheel = public.add_wheel("lib", "1.0", padding=MIB)
    file = site.file()
    for _ in range(3):
        assert site.metadata(file).body == metadata_of(wheel)
    assert public.sent[wheel.name] == 2, "a range was asked for, and the wheel"
    assert site.app.get(file["path"]).body == wheel.read_bytes()
    assert public.sent[wheel.name] == 2


@pytest.mark.parametrize("announced", ["missing", "other", "soft-404"])
def test_mirror__metadata_that_are_not_as_announced_come_from_the_wheel(
    site: Site, public: PublicIndex, announced: str
) -> None:
    public.json = public.ranges = public.suffixes = True
    wheel = public.add_wheel("lib", "1.0")
    public.announce(wheel, hashed=announced == "other")
    if announced == "other":
        public.announced[wheel.name] = "0" * 64
    elif announced == "missing":
        del public.metadata[wheel.name]
    else:
        public.metadata[wheel.name] = b"<html>Not found</html>"
    assert site.metadata(site.file()).body == metadata_of(wheel)
    assert site.file()["core-metadata"] is True, "a wrong hash is not repeated"


def test_mirror__wrong_hash_is_not_repeated_when_the_page_is_read_again(site: Site, public: PublicIndex) -> None:
    public.json = public.ranges = public.suffixes = True
    wheel = public.add_wheel("lib", "1.0")
    public.announced[wheel.name] = "0" * 64
    assert site.metadata(site.file()).body == metadata_of(wheel)
    public.add_wheel("lib", "2.0")
    site.refresh()
    known = {file["filename"]: file for file in site.page()["files"]}
    assert len(known) == 2
    assert known[wheel.name]["core-metadata"] is True


def test_mirror__wheel_that_is_none_has_no_metadata(site: Site, public: PublicIndex) -> None:
    public.ranges = public.suffixes = True
    wheel = public.add_wheel("lib", "1.0")
    wheel.write_bytes(b"no zip at all" * 100)
    assert site.metadata(site.file()).status_int in {404, 502}


def test_mirror__many_clients_read_a_wheel_once(site: Site, public: PublicIndex) -> None:
    public.ranges = public.suffixes = True
    wheel = public.add_wheel("lib", "1.0")
    file = site.file()
    answers: list[bytes] = []
    threads = [threading.Thread(target=lambda: answers.append(site.metadata(file).body)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [metadata_of(wheel)] * 8
    assert public.sent[wheel.name] == 1


@pytest.mark.skipif(
    Version(version("devpi-server")) < Version("6.20.3"), reason="devpi-server 6.20.2 reads no page for it"
)
def test_mirror__metadata_of_a_page_that_nobody_has_read_yet(site: Site, public: PublicIndex) -> None:
    public.ranges = public.suffixes = True
    wheel = public.add_wheel("lib", "1.0")
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    answer = site.app.get(f"/{site.mirror}/+f/{digest[:3]}/{digest[3:16]}/{wheel.name}.metadata")
    assert (answer.status_int, answer.body) == (200, metadata_of(wheel))


def test_mirror__readers_only(site: Site, public: PublicIndex) -> None:
    public.ranges = public.suffixes = True
    public.add_wheel("lib", "1.0")
    file = site.file()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("devpi_forkbuilder.web.tweens.metadata.may_read", lambda *_: False)
        assert site.metadata(file).status_int in {403, 404}
    assert public.sent[file["filename"]] == 0


def test_mirror__silent_upstream_is_a_bad_gateway(site: Site, public: PublicIndex) -> None:
    public.add_wheel("lib", "1.0")
    file = site.file()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(site.app.xom.http, "client", Silent())
        assert site.metadata(file).status_int == 502


def test_mirror__html_pages_announce_for_wheels_only(site: Site, public: PublicIndex) -> None:
    public.add_wheel("lib", "1.0")
    public.add_source("lib", "0.9")
    text = site.app.page(f"/{site.forks}/+simple/lib/", Accept="text/html").text
    wheel, source = sorted((line for line in text.splitlines() if "<a " in line), reverse=True)
    lines = {line.rpartition(">lib-")[2][:3]: line for line in (wheel, source)}
    assert 'data-core-metadata="true"' in lines["1.0"]
    assert "metadata" not in lines["0.9"]


@SIX_ONLY
def test_mirror__announces_nothing_unless_devpi_has_metadata(
    public: PublicIndex, tmp_path: Path, app_template: Path
) -> None:
    public.add_wheel("lib", "1.0")
    with running_app(tmp_path, app_template) as app:
        assert "core-metadata" not in Site(app, public, "").file()


def test_mirror__external_urls_are_announced_only_by_upstream(site: Site, public: PublicIndex) -> None:
    public.json = True
    site.change("mirror_use_external_urls=True")
    one, two = public.add_wheel("lib", "1.0"), public.add_wheel("lib", "2.0")
    public.announce(two)
    files = {file["filename"]: file for file in site.page()["files"]}
    assert "core-metadata" not in files[one.name]
    assert site.metadata(files[two.name]).body == metadata_of(two)


def test_mirror__of_the_same_name_with_another_upstream_knows_nothing_of_the_first(
    site: Site, public: PublicIndex, tmp_path: Path
) -> None:
    public.json = True
    wheel = public.add_wheel("lib", "1.0")
    public.facts[wheel.name] = {"upload-time": TIME}
    assert site.file()["upload-time"] == TIME
    with public_index(tmp_path / "second") as second:
        second.add_wheel("lib", "1.0", requires=["other"])
        site.change(f"mirror_url={second.url}")
        site.refresh()
        file = site.file()
    assert "upload-time" not in file


def test_mirror__page_is_read_whole_where_only_devpi_knows_it(site: Site, public: PublicIndex) -> None:
    public.json = True
    wheel = public.add_wheel("lib", "1.0")
    public.facts[wheel.name] = {"upload-time": TIME}
    assert site.file()["upload-time"] == TIME
    store = site.app.context.metadata._catalog.store
    store._connection.execute("DELETE FROM pages")
    store._decoded.clear()
    site.refresh()
    assert site.file()["upload-time"] == TIME


RANGES = [
    ("bytes=0-9", 206, slice(0, 10)),
    ("bytes=-7", 206, slice(-7, None)),
    ("bytes=5-", 206, slice(5, None)),
    ("bytes=99999999-", 416, None),
    ("bytes=0-3,8-9", 200, slice(None)),
    ("lines=1-2", 200, slice(None)),
]


@pytest.mark.parametrize(("wanted", "status", "part"), RANGES)
def test_ranges__of_files_that_are_here(
    site: Site, public: PublicIndex, wanted: str, status: int, part: slice | None
) -> None:
    wheel = public.add_wheel("lib", "1.0", padding=200_000)
    path = site.file()["path"]
    assert site.app.get(path).body == wheel.read_bytes()
    answer = site.app.get(path, Range=wanted)
    assert answer.status_int == status
    content = wheel.read_bytes()
    if part is None:
        assert answer.headers["Content-Range"] == f"bytes */{len(content)}"
        assert answer.body == b""
    else:
        assert answer.body == content[part]
        assert answer.headers["Accept-Ranges"] == "bytes"
        assert int(answer.headers["Content-Length"]) == len(content[part])


def test_ranges__if_range(site: Site, public: PublicIndex) -> None:
    wheel = public.add_wheel("lib", "1.0")
    path = site.file()["path"]
    assert site.app.get(path).body == wheel.read_bytes()
    here = site.app.get(path)
    assert here.body == wheel.read_bytes()
    part = site.app.get(path, Range="bytes=0-3", If_Range=here.headers["Last-Modified"])
    assert (part.status_int, part.body) == (206, wheel.read_bytes()[:4])
    other = site.app.get(path, Range="bytes=0-3", If_Range="Mon, 01 Jan 2001 00:00:00 GMT")
    assert (other.status_int, other.body) == (200, wheel.read_bytes())
