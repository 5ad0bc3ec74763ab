"""The real parts that other tests stand on do what they say."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import sys
import threading
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from devpi_forkbuilder.domain.pins.pins import Pin
from tests.clients import OLDEST_PIP, Installer, Pip, Uv
from tests.devpi import DevpiServer
from tests.gitserver import BEHAVIOURS, BadServer, GitServer
from tests.processes import Running, descendants, left_over
from tests.repositories import CASES, INLINE, Link, Program, Repositories, Repository
from tests.surroundings import clean_environment, unwanted

LOW_SPEED = ("-c", "http.lowSpeedLimit=1000", "-c", "http.lowSpeedTime=1")
SAYS = {
    "silent": "Operation too slow",
    "trickle": "Operation too slow",
    "drop": "Empty reply from server",
    "garbage": "bad line length character",
    "html": "not valid: is this a git repository?",
    "login": "terminal prompts disabled",
}
Git = Callable[..., Running]


@pytest.fixture
def git(tmp_path: Path) -> Git:
    def run(*arguments: str, cwd: Path = tmp_path) -> Running:
        return Running(["git", *arguments], clean_environment(tmp_path), cwd, None)

    return run


@pytest.fixture
def fetch(git: Git, tmp_path: Path) -> Callable[[str, str], Running]:
    """Start to fetch one commit by its id into a new repository."""
    git("init", "--quiet", "clone").wait(10).check()

    def start(url: str, commit: str) -> Running:
        return git("fetch", "--quiet", "--no-tags", "--depth=1", "--", url, commit, cwd=tmp_path / "clone")

    return start


Fetch = Callable[[str, str], Running]


def test_git_server__clone_gives_the_commit(
    git: Git, git_server: GitServer, repositories: Repositories, tmp_path: Path
) -> None:
    made = repositories.make("same-version-two-commits")
    git("clone", "--quiet", git_server.repository_url(made.name), "clone").wait(10).check()
    head = git("rev-parse", "HEAD", cwd=tmp_path / "clone").wait(10).check()
    assert head.stdout.strip() == made.commit
    assert (tmp_path / "clone" / "same_version_two_commits.py").read_text() == 'COMMIT = "second"\n'


def test_git_server__counts_each_fetch_once(fetch: Fetch, git_server: GitServer, repositories: Repositories) -> None:
    made, other = repositories.make("same-version-two-commits"), repositories.make("inline")
    fetch(git_server.repository_url(made.name), made.commits[0]).wait(10).check()
    assert (git_server.fetches(made.name), git_server.advertisements(made.name)) == (1, 1)
    assert (git_server.fetches(other.name), git_server.advertisements(other.name)) == (0, 0)
    assert [request.kind for request in git_server.requests] == ["advertisement", "fetch"]


def test_git_server__counts_a_clone_as_one_fetch(git: Git, git_server: GitServer, repositories: Repositories) -> None:
    made = repositories.make("inline")
    git("clone", "--quiet", "--depth=1", git_server.repository_url(made.name), "clone").wait(10).check()
    assert git_server.fetches(made.name) == 1


@pytest.mark.parametrize("object_format", ["sha1", "sha256"])
def test_git_server__serves_both_object_formats(
    object_format: str, git: Git, git_server: GitServer, repositories: Repositories, tmp_path: Path
) -> None:
    made = repositories.make("inline", object_format=object_format)
    git("clone", "--quiet", git_server.repository_url(made.name), "clone").wait(10).check()
    assert git("rev-parse", "HEAD", cwd=tmp_path / "clone").wait(10).stdout.strip() == made.commit


def test_git_server__refuses_ids_but_gives_branches(
    fetch: Fetch, git_server: GitServer, repositories: Repositories
) -> None:
    made = repositories.make("same-version-two-commits")
    git_server.refuse_ids(made.name)
    refused = fetch(git_server.repository_url(made.name), made.commits[0]).wait(10)
    assert refused.returncode != 0
    assert "unadvertised object" in refused.stderr
    assert git_server.fetches(made.name) == 0
    fetch(git_server.repository_url(made.name), "main").wait(10).check()
    assert git_server.fetches(made.name) == 1  # in two POSTs, of which the first only prepares


def test_git_server__asks_for_a_login(git: Git, git_server: GitServer, repositories: Repositories) -> None:
    made = repositories.make("inline")
    git_server.require_login(made.name, "bob", "of-bob")
    url = git_server.repository_url(made.name)
    assert "terminal prompts disabled" in git("ls-remote", url).wait(10).stderr
    wrong = url.replace("//", "//bob:wrong@")
    assert git("ls-remote", wrong).wait(10).returncode != 0
    right = url.replace("//", "//bob:of-bob@")
    assert made.commit in git("ls-remote", right).wait(10).check().stdout


def test_git_server__hides_and_shows_again(fetch: Fetch, git_server: GitServer, repositories: Repositories) -> None:
    made = repositories.make("inline")
    url = git_server.repository_url(made.name)
    git_server.hide(made.name)
    assert "not found" in fetch(url, made.commit).wait(10).stderr
    git_server.reset(made.name)
    fetch(url, made.commit).wait(10).check()


def test_git_server__holds_until_the_gate_opens(
    fetch: Fetch, git_server: GitServer, repositories: Repositories
) -> None:
    made = repositories.make("inline")
    gate = git_server.hold(made.name)
    running = fetch(git_server.repository_url(made.name), made.commit)
    gate.wait_until_reached()
    git_server.wait_for(made.name, "advertisement")
    assert git_server.fetches(made.name) == 0
    assert running.popen.poll() is None
    gate.open()
    running.wait(10).check()


def test_git_server__ends_its_threads_with_a_client_waiting(
    fetch: Fetch, repositories: Repositories, tmp_path: Path
) -> None:
    made = repositories.make("inline")
    before = set(threading.enumerate())
    with GitServer(tmp_path / "git") as server:
        gate = server.hold(made.name)
        running = fetch(server.repository_url(made.name), made.commit)
        gate.wait_until_reached()
    running.wait(10)
    assert set(threading.enumerate()) == before


@pytest.mark.parametrize("behaviour", SAYS)
def test_bad_server__git_says_what_is_wrong(behaviour: str, git: Git) -> None:
    with BadServer(behaviour) as server:
        done = git(*LOW_SPEED, "ls-remote", server.repository_url("fork")).wait(20)
        assert server.asked.is_set()
        assert server.requests[0].startswith(b"GET /fork.git/info/refs?service=git-upload-pack HTTP/1.1\r\n")
    assert done.returncode != 0
    assert SAYS[behaviour] in done.stderr


def test_bad_server__redirects(git: Git, git_server: GitServer, repositories: Repositories) -> None:
    made = repositories.make("inline")
    with BadServer("redirect", location=git_server.url) as server:
        url = server.repository_url(made.name)
        assert made.commit in git("ls-remote", url).wait(10).check().stdout
        assert "302" in git("-c", "http.followRedirects=false", "ls-remote", url).wait(10).stderr


def test_bad_server__every_behaviour_ends_with_its_threads() -> None:
    before = set(threading.enumerate())
    for behaviour in BEHAVIOURS:
        with BadServer(behaviour) as server:
            asking = threading.Thread(target=_ask, args=(server.url,))
            asking.start()
            assert server.asked.wait(10)
        asking.join(10)
    assert set(threading.enumerate()) == before


def _ask(url: str) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with contextlib.suppress(OSError, http.client.HTTPException):
        opener.open(url, timeout=10).close()


@pytest.mark.parametrize("case", CASES)
def test_repositories__same_commits_in_every_folder(case: str, tmp_path: Path) -> None:
    one, two = (Repositories(tmp_path / name).make(case) for name in ("one", "two"))
    assert one.commits == two.commits
    assert one.path != two.path


def test_repositories__commit_ids_never_change(repositories: Repositories) -> None:
    made = repositories.empty("fixed")
    repositories.commit(made, {"a.txt": "a\n", "run": Program("#!/bin/sh\n"), "link": Link("a.txt")})
    assert made.commit == "9303464b4feb429092b35c15b9f1e20cf9cc0232"
    assert repositories.git("log", "-1", "--format=%ct %cI", at=made.path).split() == [
        str(made.time()),
        "2026-01-02T03:04:05+02:00",
    ]


def test_repositories__later_commits_change_and_delete(repositories: Repositories) -> None:
    made = repositories.make("inline")
    first = made.commit
    second = repositories.commit(made, {"inline.json": None, "new.txt": "new"})
    assert repositories.git("rev-parse", f"{second}^", "refs/heads/main", at=made.path).split() == [first, second]
    names = repositories.git("ls-tree", "--name-only", second, at=made.path).split()
    assert "new.txt" in names
    assert "inline.json" not in names
    assert made.time(second) == made.time(first) + 3600


def test_repositories__commit_on_another_ref(repositories: Repositories) -> None:
    made = repositories.make("inline")
    aside = repositories.commit(made, {"new.txt": "new"}, ref="refs/pull/1/head", parent=made.commits[0])
    assert repositories.git("rev-parse", "refs/heads/main", at=made.path).strip() == made.commits[0]
    assert repositories.git("rev-parse", f"{aside}^", at=made.path).strip() == made.commits[0]


def test_repositories__tags(repositories: Repositories) -> None:
    made = repositories.make("version-from-tags")
    assert repositories.git("describe", "--tags", made.commit, at=made.path).strip() == "v1.0.2"
    annotated = repositories.tag(made, "v2", annotated=True)
    assert repositories.git("cat-file", "-t", annotated, at=made.path).strip() == "tag"
    assert repositories.git("rev-parse", "v2^{commit}", at=made.path).strip() == made.commit


def test_repositories__submodule_comes_with_a_recursive_clone(
    git: Git, git_server: GitServer, repositories: Repositories, tmp_path: Path
) -> None:
    made = repositories.make("submodule")
    git("clone", "--quiet", "--recurse-submodules", git_server.repository_url(made.name), "clone").wait(20).check()
    assert (tmp_path / "clone" / "vendor" / "part" / "submodule_part.py").is_file()
    assert git_server.fetches("submodule-part") == 1


@pytest.mark.parametrize("case", CASES)
def test_repositories__pin_line_is_a_pin(case: str, repositories: Repositories) -> None:
    made = repositories.make(case)
    pin = Pin.parse(repositories.pin_line(made, "https://example.com/forks"))
    assert (pin.project, pin.version, pin.commit) == (made.project, made.version, made.commit)
    assert pin.url == f"https://example.com/forks/{made.name}.git"
    assert pin.subdirectory == made.subdirectory


def test_repositories__pin_line_as_the_test_wants_it(repositories: Repositories) -> None:
    made = repositories.make("same-version-two-commits")
    line = repositories.pin_line(made, project="other", version="", commit=made.commits[0])
    assert line == f"git+file://{made.path}@{made.commits[0]}#egg=other"


@pytest.fixture
def built(uv: Uv, tmp_path: Path) -> Callable[[Repository], Path]:
    """Install a fork's checkout, without any index, and give the folder."""

    def build(made: Repository) -> Path:
        target = tmp_path / f"installed-{made.name}"
        where = f"git+{made.file_url}@{made.commit}"
        folder = f"#subdirectory={made.subdirectory}" if made.subdirectory else ""
        uv.install(None, where + folder, target=target).check()
        return target

    return build


@pytest.mark.parametrize("case", ["inline", "subdirectory", "same-version-two-commits", "counts", "prints-secrets-env"])
def test_inline_back_end__builds_what_installers_accept(
    case: str, built: Callable[[Repository], Path], repositories: Repositories
) -> None:
    made = repositories.make(case)
    assert (built(made) / f"{case.replace('-', '_')}.py").is_file()


def test_inline_back_end__renamed(built: Callable[[Repository], Path], repositories: Repositories) -> None:
    made = repositories.make("inline", name="fork-7", project="fork-seven", version="3.1")
    assert (built(made) / "fork_seven-3.1.dist-info").is_dir()
    assert repositories.pin_line(made, "http://h").endswith(f"fork-7.git@{made.commit}#egg=fork-seven==3.1")


def test_inline_back_end__counts_its_builds(
    built: Callable[[Repository], Path], repositories: Repositories, tmp_path: Path
) -> None:
    counter = tmp_path / "counter"
    target = built(repositories.make("counts", files={"COUNTER": str(counter)}))
    assert counter.read_text() == (target / "counts_identity.txt").read_text() + "\n"


def test_inline_back_end__failing_says_why(uv: Uv, repositories: Repositories) -> None:
    made = repositories.make("fails")
    failed = uv.install(None, f"git+{made.file_url}@{made.commit}")
    assert failed.returncode != 0
    assert "its frobnicator is missing" in failed.output


def test_cases__those_of_the_plan_are_there() -> None:
    assert len(CASES) == 21
    assert set(CASES) - set(INLINE) == {
        "extension",
        "flit",
        "hatchling",
        "poetry",
        "pure-setuptools",
        "setup-py-reads-requirements",
        "version-from-tags",
    }


@pytest.fixture
def simple_index(tmp_path: Path, built_wheel: Path) -> str:
    """The least index there is: a folder (pip and uv read `file://` pages as they read HTTP ones)."""
    page = tmp_path / "simple" / "inline" / "index.html"
    page.parent.mkdir(parents=True)
    page.write_text(f'<!DOCTYPE html><a href="{built_wheel.as_uri()}">{built_wheel.name}</a>')
    return (tmp_path / "simple").as_uri()


@pytest.fixture
def built_wheel(tmp_path: Path, repositories: Repositories, git: Git) -> Path:
    """The wheel of the case `inline`."""
    made = repositories.make("inline")
    git("clone", "--quiet", made.file_url, "source").wait(10).check()
    script = "import inline_backend, sys; inline_backend.build_wheel(sys.argv[1])"
    build = [sys.executable, "-c", script, str(tmp_path)]
    Running(build, clean_environment(tmp_path), tmp_path / "source", None).wait(20).check()
    return next(tmp_path.glob("*.whl"))


def _works(installer: Installer, index_url: str, target: Path) -> None:
    installer.install(index_url, "inline==1.0.2", target=target).check()
    assert (target / "inline.py").read_text() == 'CASE = "inline"\n'
    missing = installer.install(index_url, "inline==7")
    assert missing.returncode != 0
    assert "inline==7" in missing.output


def test_pip_new__installs(pip_new: Pip, simple_index: str, tmp_path: Path) -> None:
    _works(pip_new, simple_index, tmp_path / "target")
    assert int(pip_new.version().split(".")[0]) >= 25


def test_pip_old__installs(pip_old: Pip, simple_index: str, tmp_path: Path) -> None:
    _works(pip_old, simple_index, tmp_path / "target")
    assert pip_old.version() == OLDEST_PIP


def test_uv__installs(uv: Uv, simple_index: str, tmp_path: Path) -> None:
    _works(uv, simple_index, tmp_path / "target")


def test_surroundings__nothing_of_the_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("PIP_FIND_LINKS", "UV_INDEX_URL", "GIT_DIR", "DEVPI_PASSWORD", "UNRELATED"):
        monkeypatch.setenv(name, "of the machine")
    monkeypatch.setenv("SSL_CERT_FILE", "/certificates")
    monkeypatch.setenv("NO_PROXY", "inside.example.com")
    monkeypatch.delenv("no_proxy")
    environment = clean_environment(tmp_path, EXTRA="1")
    assert "of the machine" not in environment.values()
    assert environment["SSL_CERT_FILE"] == "/certificates"
    assert environment["no_proxy"] == "inside.example.com,127.0.0.1,localhost"
    assert (environment["HOME"], environment["EXTRA"]) == (str(tmp_path), "1")


def test_surroundings__of_the_tests_themselves() -> None:
    left = {name for name in os.environ if unwanted(name)}
    assert left <= {
        "GIT_ASKPASS",
        "GIT_CONFIG_GLOBAL",
        "GIT_CONFIG_NOSYSTEM",
        "GIT_TERMINAL_PROMPT",
        "PIP_CONFIG_FILE",
        "PIP_DISABLE_PIP_VERSION_CHECK",
        "PIP_NO_INPUT",
        "UV_NO_CONFIG",
    }


def test_processes__what_is_left_is_seen(tmp_path: Path) -> None:
    script = "import os, sys, threading; os.fork(); print(flush=True); threading.Event().wait()"
    running = Running([sys.executable, "-c", script], clean_environment(tmp_path), tmp_path, None)
    assert running.popen.stdout is not None
    assert running.popen.stdout.read(2) == b"\n\n"  # both processes run
    (child,) = descendants(running.pid)
    assert {process.pid for process in left_over()} >= {running.pid, child.pid}
    running.signal(signal.SIGKILL)
    running.popen.wait()
    assert child.pid in {process.pid for process in left_over()}  # an orphan, and still known
    running.kill()
    assert not {running.pid, child.pid} & {process.pid for process in left_over()}


def test_devpi_server__users_and_indexes(devpi_server: Callable[..., DevpiServer]) -> None:
    server = devpi_server()
    server.create_user("main")
    server.create_index("main/forks").check()
    server.modify_index("main/forks", volatile=False, title="Forks").check()
    config = server.api("GET", "main/forks").check().result
    assert (config["type"], config["volatile"], config["title"]) == ("stage", False, "Forks")
    assert server.get("main/forks/+simple/").check().status == 200
    assert server.get("main/forks/+simple/nothing/").status == 404
    assert server.create_index("main/forks").status == 409


def test_devpi_server__restart_keeps_data_port_and_login(devpi_server: Callable[..., DevpiServer]) -> None:
    server = devpi_server(threads=4)
    server.create_user("main")
    pid = server.pid
    server.restart()
    assert server.pid != pid
    server.create_index("main/forks").check()
    server.kill()
    server.start()
    assert server.api("GET", "main/forks").check().result["type"] == "stage"
    assert "Using secret file" in server.log_text()


def test_devpi_server__replica_follows_its_primary(devpi_server: Callable[..., DevpiServer]) -> None:
    primary = devpi_server("--role", "primary")
    replica = devpi_server(primary=primary)
    primary.create_user("main")
    replica.wait_for(primary)
    assert "main" in replica.api("GET", "").check().result


@pytest.mark.network
@pytest.mark.slow
def test_cases__real_back_ends_come_through_the_mirror(
    devpi_server: Callable[..., DevpiServer], uv: Uv, repositories: Repositories, tmp_path: Path
) -> None:
    server = devpi_server("--request-timeout", "30", mirror=True)
    forks = [repositories.make(case) for case in sorted(set(CASES) - set(INLINE))]
    urls = [f"{made.project} @ git+{made.file_url}@{made.commit}" for made in forks]
    uv.install(server.index_url("root/pypi"), *urls, target=tmp_path / "target").check()
    installed = {path.name for path in (tmp_path / "target").glob("*.dist-info")}
    assert installed == {f"{made.project.replace('-', '_')}-{made.version}.dist-info" for made in forks}
    assert "/root/pypi/+simple/hatchling/" in server.log_text()
