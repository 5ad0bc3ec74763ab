"""Which file an installer takes: tables of pages, and the manifest of what was taken."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.tags import sys_tags
from packaging.version import Version

from devpi_forkbuilder.domain.compat.choice import WantedRelease, choose_file
from devpi_forkbuilder.domain.compat.platforms import client, targets, user_agent
from devpi_forkbuilder.domain.compat.targets import Client
from devpi_forkbuilder.domain.simple.simplepage import JSON, ListedFile, read_page

DEBIAN = Client("cpython", (3, 11), "linux", "x86_64", "glibc", (2, 36))
MAC = Client("cpython", (3, 12), "darwin", "arm64", "", (13, 0))
ALPHA = WantedRelease("alpha", Version("1.0"))  # type: ignore[arg-type]  # it is normalized
PAGE = (
    "alpha-1.0-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
    "alpha-1.0-cp311-cp311-manylinux_2_28_x86_64.whl",
    "alpha-1.0-cp311-cp311-manylinux_2_40_x86_64.whl",
    "alpha-1.0-cp39-abi3-manylinux_2_17_x86_64.whl",
    "alpha-1.0-cp312-cp312-macosx_11_0_arm64.whl",
    "alpha-1.0-py3-none-any.whl",
    "alpha-1.0.tar.gz",
    "alpha-1.0.zip",
    "alpha-1.0.1-py3-none-any.whl",
    "alpha-1.0+local-py3-none-any.whl",
    "alpha_1.0.exe",
)


def page(*names: str, **more: object) -> tuple[ListedFile, ...]:
    return tuple(ListedFile(name, f"http://h/f/{name}", f"{number:064x}", **more) for number, name in enumerate(names))  # type: ignore[arg-type]


def chosen(*names: str, who: Client = DEBIAN, **more: object) -> list[str]:
    return [file.filename for file in choose_file(page(*names), ALPHA, who, **more).files]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("who", "expected"),
    [
        (DEBIAN, PAGE[1]),
        (Client("cpython", (3, 11), "linux", "x86_64", "glibc", (2, 17)), PAGE[0]),
        (Client("cpython", (3, 13), "linux", "x86_64", "glibc", (2, 36)), PAGE[3]),
        (MAC, PAGE[4]),
        (Client("cpython", (3, 11), "linux", "x86_64", "musl", (1, 2)), PAGE[5]),
    ],
)
def test_choose__the_best_wheel(who: Client, expected: str) -> None:
    assert chosen(*PAGE, who=who) == [expected]
    assert chosen(*reversed(PAGE), who=who) == [expected]


def test_choose__sources_too_if_asked() -> None:
    assert chosen(*PAGE, sources=True) == [PAGE[1], "alpha-1.0.tar.gz"]
    assert chosen("alpha-1.0-py3-none-any.whl", sources=True) == ["alpha-1.0-py3-none-any.whl"]


def test_choose__without_a_wheel_it_is_built() -> None:
    choice = choose_file(
        page("alpha-1.0.zip", "alpha-1.0.tar.gz", "alpha-1.0-cp312-cp312-win_amd64.whl"), ALPHA, DEBIAN
    )
    assert [file.filename for file in choice.files] == ["alpha-1.0.tar.gz"]
    assert choice.built


@pytest.mark.parametrize("names", [(), ("alpha-2.0.tar.gz",), ("alpha-1.0-cp312-cp312-win_amd64.whl",)])
def test_choose__nothing_fits(names: tuple[str, ...]) -> None:
    choice = choose_file(page(*names), ALPHA, DEBIAN)
    assert not choice.files
    assert not choice.built


def test_choose__among_the_hashes_that_are_allowed() -> None:
    files = page(*PAGE)
    choice = choose_file(files, ALPHA, DEBIAN, {files[5].sha256, files[6].sha256})
    assert choice.files == (files[5],)
    assert choose_file(files, ALPHA, DEBIAN, {files[6].sha256}).built
    assert choose_file(files, ALPHA, DEBIAN, {"f" * 64}).files == (files[1],)  # as pip: it then fails with the hash


def test_choose__the_higher_build_of_equal_wheels() -> None:
    assert chosen("alpha-1.0-2-py3-none-any.whl", "alpha-1.0-10-py3-none-any.whl") == ["alpha-1.0-10-py3-none-any.whl"]


@pytest.mark.parametrize(
    ("requires", "fits"),
    [("", True), (">=3.8", True), ("~=3.11.4", True), (">=3.12", False), ("<3", False), ("?", True)],
)
def test_choose__requires_python(requires: str, fits: bool) -> None:
    choice = choose_file(page("alpha-1.0-py3-none-any.whl", requires_python=requires), ALPHA, DEBIAN)
    assert bool(choice.files) is fits


def test_rank__is_the_order_of_packaging_on_this_machine() -> None:
    from devpi_forkbuilder.pipeline.frontend.interpreters import own_interpreter, own_platform  # noqa: PLC0415

    own = own_platform(own_interpreter())
    # where linux_* stands among them differs between versions of packaging, and no public index takes such files
    names = [f"a-1-{tag}.whl" for tag in sys_tags() if not tag.platform.startswith("linux_")]
    ranks = [own.rank(name) for name in names]
    assert None not in ranks
    assert ranks == sorted(ranks)  # type: ignore[type-var]  # none is None
    assert own.rank("a-1.tar.gz") is None


# targets


def test_targets__every_python_on_every_platform() -> None:
    found = targets(["3.11", "3.12", "3.11"], ["linux", "macos"], DEBIAN)
    assert [(one.python, one.platform) for one in found] == [
        ("3.11", "linux"),
        ("3.12", "linux"),
        ("3.11", "macos"),
        ("3.12", "macos"),
    ]
    assert str(found[0]) == "Python 3.11 on linux x86_64 (glibc 2.28)"


def test_targets__by_default_this_one() -> None:
    (only,) = targets([], [], DEBIAN)
    assert (only.python, only.platform, only.client) == ("3.11", "", DEBIAN)


@pytest.mark.parametrize(
    ("platform", "wheel"),
    [
        ("x86_64-manylinux_2_31", "manylinux_2_31_x86_64"),
        ("aarch64-manylinux2014", "manylinux2014_aarch64"),
        ("linux", "manylinux_2_28_x86_64"),
        ("aarch64-unknown-linux-musl", "musllinux_1_2_aarch64"),
        ("macos", "macosx_13_0_arm64"),
        ("x86_64-apple-darwin", "macosx_10_9_x86_64"),
        ("windows", "win_amd64"),
        ("aarch64-pc-windows-msvc", "win_arm64"),
    ],
)
def test_client__takes_the_wheels_of_its_platform(platform: str, wheel: str) -> None:
    who = client("3.11", platform, DEBIAN)
    assert who.accepts(f"a-1-cp311-cp311-{wheel}.whl")
    assert not who.accepts("a-1-cp311-cp311-manylinux_2_39_x86_64.whl")
    assert Client.of_user_agent(user_agent("x/1", who)) == who


@pytest.mark.parametrize(
    ("python", "platform"), [("3", ""), ("2.7", ""), ("3.11.1", ""), ("", "linux"), ("3.11", "os/2")]
)
def test_client__unknown_words_are_refused(python: str, platform: str) -> None:
    with pytest.raises(ValueError, match="write for example"):
        client(python, platform, DEBIAN)


@given(
    st.builds(
        Client,
        st.sampled_from(["cpython", "pypy"]),
        st.tuples(st.just(3), st.integers(8, 20)),
        st.just("linux"),
        st.sampled_from(["x86_64", "aarch64"]),
        st.sampled_from(["glibc", "musl"]),
        st.tuples(st.integers(1, 2), st.integers(0, 60)),
    )
)
def test_user_agent__is_read_as_it_was_meant(who: Client) -> None:
    assert Client.of_user_agent(user_agent("devpi-forkbuilder/1", who)) == who


# pages

HTML_PAGE = b"""<!DOCTYPE html><html><body>
<a href="../../+f/ab/alpha-1.0%%2Blocal.tar.gz#sha256=%s"
 data-requires-python="&gt;=3.8" data-core-metadata="true">x</a><br>
<a href="http://other/alpha-1.0.zip" data-yanked="">alpha-1.0.zip</a>
</body></html>""" % (b"a" * 64)
JSON_PAGE = b"""\n\n {"files": [{"filename": "alpha-1.0+local.tar.gz", "url": "../../+f/ab/alpha-1.0%%2Blocal.tar.gz",
"hashes": {"sha256": "%s"}, "requires-python": ">=3.8", "core-metadata": {"sha256": "x"}},
{"filename": "alpha-1.0.zip", "url": "http://other/alpha-1.0.zip", "hashes": {}, "yanked": "bad"}]}""" % (b"a" * 64)


@pytest.mark.parametrize(("body", "kind"), [(HTML_PAGE, "text/html; charset=utf-8"), (JSON_PAGE, JSON)])
def test_read_page__html_and_json_are_one(body: bytes, kind: str) -> None:
    first, second = read_page(body, kind, "http://h/u/i/+simple/alpha/")
    url = "http://h/u/i/+f/ab/alpha-1.0%2Blocal.tar.gz"
    assert first == ListedFile("alpha-1.0+local.tar.gz", url, "a" * 64, ">=3.8", metadata=True)
    assert second == ListedFile("alpha-1.0.zip", "http://other/alpha-1.0.zip", yanked=True)


@pytest.mark.parametrize(
    "body", [b"", b"[]", b'{"files": 3}', b'{"files": [3]}', b'{"files": [{"url": "x"}]}', b"[" * 9999]
)
def test_read_page__what_is_no_page(body: bytes) -> None:
    with pytest.raises(ValueError, match="not a simple page"):
        read_page(body, JSON, "http://h/")


def test_read_page__odd_hashes_are_none() -> None:
    body = b'{"files": [{"filename": "a", "url": "a", "hashes": {"sha256": "../.."}}]}'
    assert read_page(body, JSON, "http://h/")[0].sha256 == ""


def test_placeholder__is_known_by_its_url() -> None:
    path = f"/root/forks/+forks/alpha/{'a' * 40}/failed/building/alpha-1.0-py2.py3-none-any.whl"
    assert ListedFile("x", f"http://h{path}").is_placeholder
    assert not ListedFile("x", f"http://h/root/forks/+f/ab/alpha-1.0.whl?x={path}").is_placeholder
