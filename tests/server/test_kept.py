"""Kept pages: given out without pyramid, never older than the last commit that could change them, and bounded."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest
from devpi_server.keyfs import KeyFS

from devpi_forkbuilder.devpi.lookup import Lookup
from devpi_forkbuilder.devpi.store_facts import Facts
from devpi_forkbuilder.domain.compat.targets import Client
from devpi_forkbuilder.web.page_cache.cache import EVERYBODY, CachedPage, PageCache, PageKey
from tests.devpinames import CLOCK, SIX_ONLY
from tests.publicindex import PublicIndex, public_index
from tests.server.app import OTHER, SIMPLE_JSON, App, HeldBuilder, pin
from tests.server.conftest import MakeApp

PAGE = "/root/forks/+simple/alpha/"
UV = (
    'uv/0.13.9 {"installer":{"name":"uv","version":"0.13.9"},"python":"3.12.1","implementation":{"name":"CPython"},'
    '"distro":{"libc":{"lib":"glibc","version":"2.36"}},"system":{"name":"Linux"},"cpu":"x86_64"}'
)


class Looks:
    """Counts how often the pins of a page are looked up: a kept page needs none."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.count = 0
        original = Lookup.of_page

        def counting(lookup: Lookup, *arguments: Any) -> Any:
            self.count += 1
            return original(lookup, *arguments)

        patch.setattr(Lookup, "of_page", counting)

    def during(self, app: App, path: str = PAGE, **headers: str) -> int:
        before = self.count
        assert app.page(path, **headers).status_int == 200
        return self.count - before


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> Looks:
    return Looks(monkeypatch)


def unrelated_commit(app: App) -> None:
    number = len(app.request("GET", "/", Accept="application/json").json["result"])
    assert app.request("PUT", f"/user{number}", {"password": "x"}).status_int == 201


def test_kept__a_finished_page_is_given_out_again_as_it_was(app: App, looks: Looks) -> None:
    app.make_index("root/forks", pin())
    app.files(PAGE)
    first, second = app.page(PAGE), app.page(PAGE)
    assert looks.during(app) == 0
    assert first.text == second.text
    assert sorted(first.headers.items()) == sorted(second.headers.items())


def test_kept__has_the_headers_of_a_page_that_is_made(app: App) -> None:
    app.make_index("root/forks", pin())
    app.files(PAGE)
    kept = app.page(PAGE)
    app.context.pages.put = lambda *_: None  # type: ignore[method-assign]
    app.context.pages.find = lambda _key: None  # type: ignore[method-assign]
    made = app.page(PAGE)
    assert sorted(made.headers.items()) == sorted(kept.headers.items())
    assert made.body == kept.body


def test_kept__reaches_the_request_log_of_devpi(app: App, caplog: pytest.LogCaptureFixture) -> None:
    app.make_index("root/forks", pin())
    app.files(PAGE)
    app.files(PAGE)
    with caplog.at_level(logging.DEBUG):
        caplog.clear()
        app.files(PAGE)
    lines = [record.getMessage() for record in caplog.records]
    assert [line for line in lines if f"GET {PAGE}" in line]
    assert [line for line in lines if "200 OK" in line and f"type={SIMPLE_JSON}" in line]


def test_kept__forms_are_kept_apart(app: App, looks: Looks) -> None:
    app.make_index("root/forks", pin())
    for _ in range(2):
        assert app.page(PAGE).content_type == SIMPLE_JSON
        assert app.page(PAGE, Accept="text/html").content_type == "text/html"
    assert looks.during(app) == looks.during(app, Accept="text/html") == 0


def test_kept__clients_share_a_page_on_which_they_make_no_difference(app: App, looks: Looks) -> None:
    app.make_index("root/forks", pin())
    app.files(PAGE)
    app.files(PAGE)
    assert looks.during(app, User_Agent=UV) == 0
    assert app.page(PAGE).headers["Vary"] == "Accept"


def test_kept__a_compiled_fork_is_kept_for_each_client(app: App, builder: HeldBuilder, looks: Looks) -> None:
    builder.tags = lambda order: f"cp{(order.python or '3.11').replace('.', '')}-abi3-linux_x86_64"
    app.make_index("root/forks", pin())
    for agent in (UV, UV.replace("3.12.1", "3.11.2")):
        app.files(PAGE, User_Agent=agent)
        app.files(PAGE, User_Agent=agent)
        assert looks.during(app, User_Agent=agent) == 0
    assert "User-Agent" in app.page(PAGE, User_Agent=UV).headers["Vary"]
    assert len(builder.orders) == 2


@SIX_ONLY
def test_kept__a_commit_elsewhere_does_not_matter(app: App, looks: Looks) -> None:
    app.make_index("root/forks", pin())
    app.files(PAGE)
    app.files(PAGE)
    unrelated_commit(app)
    assert looks.during(app) == 0


def test_kept__a_commit_of_its_own_makes_it_anew(app: App) -> None:
    app.make_index("root/forks", pin())
    app.files(PAGE)
    assert len(app.files(PAGE)) == 1
    app.pin(pin(), pin(commit=OTHER, version="2.0"))
    assert len(app.files(PAGE)) == 2
    assert len(app.files(PAGE)) == 2


def test_kept__a_base_that_is_made_later_is_seen(app: App) -> None:
    app.make_index("root/base", pin("beta"))
    app.make_index("root/forks", pin(), bases=["root/base"])
    app.files(PAGE)
    app.files(PAGE)
    assert app.request("DELETE", "/root/base").status_int == 201
    app.files(PAGE)
    app.make_index("root/base", pin(commit=OTHER, version="2.0"))
    assert len(app.files(PAGE)) == 2


def test_kept__a_page_with_a_miss_is_not(app: App) -> None:
    app.make_index("root/forks", pin())
    assert "failed" in app.files("/root/forks/+cached/alpha/")[0]["url"]
    assert app.context.pages.size == 0


@pytest.mark.parametrize("path", ["/root/nope/+simple/alpha/", "/root/forks/+simple/nope/", "/root/plain/+simple/x/"])
def test_kept__nothing_of_what_is_not_there(app: App, path: str) -> None:
    app.make_index("root/forks", pin())
    for number in range(20):
        app.page(path, User_Agent=f"pip/26.{number} {'x' * 240_000}")
        app.page(path.replace("nope", f"nope{number}"))
    assert app.context.pages.size == 0
    assert len(app.context.outlines) <= 1


def test_kept__long_header_texts_are_not_remembered(app: App, looks: Looks) -> None:
    """The text of a header is not a part of a key: 600 long ones took 150 MiB once."""
    app.make_index("root/forks", pin())
    app.files(PAGE)
    app.files(PAGE)
    size = app.context.pages.size
    for number in range(20):
        app.files(PAGE, User_Agent=f"pip/26.3 {number}{'x' * 240_000}")
        app.files(PAGE, User_Agent=f"pip/26.3 {number}")
        app.files(PAGE, Accept=f"{SIMPLE_JSON}, text/x{number}")
    assert app.context.pages.size == size
    assert looks.during(app) == 0


def test_kept__many_other_pages_do_not_switch_it_off(app: App, looks: Looks) -> None:
    app.make_index("root/forks", pin())
    for number in range(300):
        app.page(f"/root/forks/+simple/other{number}/")
        app.page(f"/root/x{number}/+simple/alpha/")
    app.files(PAGE)
    app.files(PAGE)
    assert looks.during(app) == 0


def test_kept__absolute_urls_are_never(make_app: MakeApp) -> None:
    app = make_app("--absolute-urls")
    app.make_index("root/forks", pin())
    assert app.files(PAGE)[0]["url"].startswith("http://devpi.example.com/")
    assert app.files(PAGE)[0]["url"].startswith("http://devpi.example.com/")
    assert app.get(PAGE, User_Agent="pip/26.3", X_Devpi_Absolute_Urls="1").text.count("http://devpi.example.com/")


@pytest.fixture
def mirrored(app: App, tmp_path: Path) -> Any:
    with public_index(tmp_path / "public") as public:
        public.add("beta", "1.0")
        mirror = {"type": "mirror", "mirror_url": public.url, "mirror_cache_expiry": 1000}
        app.request("PUT", "/root/mirror", mirror)
        app.make_index("root/forks", pin(), bases=["root/mirror"])
        yield public


BETA = "/root/forks/+simple/beta/"


def test_kept__a_page_of_a_mirror_until_it_expires(
    app: App, mirrored: PublicIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = app.page(BETA)
    assert app.page(BETA).text == first.text
    asked = mirrored.sent.total()
    app.page(BETA)
    assert mirrored.sent.total() == asked
    mirrored.add("beta", "2.0")
    assert app.page(BETA).text == first.text  # as devpi itself answers, until the mirror's page has expired
    now = _time()
    monkeypatch.setattr(CLOCK, lambda: now + 2000)
    assert len(app.files(BETA)) == 2
    assert len(app.files(BETA)) == 2


def _time() -> float:
    import time  # noqa: PLC0415 - the real one, before a test replaces it

    return time.time()


def test_kept__a_mirror_that_is_asked_each_time_is_asked_each_time(app: App, mirrored: PublicIndex) -> None:
    app.request("PATCH", "/root/mirror", ["mirror_cache_expiry=0"])
    app.files(BETA)
    app.files(BETA)
    mirrored.add("beta", "2.0")
    assert len(app.files(BETA)) == 2


def test_kept__a_whitelisted_pin_has_what_the_mirror_adds(app: App, mirrored: PublicIndex) -> None:
    app.files(PAGE)
    mirrored.add("alpha", "9.0")
    assert len(app.files(PAGE)) == 1
    app.request("PATCH", "/root/forks", ["mirror_whitelist=alpha"])
    assert {file["filename"] for file in app.files(PAGE)} >= {"alpha-9.0-py3-none-any.whl"}


def test_kept__with_a_login_that_is_none_as_without_the_cache(app: App) -> None:
    app.make_index("root/forks", pin())
    made = [app.request("GET", PAGE, user="nobody", User_Agent="pip/26.3", Accept=SIMPLE_JSON) for _ in range(3)]
    assert len({answer.status_int for answer in made}) == 1
    assert len({answer.body for answer in made}) == 1


class Serials:
    """A store in which `changed` keys have a serial."""

    def __init__(self) -> None:
        self.serial = 5
        self.changed: dict[str, int] = {}

    def read(self) -> int:
        return self.serial

    def of_keys(self, keys: list[str]) -> int:
        return max((self.changed.get(key, -1) for key in keys), default=-1)


def key_of(number: int) -> PageKey:
    return PageKey(f"/root/forks/+simple/p{number}/", True, True, EVERYBODY)


def page_of(size: int) -> CachedPage:
    return CachedPage(b"x" * size, "etag", ())


def test_cache__a_changed_key_ends_a_page_and_another_does_not() -> None:
    store = Serials()
    cache = PageCache(store)  # type: ignore[arg-type]
    cache.put(key_of(1), page_of(10), Facts(5, frozenset({"a"})))
    store.serial, store.changed = 6, {"b": 6}
    assert cache.find(key_of(1)) == (page_of(10), 6)
    store.serial, store.changed = 7, {"a": 7, "b": 6}
    assert cache.find(key_of(1)) is None
    assert cache.size == 0


def test_cache__a_page_made_before_a_change_is_no_page_after_it() -> None:
    store = Serials()
    cache = PageCache(store)  # type: ignore[arg-type]
    store.serial, store.changed = 6, {"a": 6}
    cache.put(key_of(1), page_of(10), Facts(5, frozenset({"a"})))
    assert cache.find(key_of(1)) is None


def test_cache__a_store_that_went_back_has_no_pages() -> None:
    store = Serials()
    cache = PageCache(store)  # type: ignore[arg-type]
    cache.put(key_of(1), page_of(10), Facts(5, frozenset({"a"})))
    store.serial = 4
    assert cache.find(key_of(1)) is None


def test_cache__conditions_are_asked_each_time() -> None:
    good = [True]
    cache = PageCache(Serials())  # type: ignore[arg-type]
    cache.put(key_of(1), page_of(10), Facts(5, frozenset(), (lambda: good[0],)))
    assert cache.find(key_of(1)) is not None
    good[0] = False
    assert cache.find(key_of(1)) is None


def test_cache__is_bounded_by_bytes_and_forgets_what_was_not_used() -> None:
    cache = PageCache(Serials(), most=100_000)  # type: ignore[arg-type]
    facts = Facts(5, frozenset())
    for number in range(200):
        cache.put(key_of(number), page_of(1000), facts)
        cache.find(key_of(0))
    assert cache.size <= 100_000
    assert cache.find(key_of(0)) is not None
    assert cache.find(key_of(1)) is None
    assert cache.find(key_of(199)) is not None
    cache.put(key_of(500), page_of(50_000), facts)
    assert cache.find(key_of(500)) is None


def test_cache__the_size_is_not_less_than_what_python_takes() -> None:
    import tracemalloc  # noqa: PLC0415

    cache = PageCache(Serials())  # type: ignore[arg-type]
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for number in range(500):
            keys = frozenset(f"root/forks/p{number}/{name}" for name in range(5))
            page = CachedPage(
                bytes(1000), f"{number:032}", (("Content-Type", "text/html"), ("ETag", f'"{number:032}"'))
            )
            cache.put(PageKey(f"/root/forks/+simple/p{number}/", True, True, None), page, Facts(5, keys))
        taken = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert taken * 0.5 < cache.size
    assert cache.size < taken * 2
    assert taken < cache.size * 1.15


def test_key__a_client_is_what_it_runs() -> None:
    first, second = (Client.of_user_agent(UV.replace("0.13.9", version)) for version in ("0.13.9", "0.14.0"))
    assert first == second


def test_reading__devpi_has_what_it_rests_on(app: App) -> None:
    """Not part of devpi's API: a version of devpi without it would keep nothing."""
    keyfs: KeyFS = app.xom.keyfs
    with keyfs.read_transaction() as tx:
        assert isinstance(tx._original, dict)
    app.make_index("root/forks", pin())
    app.files(PAGE)
    app.files(PAGE)
    assert app.context.pages.size > 0
    assert json.loads(app.page(PAGE).text)["files"]
