"""`doctor` with the real git, uv and sandbox; what it says of a server is tried on a real one and on one of our own."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from devpi_forkbuilder.commands.doctor import examination, indexvisit
from devpi_forkbuilder.commands.doctor.findings import Finding, Verdict
from devpi_forkbuilder.commands.main import main
from devpi_forkbuilder.pipeline.process.disk_space import check_space
from devpi_forkbuilder.pipeline.sandbox import bwrap_program
from devpi_forkbuilder.pipeline.sandbox.cgroup_survey import CgroupPlace, Survey
from devpi_forkbuilder.pipeline.sandbox.probe import TierProbe
from tests.devpi import ROOT_PASSWORD, DevpiServer
from tests.surroundings import few_interpreters

SECRET = "canary-of-a-password"


def doctor(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Mapping[str, str]], str]:
    """Exit status, findings by name, and everything that was printed."""
    status = main(["doctor", "--json", *arguments])
    printed = capsys.readouterr()
    return status, {one["name"]: one for one in json.loads(printed.out)}, printed.out + printed.err


def credentials(folder: Path, text: str, mode: int = 0o600) -> str:
    path = folder / "credentials"
    path.write_text(text)
    path.chmod(mode)
    return str(path)


@pytest.fixture(autouse=True)
def network(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is looked at on the network is in test_hostvisit.py."""
    monkeypatch.setattr(examination, "check_network", lambda *_: (Finding.ok("network", "not looked at"),))
    monkeypatch.setenv("PATH", few_interpreters(os.environ["PATH"]))
    monkeypatch.delenv("PYENV_ROOT", raising=False)


def test_doctor__finds_what_builds_need(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, found, _ = doctor(capsys, "--serverdir", str(tmp_path / "not" / "made" / "yet"))
    assert list(found) == ["git", "uv", "interpreters", "sandbox", "cgroup", "disk", "open-files", "network"]
    assert [found[name]["state"] for name in ("git", "uv", "interpreters", "disk")] == ["ok"] * 4
    assert found["git"]["what"].split()[0].count(".") >= 1
    assert not list(tmp_path.iterdir())  # nothing is left of looking


def test_doctor__folders_of_tools(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kit = tmp_path / "kit"
    kit.mkdir()
    options = ["--serverdir", str(tmp_path), "--forkbuilder-sandbox", "none", "--forkbuilder-tools", str(kit)]
    _, found, _ = doctor(capsys, *options)
    assert (found["tools"]["state"], found["tools"]["what"]) == ("ok", str(kit))
    kit.chmod(0o777)
    status, found, _ = doctor(capsys, *options)
    assert status == 1
    assert f"{kit} (--forkbuilder-tools) can be changed by others" in found["tools"]["what"]
    assert f"chmod go-w {kit}" in found["tools"]["fix"]


def test_doctor__prints_a_line_for_each_finding_and_its_mend_below(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--forkbuilder-sandbox", "none"]
    assert main(["doctor", "--serverdir", str(tmp_path), *options]) == 0  # a warning is not a failure
    lines = capsys.readouterr().out.splitlines()
    place = next(number for number, line in enumerate(lines) if line.startswith("warning  sandbox"))
    assert lines[place + 1].split() == ["->", "Leave", "--forkbuilder-sandbox", "out."]


def test_doctor__path_without_git(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    status, found, _ = doctor(capsys, "--serverdir", str(tmp_path), "--forkbuilder-sandbox", "none")
    assert status == 1
    assert found["git"] == {
        "name": "git",
        "state": "failed",
        "what": "git is not installed on the server.",
        "fix": "Install it.",
    }


def test_doctor__git_that_does_not_answer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "git"
    program.write_text("#!/bin/sh\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    status, found, _ = doctor(capsys, "--serverdir", str(tmp_path), "--forkbuilder-sandbox", "none")
    assert status == 1
    assert found["git"]["fix"] == "Install git again."


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
def test_doctor__credentials_that_others_may_use(mode: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = credentials(tmp_path, f"https://me:{SECRET}@git.example.org\n", mode)
    status, found, printed = doctor(
        capsys, "--serverdir", str(tmp_path), "--forkbuilder-sandbox", "none", "--forkbuilder-credentials", path
    )
    assert status == 1
    assert found["credentials"]["state"] == "failed"
    assert f"chmod 600 {path}" in found["credentials"]["fix"]
    assert SECRET not in printed


@pytest.mark.parametrize(
    ("text", "state", "said"),
    [
        (f"https://me:{SECRET}@git.example.org\nhttps://me:{SECRET}@b.example.org\n", "ok", "b.example.org, git."),
        (f"https://me:{SECRET}@git.example.org\n{SECRET}\n\nme:{SECRET}@git.example.org\n", "failed", ": 2, 4."),
        (f"https://{SECRET}@git.example.org\n", "failed", ": 1."),
        (f"https://me:{SECRET}@[git\n", "failed", ": 1."),
        ("", "warning", "is empty"),
    ],
)
def test_doctor__credentials_are_read_and_never_shown(
    text: str, state: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = credentials(tmp_path, text)
    _, found, printed = doctor(
        capsys, "--serverdir", str(tmp_path), "--forkbuilder-sandbox", "none", "--forkbuilder-credentials", path
    )
    assert found["credentials"]["state"] == state
    assert said in found["credentials"]["what"]
    assert SECRET not in printed


def test_doctor__files_that_are_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = ("credentials", "ssh-key", "known-hosts")
    options = [word for name in names for word in (f"--forkbuilder-{name}", str(tmp_path / name))]
    status, found, _ = doctor(capsys, "--serverdir", str(tmp_path), "--forkbuilder-sandbox", "none", *options)
    assert status == 1
    for name in names:
        assert found[name]["state"] == "failed"
        assert f"--forkbuilder-{name}" in found[name]["fix"]


def test_doctor__ssh_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    key, hosts = tmp_path / "key", tmp_path / "hosts"
    key.write_text(SECRET)
    key.chmod(0o600)
    hosts.write_text("\n")
    options = ["--forkbuilder-ssh-key", str(key), "--forkbuilder-known-hosts", str(hosts)]
    _, found, printed = doctor(capsys, "--serverdir", str(tmp_path), "--forkbuilder-sandbox", "none", *options)
    assert found["ssh-key"]["state"] == "ok"
    assert found["known-hosts"]["state"] == "warning"
    assert SECRET not in printed
    hosts.write_text("git.example.org ssh-ed25519 AAAA\n")
    assert doctor(capsys, "--serverdir", str(tmp_path), *options)[1]["known-hosts"]["state"] == "ok"


@pytest.mark.parametrize(("limit", "state"), [(64, "warning"), (4096, "ok"), (None, "ok")])
def test_check_open_files(limit: int | None, state: str) -> None:
    assert examination.check_open_files(limit).state.value == state


def test_check_disk__full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(examination, "check_space", lambda place: check_space(place, floor=1 << 62))
    found = examination.check_disk(tmp_path / "below")
    assert (found.state, found.fix) == (Verdict.FAILED, "Make room, or move --forkbuilder-dir.")


@pytest.mark.parametrize(
    ("wanted", "works", "state", "said"),
    [
        ("auto", (True, True, True), Verdict.OK, "bwrap"),
        ("auto", (False, True, True), Verdict.WARNING, "bwrap: reason of bwrap"),
        ("auto", (False, False, True), Verdict.WARNING, "uid: reason of uid"),
        ("auto", (False, False, False), Verdict.FAILED, "landlock: reason of landlock"),
        ("landlock", (True, True, True), Verdict.OK, "landlock"),
        ("uid", (True, False, True), Verdict.FAILED, "uid: reason of uid"),
    ],
)
def test_judge_sandbox__takes_the_strongest_and_says_what_the_others_lack(
    wanted: str, works: tuple[bool, ...], state: Verdict, said: str
) -> None:
    names = ("bwrap", "uid", "landlock")
    tiers = [
        TierProbe(name, fine, "" if fine else f"reason of {name}.") for name, fine in zip(names, works, strict=True)
    ]
    found = examination.judge_sandbox(wanted, tiers)
    assert found.state is state
    assert said in f"{found.what} {found.fix}"


@pytest.mark.parametrize(
    ("places", "reason", "said"),
    [
        ((), "Do that.", "limits hold for each process of a build, not for all of them together"),
        ((CgroupPlace(Path("/"), 2, ("memory", "pids")),), "", "limits of memory and processes hold for a whole build"),
        (
            (CgroupPlace(Path("/"), 1, ("pids",)),),
            "Do that.",
            "limits of processes hold for a whole build, of memory for each process",
        ),
    ],
)
def test_judge_groups__says_what_holds_for_whole_builds(
    places: tuple[CgroupPlace, ...], reason: str, said: str
) -> None:
    found = examination.judge_groups(Survey(places, reason))
    assert (found.state, found.what, found.fix) == (Verdict.OK, said, "")


def test_doctor__path_without_bwrap(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(bwrap_program, "bundled", lambda: None)
    status, found, _ = doctor(capsys, "--serverdir", str(tmp_path), "--forkbuilder-sandbox", "bwrap")
    assert status == 1
    assert "bwrap is not on PATH" in found["sandbox"]["fix"]
    assert not list(tmp_path.iterdir())


def test_judge_sandbox__says_where_bubblewrap_comes_from() -> None:
    found = examination.judge_sandbox("auto", [TierProbe("bwrap", ok=True, origin="bubblewrap 0.11.0 (somewhere)")])
    assert (found.state, found.what) == (Verdict.OK, "bwrap: bubblewrap 0.11.0 (somewhere)")


# What it says of an index


Replies = Mapping[str, tuple[int, object]]


@contextlib.contextmanager
def answering(replies: Replies) -> Iterator[str]:
    """A server that answers each path of `replies` with a status and a document, else 404; its URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, document = replies.get(self.path.partition("?")[0], (404, {"message": "nothing here"}))
            body = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (the base class's name)
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


API = (200, {"type": "apiconfig", "result": {"features": ["forkbuilder", "push-only-latest"]}})
SETUPTOOLS = (200, {"files": [{"filename": "setuptools-1-py3-none-any.whl"}]})
WELL: Replies = {
    "/me/forks/+api": API,
    "/me/forks/+forks": (200, {"result": [{"state": "built"}, {"state": "built"}, {"state": "wanted"}]}),
    "/me/forks/+cached/setuptools/": SETUPTOOLS,
}


@pytest.mark.parametrize("end", ["", "/", "/+simple", "/+simple/", "/+cached/"])
def test_visit__an_index_that_is_well(end: str) -> None:
    with answering(WELL) as url:
        index, requirements = indexvisit.visit(f"{url}/me/forks{end}")
    assert index == Finding.ok("index", f"{url}/me/forks answers; forks: 2 built, 1 wanted")
    assert requirements.state is Verdict.OK


@pytest.mark.parametrize(
    ("changed", "states", "said"),
    [
        ({"/me/forks/+api": (404, {})}, ["failed"], "not as a devpi server does"),
        ({"/me/forks/+api": (200, [])}, ["failed"], "not as a devpi server does"),
        ({"/me/forks/+api": (200, {"result": {"features": []}})}, ["failed"], "without this plugin"),
        ({"/me/forks/+api": (403, {})}, ["warning"], "answers 403"),
        ({"/me/forks/+forks": (403, {})}, ["warning", "ok"], "answers 403"),
        ({"/me/forks/+forks": (404, {"message": "not of type"})}, ["failed", "ok"], "not of type"),
        ({"/me/forks/+forks": (200, {"result": []})}, ["ok", "ok"], "none pinned yet"),
        ({"/me/forks/+forks": (200, {"result": [{"state": "failed"}]})}, ["warning", "ok"], "1 failed"),
        ({"/me/forks/+cached/setuptools/": (404, {})}, ["ok", "warning"], "bases=root/pypi"),
        ({"/me/forks/+cached/setuptools/": (502, {})}, ["ok", "failed"], "it answers 502"),
    ],
)
def test_visit__what_is_wrong(changed: Replies, states: list[str], said: str) -> None:
    with answering({**WELL, **changed}) as url:
        found = indexvisit.visit(f"{url}/me/forks")
    assert [one.state.value for one in found] == states
    assert said in " ".join(f"{one.what} {one.fix}" for one in found)


CONFIGS: Replies = {
    "/me/forks": (200, {"result": {"type": "forkbuilder", "bases": ["root/dev", "root/pypi"]}}),
    "/root/dev": (200, {"result": {"type": "stage", "bases": ["root/pypi", "me/forks"]}}),
}


@pytest.mark.parametrize("page", [404, 502])
@pytest.mark.parametrize(("public", "cause"), [(None, "refused"), (503, "it answers 503")])
def test_visit__a_public_index_that_is_away_is_named(page: int, public: int | None, cause: str) -> None:
    with answering({"/simple/setuptools/": (public or 200, {})}) as mirror, socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{held.getsockname()[1]}" if public is None else mirror.partition("//")[2]
        pypi = {"result": {"type": "mirror", "mirror_url": f"http://me:{SECRET}@{host}/simple/"}}
        replies = {**WELL, **CONFIGS, "/root/pypi": (200, pypi), "/me/forks/+cached/setuptools/": (page, {})}
        with answering(replies) as url:
            _, found = indexvisit.visit(f"{url}/me/forks")
    assert found.state is Verdict.FAILED
    assert host in found.what
    assert cause in found.what
    assert "bases=root/pypi" not in found.fix
    assert SECRET not in f"{found.what} {found.fix}"


def test_doctor__unreachable_index(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as held:  # bound and not listening: a connection is refused
        held.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{held.getsockname()[1]}/me/forks"
        status, found, _ = doctor(
            capsys, "--serverdir", str(tmp_path), "--forkbuilder-sandbox", "none", "--index-url", url
        )
    assert status == 1
    assert found["index"]["state"] == "failed"
    assert "refused" in found["index"]["what"]


@pytest.mark.parametrize(
    "url",
    ["ftp://host/me/forks", "http://host", "http://host/me", "host/me/forks", f"http://me:{SECRET}@host/me/forks"],
)
def test_visit__what_is_no_url_of_an_index(url: str) -> None:
    (found,) = indexvisit.visit(url)
    assert found.state is Verdict.FAILED
    assert found.fix == "Write http://HOST/USER/NAME."
    assert SECRET not in found.what


def test_visit__a_real_server(devpi_server: Callable[..., DevpiServer]) -> None:
    server = devpi_server()
    server.login("root", ROOT_PASSWORD)
    server.create_index("root/forks", type="forkbuilder", bases=[])
    index, requirements = indexvisit.visit(server.index_url("root/forks"))
    assert index.state is Verdict.OK
    assert "none pinned yet" in index.what
    assert requirements.state is Verdict.WARNING
    (other,) = indexvisit.visit(server.index_url("root/nothing"))
    assert other.state is Verdict.FAILED


CACHE: Replies = {
    "/me/forks/+api": API,
    "/me/forks": (200, {"result": {"type": "mirror", "mirror_url": f"https://me:{SECRET}@team.example/a/b/+simple/"}}),
}


@pytest.mark.parametrize(
    ("arguments", "variable", "state", "said"),
    [
        ((), None, "warning", "waits 5 s for https://team.example/a/b;"),
        (("--request-timeout", "900"), None, "warning", "--request-timeout 960"),
        (("--request-timeout", "901"), None, "ok", "waits 901 s"),
        (("--request-timeout", "30"), "901", "warning", "waits 30 s"),
        ((), "901", "ok", "waits 901 s"),
        (("--request-timeout", "100", "--forkbuilder-wait", "60"), None, "ok", "waits 100 s"),
        ((), "soon", "warning", "waits 5 s"),
    ],
)
def test_doctor__a_cache_has_to_outwait_builds(
    arguments: tuple[str, ...],
    variable: str | None,
    state: str,
    said: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("DEVPISERVER_REQUEST_TIMEOUT", raising=False)
    if variable is not None:
        monkeypatch.setenv("DEVPISERVER_REQUEST_TIMEOUT", variable)
    fixed = ["--serverdir", str(tmp_path), "--forkbuilder-sandbox", "none"]
    with answering(CACHE) as url:
        status, found, printed = doctor(capsys, *fixed, "--index-url", f"{url}/me/forks", *arguments)
    told = found["request-timeout"]
    assert (status, found["index"]["state"], told["state"]) == (0, "ok", state)
    assert said in f"{told['what']} {told['fix']}"
    assert SECRET not in printed


@pytest.mark.parametrize(
    "config",
    [
        {"type": "mirror", "mirror_url": "https://packages.example/simple/"},
        {"type": "stage", "mirror_url": "https://team.example/a/b/+simple/"},
        {"type": "mirror", "mirror_url": None},
        {"type": "forkbuilder"},
        None,
    ],
)
def test_visit__what_is_no_cache_has_no_say_on_timeouts(config: object) -> None:
    with answering({**WELL, "/me/forks": (200, {"result": config})}) as url:
        assert "request-timeout" not in {one.name for one in indexvisit.visit(f"{url}/me/forks")}


def test_visit__a_real_cache(devpi_server: Callable[..., DevpiServer]) -> None:
    server = devpi_server()
    server.login("root", ROOT_PASSWORD)
    server.create_index("root/forks", type="forkbuilder", bases=[])
    upstream = server.index_url("root/forks")
    server.create_index("root/cache", type="mirror", mirror_url=upstream).check()
    index, timeout = indexvisit.visit(server.index_url("root/cache"))
    assert (index.state, timeout.name, timeout.state) == (Verdict.OK, "request-timeout", Verdict.WARNING)
    assert upstream.removesuffix("/+simple/") in timeout.what
