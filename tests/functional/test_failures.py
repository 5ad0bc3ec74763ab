"""What fails, fails closed, is told by the installers themselves, and hides nothing that is good."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.clients import Installer, Pip, Uv
from tests.functional.conftest import PIP_NEW, PIP_OLD, MakeLive
from tests.gitserver import BadServer
from tests.live import Live, wheel_of
from tests.publicindex import PublicIndex, public_index
from tests.repositories import Repository

pytestmark = pytest.mark.functional
MEBIBYTE = 1024 * 1024


def _failing(live: Live, project: str = "mixed") -> Repository:
    return live.host.fork("fails", project=project)


def _log_url(live: Live, index: str, fork: Repository) -> str:
    return f"{live.server.url}/{index}/+forks/{fork.project}/{fork.commit}/log"


def test_failing_fork__installers_tell_stage_and_log(live: Live, installer: Installer) -> None:
    fork = _failing(live)
    index = live.index_of(fork)
    result = installer.install(live.url(index), "mixed==1.0.2")
    assert result.returncode != 0
    said = " ".join(result.output.split())
    cause = "this fork cannot be built: its frobnicator is missing"
    assert (
        f"Build of mixed 1.0.2 from {fork.commit[:7]} failed (building): {cause}; see {_log_url(live, index, fork)}"
        in said
    )
    assert "its frobnicator is missing" in live.log(index, fork)


def test_failing_fork__other_versions_are_installable(live: Live, installer: Installer, tmp_path: Path) -> None:
    good = live.host.fork("inline", project="mixed", version="1.0.1")
    index = live.index_of(_failing(live), good)
    installer.install(live.url(index), "mixed==1.0.1", target=tmp_path / "target").check()
    assert (tmp_path / "target" / "inline.py").is_file()
    assert {state["version"]: state["state"] for state in live.states(index, "mixed")} == {
        "1.0.1": "built",
        "1.0.2": "failed",
    }


def test_failing_fork__is_not_built_again_until_it_is_forced(live: Live) -> None:
    fork = _failing(live)
    index = live.index_of(fork)
    failed = live.outcome(index, "mixed")
    live.page(index, "mixed").check()
    live.build(index, "mixed").check(202)
    assert live.state(index, "mixed") == failed
    live.build(index, "mixed", force=True).check(202)
    again = live.wait_for(index, "mixed")
    assert again["started_at"] > failed["started_at"]


def test_failing_fork__mended_by_another_commit(live: Live, installer: Installer, tmp_path: Path) -> None:
    fork = _failing(live)
    index = live.index_of(fork)
    assert live.outcome(index, "mixed")["state"] == "failed"
    settings = '{"name": "mixed", "version": "1.0.2", "modules": ["fails.py"]}\n'
    live.host.repositories.commit(fork, {"inline.json": settings})
    live.pin(index, live.host.pin(fork))
    installer.install(live.url(index), "mixed==1.0.2", target=tmp_path / "target").check()
    assert (tmp_path / "target" / "fails.py").is_file()


# a second index beside ours, and a public one under it


@pytest.fixture
def public(tmp_path: Path) -> Iterator[PublicIndex]:
    with public_index(tmp_path / "public") as index:
        yield index


def _closed(result: object, folder: Path) -> None:
    output = result.output  # type: ignore[attr-defined]  # a Result
    assert result.returncode != 0, output  # type: ignore[attr-defined]  # as above
    assert "failed (building)" in " ".join(output.split())
    assert not list(folder.glob("mixed*"))


@pytest.mark.network
@pytest.mark.parametrize("pip", [PIP_OLD, PIP_NEW])
def test_second_index__pip_fails_closed(
    live: Live, public: PublicIndex, pip: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    public.add("mixed", "1.0.2")
    index = live.index_of(_failing(live))
    client: Pip = request.getfixturevalue(pip)
    second = ("--extra-index-url", public.url)
    _closed(client.install(live.url(index), "mixed==1.0.2", arguments=second, target=tmp_path / "t"), tmp_path / "t")


@pytest.mark.parametrize(
    "strategy", [(), ("--index-strategy", "unsafe-best-match"), ("--index-strategy", "unsafe-first-match")]
)
def test_second_index__uv_fails_closed(
    live: Live, public: PublicIndex, uv: Uv, strategy: tuple[str, ...], tmp_path: Path
) -> None:
    """With ours before the default one; uv asks its indexes in that order."""
    public.add("mixed", "1.0.2")
    index = live.index_of(_failing(live))
    ours_first = ("--index", live.url(index), *strategy)
    _closed(uv.install(public.url, "mixed==1.0.2", arguments=ours_first, target=tmp_path / "t"), tmp_path / "t")


@pytest.mark.parametrize("wanted", ["mixed", "mixed==1.0.2"])
def test_dependency_confusion__a_failing_pin_never_falls_to_the_base(
    live: Live, public: PublicIndex, installer: Installer, wanted: str, tmp_path: Path
) -> None:
    public.add("mixed", "9.9")
    public.add("mixed", "1.0.2")
    public.add("other", "3.0")
    index = _above(live, public, _failing(live))
    installer.install(live.url(index), "other", target=tmp_path / "other").check()  # the base is there, and is asked
    _closed(installer.install(live.url(index), wanted, target=tmp_path / "t"), tmp_path / "t")


def test_dependency_confusion__a_built_pin_hides_higher_versions_of_the_base(
    live: Live, public: PublicIndex, installer: Installer, tmp_path: Path
) -> None:
    public.add("mixed", "9.9")
    fork = live.host.fork("inline", project="mixed")
    index = _above(live, public, fork)
    installer.install(live.url(index), "mixed", target=tmp_path / "t").check()
    assert (tmp_path / "t" / "inline.py").is_file()
    assert list(live.files(index, "mixed")) == [wheel_of(fork)]


def test_dependency_confusion__who_wants_both_says_so(live: Live, public: PublicIndex) -> None:
    public.add("mixed", "9.9")
    fork = live.host.fork("inline", project="mixed")
    index = _above(live, public, fork, mirror_whitelist=["mixed"])
    assert set(live.files(index, "mixed")) == {wheel_of(fork), "mixed-9.9-py3-none-any.whl"}


def _above(live: Live, public: PublicIndex, fork: Repository, **settings: object) -> str:
    """An index of the fork whose base mirrors the public one."""
    mirror = f"root/mirror{public.url.split(':')[2].split('/')[0]}"
    live.server.create_index(mirror, type="mirror", mirror_url=public.url, volatile=True).check()
    return live.index_of(fork, bases=(mirror,), **settings)


# sources


def _source_error(live: Live, index: str, project: str) -> str:
    found = live.outcome(index, project)
    assert found["state"] == "failed"
    assert (found["error"]["kind"], found["error"]["stage"]) == ("source", "fetching")
    message: str = found["error"]["message"]
    return message


def test_source__repository_missing(live: Live, installer: Installer) -> None:
    fork = live.host.fork("inline")
    live.host.git.hide(fork.name)
    index = live.index_of(fork)
    message = _source_error(live, index, "inline")
    assert f"no git repository at {live.host.git.url}/{fork.name}.git" in message
    assert "Check the URL" in message
    said = " ".join(installer.install(live.url(index), "inline==1.0.2").output.split())
    cause = f"There is no git repository at {live.host.git.url}/{fork.name}.git"
    assert f"from {fork.commit[:7]} failed (fetching): {cause}; see {_log_url(live, index, fork)}" in said


def test_source__commit_missing(live: Live) -> None:
    fork = live.host.fork("inline")
    missing = "1234567890abcdef1234567890abcdef12345678"
    index = live.index(live.host.pin(fork, commit=missing))
    message = _source_error(live, index, "inline")
    assert f"The commit {missing} is not in {live.host.git.url}/{fork.name}.git" in message
    assert "pin a commit that is there" in message
    asked = len(live.host.git.requests_for(fork.name))
    live.page(index, "inline").check()
    assert len(live.host.git.requests_for(fork.name)) == asked  # nobody asks again


def test_source__tag_instead_of_a_commit(live: Live) -> None:
    fork = live.host.fork("inline")
    tag = live.host.repositories.tag(fork, "v1.0.2", annotated=True)
    message = _source_error(live, live.index(live.host.pin(fork, commit=tag)), "inline")
    assert "is a tag, not a commit" in message
    assert f"Pin the commit that it points to: {fork.commit}" in message


def test_source__login_needed(live: Live) -> None:
    fork = live.host.fork("inline")
    live.host.git.require_login(fork.name, "bob", "of-bob")
    message = _source_error(live, live.index_of(fork), "inline")
    assert "does not let this server read" in message
    assert "--forkbuilder-credentials" in message


def test_source__login_from_the_credentials_file(own: MakeLive, tmp_path: Path) -> None:
    credentials = tmp_path / "credentials"
    credentials.touch(mode=0o600)
    live = own("--forkbuilder-credentials", str(credentials))
    credentials.write_text(live.host.git.url.replace("//", "//bob:of-bob@") + "\n")
    fork = live.host.fork("inline")
    live.host.git.require_login(fork.name, "bob", "of-bob")
    index = live.index_of(fork)
    assert live.outcome(index, "inline")["state"] == "built"
    told = (live.server.log_text(), live.log(index, fork), live.server.get(index).text)
    assert not [text for text in told if "of-bob" in text]


BEHAVIOURS = ("redirect", "html", "garbage", "login", "drop", "silent", "trickle")


@pytest.fixture(scope="module")
def bad_hosts(devpi_servers: MakeLive) -> Iterator[tuple[Live, dict[str, str]]]:
    """A server that may fetch from hosts that misbehave, and their URLs."""
    with ExitStack() as stack:
        bad = {name: stack.enter_context(BadServer(name, "http://127.0.0.1:1")).url for name in BEHAVIOURS}
        allowed = [word for url in bad.values() for word in ("--forkbuilder-allow-url", f"{url}/")]
        yield devpi_servers(*allowed), bad


@pytest.mark.parametrize(
    ("behaviour", "what", "step"),
    [
        ("redirect", "redirects to another URL (302)", "Pin the URL that it redirects to"),
        ("html", "is not a sound git repository", "Try 'git clone'"),
        ("garbage", "is not a sound git repository", "Try 'git clone'"),
        ("login", "does not let this server read", "--forkbuilder-credentials"),
        ("drop", "could not be reached", "tried again by itself"),
        pytest.param("silent", "stopped answering", "tried again by itself", marks=pytest.mark.slow),
        pytest.param("trickle", "stopped answering", "tried again by itself", marks=pytest.mark.slow),
    ],
)
def test_source__bad_hosts(bad_hosts: tuple[Live, dict[str, str]], behaviour: str, what: str, step: str) -> None:
    live, urls = bad_hosts
    fork = live.host.fork("inline")
    message = _source_error(live, live.index(live.host.repositories.pin_line(fork, urls[behaviour])), "inline")
    assert what in message
    assert step in message


# builds that end badly


@pytest.fixture(scope="module")
def strict(devpi_servers: MakeLive) -> Live:
    """A server with little patience."""
    return devpi_servers("--forkbuilder-silence-timeout", "2", "--forkbuilder-build-timeout", "12")


@pytest.mark.parametrize(
    ("case", "kind", "stage", "says"),
    [
        ("fails", "build", "building", "ended with status"),
        ("hangs", "limits", "building", "no output for 2 seconds"),
        ("endless-output", "limits", "building", "seconds and was stopped"),
        ("two-wheels", "mismatch", "checking", "left 2 wheels"),
        ("no-wheel", "build", "building", "ended with status"),
        ("other-name", "mismatch", "checking", "quite-another-name"),
        ("other-version", "mismatch", "checking", "2.0.0"),
    ],
)
def test_bad_build__state_and_message(shared: Live, strict: Live, case: str, kind: str, stage: str, says: str) -> None:
    live = strict if kind == "limits" else shared
    fork = live.host.fork(case)
    index = live.index_of(fork)
    found = live.outcome(index, fork.project)
    print(found)
    assert found["state"] == "failed"
    assert (found["error"]["kind"], found["error"]["stage"]) == (kind, stage)
    assert says in found["error"]["message"]
    assert found["files"] == []
    log = live.log(index, fork)
    assert f"Failed while {stage}" in log
    assert len(log.encode()) <= 11 * MEBIBYTE
    (placeholder,) = live.files(index, fork.project).values()
    assert f"/failed/{stage}/" in placeholder["url"]
    answer = live.server.get(placeholder["url"])
    assert (answer.status, answer.headers["content-type"]) == (424, "text/plain; charset=utf-8")
    assert found["error"]["message"] in answer.text
