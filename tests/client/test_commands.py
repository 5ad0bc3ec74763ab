"""The real `devpi forks` against a real server: what each command does, and one line for each bad input."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import struct
import sys
import termios
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.client.shell import ENTRY, Shell
from tests.devpi import ROOT_PASSWORD, DevpiServer, PlainServer
from tests.live import Live
from tests.processes import Result, Running
from tests.surroundings import clean_environment

pytestmark = pytest.mark.functional
COMMANDS = ("pin", "unpin", "list", "build", "log", "freeze", "check")


def one_line(result: Result, *expected: str) -> None:
    """The command has failed, and said so in one line that has all of `expected`."""
    assert result.returncode == 1, result.output
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1, result.stderr
    assert "Traceback" not in result.stderr
    for text in expected:
        assert text in result.stderr


# pin, unpin


def test_pin__shows_asks_and_stores_in_one_request(live: Live, index: str, shell: Shell) -> None:
    fork = live.host.fork("same-version-two-commits")
    old, new = fork.commits
    file = shell.write("a.txt", live.host.pin(fork, commit=old) + "\n")
    unasked = shell.forks("pin", "-r", "a.txt")
    assert unasked.returncode == 1
    assert "there is no terminal to ask on, so use --yes" in unasked.stderr
    assert live.states(index, "") == []

    shell.forks("pin", "-r", "a.txt", "--dry-run").check()
    assert live.states(index, "") == []

    assert re.search(
        rf"^new +{fork.project} +1.0.2 +{old[:7]}", shell.forks("-y", "pin", "-r", "a.txt").check().stdout, re.MULTILINE
    )
    serial = live.server.serial()
    same = shell.forks("pin", "-r", "a.txt", "--yes").check()
    assert "unchanged" in same.stdout
    assert "nothing to change" in same.stdout
    assert live.server.serial() == serial

    file.write_text(live.host.pin(fork, commit=new) + "\n" + live.host.pin(live.host.fork("inline")) + "\n")
    moved = json.loads(shell.forks("pin", "-r", "a.txt", "--yes", "--json").check().stdout)
    assert [change["change"] for change in moved["changes"]] == ["moved", "new"]
    assert moved["changes"][0]["before"]["commit"] == old
    assert moved["stored"] is True
    assert live.server.serial() == serial + 1
    assert {state["commit"] for state in live.states(index, "")} >= {new}


def test_pin__with_the_users_own_git(live: Live, index: str, shell: Shell) -> None:
    fork = live.host.fork("inline", tag="v1")
    (shell.home / "gitconfig").write_text(
        f'[url "{live.host.git.url}/"]\n\tinsteadOf = ssh://git@git.example.com/\n'
        '[credential]\n\thelper = "!f() { test $1 = get && echo username=me && echo password=secret-word; }; f"\n'
    )
    live.host.git.require_login(fork.name, "me", "secret-word")
    line = f"git+git@git.example.com:{fork.name}.git@v1#egg=inline"
    result = shell.forks("pin", line, "--yes", GIT_CONFIG_GLOBAL=str(shell.home / "gitconfig")).check()
    assert "scp's form" in result.stderr
    assert "secret-word" not in result.output
    (state,) = live.states(index, "inline")
    assert (state["url"], state["commit"]) == (f"ssh://git@git.example.com/{fork.name}.git", fork.commit)


def test_pin__repositories_are_asked_at_the_same_time(live: Live, index: str, shell: Shell) -> None:
    forks = [live.host.fork("inline", tag="v1") for _ in range(4)]
    gates = [live.host.git.hold(fork.name) for fork in forks]
    lines = [f"git+{live.host.git.repository_url(fork.name)}@v1#egg=p{n}" for n, fork in enumerate(forks)]
    running = shell.start("forks", "pin", *lines, "--yes")
    for gate in gates:
        gate.wait_until_reached()
    for gate in gates:
        gate.open()
    running.wait(60).check()
    assert len(live.states(index, "")) == 4


def test_pin__one_repository_is_unreachable(live: Live, index: str, shell: Shell) -> None:
    fork, gone = live.host.fork("inline", tag="v1"), live.host.fork("inline")
    live.host.git.hide(gone.name)
    url = live.host.git.repository_url
    shell.write("a.txt", f"git+{url(fork.name)}@v1#egg=inline\ngit+{url(gone.name)}@v1#egg=gone\n")
    result = shell.forks("pin", "-r", "a.txt", "--yes")
    assert result.returncode == 1
    assert f"new     inline            {fork.commit[:7]}  v1" in result.stdout
    assert f"a.txt:2: {url(gone.name)} gave no answer" in result.stderr
    assert f"git ls-remote {url(gone.name)}" in result.stderr
    assert "nothing is stored" in result.stderr
    assert live.states(index, "") == []
    assert shell.forks("pin", "-r", "a.txt", "--yes", "--keep-going").returncode == 1
    assert [state["project"] for state in live.states(index, "")] == ["inline"]


def test_pin__refs_that_are_not_there_or_not_clear(live: Live, index: str, shell: Shell) -> None:  # noqa: ARG001  (index is in use)
    fork = live.host.fork("same-version-two-commits", tag="v1.0.2")
    live.host.repositories.git("update-ref", "refs/heads/v1.0.2", fork.commits[0], at=fork.path)
    live.host.repositories.git("update-ref", "refs/tags/v1.0.2", fork.commits[1], at=fork.path)
    url = live.host.git.repository_url(fork.name)
    lines = [f"git+{url}@{ref}#egg=x{n}" for n, ref in enumerate(("v1.0.2", "v1.0.22", "abcdef1", "nothing/of-it"))]
    result = shell.forks("pin", *lines, "--yes")
    assert result.returncode == 1
    assert "argument:1: 'v1.0.2' is refs/tags/v1.0.2 and refs/heads/v1.0.2, which differ" in result.stderr
    assert "argument:2: the repository has no branch or tag 'v1.0.22'" in result.stderr
    assert "did you mean 'v1.0.2'?" in result.stderr
    assert (
        "argument:3: 'abcdef1' is neither a branch nor a tag, nor the beginning of a commit that one has"
        in result.stderr
    )


def test_pin__what_the_server_refuses_is_told_line_by_line(live: Live, index: str, shell: Shell) -> None:
    commit = "a" * 40
    lines = [f"git+https://elsewhere.example.com/{name}.git@{commit}#egg={name}" for name in ("one", "two")]
    result = shell.forks("pin", *lines, "--yes")
    assert result.returncode == 1
    told = [line for line in result.stderr.splitlines() if "allows only" in line]
    assert [bool(re.search(f"egg={name}:", line)) for name, line in zip(("one", "two"), told, strict=True)] == [
        True
    ] * 2
    assert live.states(index, "") == []


def test_pin__build_and_wait(live: Live, index: str, shell: Shell) -> None:  # noqa: ARG001
    good, bad = live.host.fork("inline"), live.host.fork("fails")
    result = shell.forks("pin", live.host.pin(good), live.host.pin(bad), "--yes", "--build", "--wait")
    assert result.returncode == 1
    assert re.search(rf"^inline==1.0.2 \({good.commit[:7]}\): built", result.stdout, re.MULTILINE)
    assert "fails==1.0.2 failed: build, while building" in result.stderr
    assert "all of it: devpi forks log fails==1.0.2" in result.stderr


def test_unpin(live: Live, index: str, shell: Shell) -> None:
    forks = [live.host.fork("inline", project=name) for name in ("one", "two")]
    live.pin(index, *map(live.host.pin, forks))
    one_line(shell.forks("unpin", "onne", "--yes"), "does not pin onne", "Did you mean one?")
    one_line(shell.forks("unpin", "one==2.0", "--yes"), "does not pin one==2.0")
    assert "removed" in shell.forks("unpin", "ONE==1.0.2", "--yes").check().stdout
    assert [state["project"] for state in live.states(index, "")] == ["two"]


# list, build, log, freeze


def test_list__tables_json_and_what_failed(live: Live, index: str, shell: Shell) -> None:
    assert "has no pins" in shell.forks("list").check().stdout
    forks = [live.host.fork("inline"), live.host.fork("fails")]
    live.pin(index, *map(live.host.pin, forks))
    live.outcome(index, "inline")
    live.outcome(index, "fails")
    result = shell.forks("list").check()
    head, first, second, told = result.stdout.splitlines()
    assert head.split() == ["project", "version", "commit", "state", "age", "files"]
    assert re.fullmatch(rf"inline +1\.0\.2 +{forks[0].commit[:7]} +built +\d+ (s|min) +inline-1\.0\.2\+\S+\.whl", first)
    assert re.match(r"fails +1\.0\.2 +\S+ +failed", second)
    assert told.startswith("fails==1.0.2: build, while building: ")
    (state,) = json.loads(shell.forks("list", "Inline", "--json").check().stdout)
    assert state["files"][0]["sha256"]
    one_line(shell.forks("list", "other"), "does not pin other")


def test_build__exit_status_is_the_builds_result(live: Live, index: str, shell: Shell) -> None:
    live.pin(index, live.host.pin(live.host.fork("inline")), live.host.pin(live.host.fork("fails")))
    one_line(shell.forks("build"), "--all")
    assert shell.forks("build", "inline", "--wait").check().stdout.endswith(" s\n")
    failed = shell.forks("build", "fails", "--wait")
    assert failed.returncode == 1
    before = live.state(index, "fails")
    remembered = shell.forks("build", "fails")
    assert remembered.returncode == 1
    assert "--force --wait' tries again" in remembered.stderr
    assert live.state(index, "fails")["started_at"] == before["started_at"]
    forced = shell.forks("build", "fails", "--force", "--wait", "--json")
    assert forced.returncode == 1
    assert json.loads(forced.stdout)[0]["started_at"] > before["started_at"]


def test_build__survives_a_restart_of_the_server(
    devpi_server: Callable[..., DevpiServer], live: Live, shell: Shell
) -> None:
    own = Live(devpi_server(*live.host.allowed), live.host)
    fork = live.host.slow(1)
    index = own.index_of(fork)
    shell.use(own.server, index)
    gate = live.host.git.hold(fork.name)
    running = shell.start("forks", "build", "slow", "--wait")
    gate.wait_until_reached()
    own.server.kill()
    live.host.git.reset(fork.name)
    own.server.start()
    assert "slow==1.0.2" in running.wait(90).check().stdout


def test_log__whole_tail_and_follow(live: Live, index: str, shell: Shell) -> None:
    live.pin(index, live.host.pin(live.host.slow(2)), live.host.pin(live.host.fork("fails")))
    one_line(shell.forks("log", "slow"), "There is no log of slow==1.0.2", "devpi forks build slow==1.0.2")
    live.build(index, "slow").check()
    followed = shell.forks("log", "slow", "--follow").check()
    whole = shell.forks("log", "slow").check()
    assert followed.stdout == whole.stdout
    assert shell.forks("log", "slow", "--tail", "2").check().stdout.splitlines() == whole.stdout.splitlines()[-2:]
    live.build(index, "fails").check()
    failed = shell.forks("log", "fails", "--follow", "--json")
    assert failed.returncode == 1
    assert json.loads(failed.stdout)["state"] == "failed"
    live.build(index, "fails", force=True).check()
    again = shell.forks("log", "fails", "-f")
    assert again.stdout == shell.forks("log", "fails").check().stdout


def test_log__of_one_interpreters_build(live: Live, index: str, shell: Shell) -> None:
    own = f"{sys.version_info.major}.{sys.version_info.minor}"
    live.pin(index, live.host.pin(live.host.fork("fails")))
    live.build(index, "fails", python=own).check()
    live.wait_for(index, "fails")
    assert "its frobnicator is missing" in shell.forks("log", "fails", "--python", own).check().stdout
    followed = shell.forks("log", "fails", "--python", own, "--follow")
    assert followed.returncode == 1
    assert "its frobnicator is missing" in followed.stdout
    one_line(shell.forks("log", "fails", "--python", "3.2"), "There is no log of fails==1.0.2", "for Python 3.2")


def test_freeze__says_what_is_missing_and_what_differs(live: Live, index: str, shell: Shell) -> None:
    fork, second = live.host.fork("inline"), live.host.fork("same-version-two-commits")
    live.pin(index, live.host.pin(fork), live.host.pin(second))
    shell.write(
        "a.txt", f"{live.host.pin(second, commit=second.commits[0])}\ngit+{live.host.git.url}/x.git@v1#egg=nobody\n"
    )
    result = shell.forks("freeze", "-r", "a.txt", "--in-place")
    assert result.returncode == 1
    lines = result.stderr.splitlines()
    assert len(lines) == 2
    assert f"at {second.commit[:7]}, not at {second.commits[0][:7]}" in lines[0]
    assert "a.txt:2: nobody is not pinned on the index" in lines[1]
    live.outcome(index, "inline")
    partly = shell.forks("freeze")
    assert partly.returncode == 1
    assert "devpi forks build same-version-two-commits==1.0.2 --wait" in partly.stderr
    live.outcome(index, "same-version-two-commits")
    whole = shell.forks("freeze").check().stdout
    assert re.fullmatch(r"(\S+==1\.0\.2\+\S+ --hash=sha256:[0-9a-f]{64}\n){2}", whole)
    one_line(shell.forks("freeze", "-r", "uv.lock"), "uv.lock is written by its own tool", "--format pylock")


def test_pin__shows_the_repository_and_both_when_it_changes(live: Live, index: str, shell: Shell) -> None:
    one, other = live.host.fork("inline"), live.host.fork("inline")
    before, after = (live.host.git.repository_url(fork.name) for fork in (one, other))
    first = shell.forks("pin", live.host.pin(one), "--yes").check()
    assert re.search(rf"^new .* {before}$", first.stdout, re.MULTILINE)
    assert f"1 pin stored on {index}" in first.stdout
    assert "new pip refuses #egg=NAME==VERSION" in first.stderr
    second = shell.forks("pin", live.host.pin(other), "--yes").check()
    assert re.search(rf"^moved .* {before} -> {after}$", second.stdout, re.MULTILINE)
    assert after in shell.forks("list", "--wide").check().stdout
    assert other.commit in shell.forks("list", "--wide").check().stdout
    assert after not in shell.forks("list").check().stdout
    assert f"1 pin removed from {index}" in shell.forks("unpin", "inline", "--yes").check().stdout


def test_pin__names_come_from_the_repository(live: Live, index: str, shell: Shell) -> None:
    fork = live.host.fork("inline", files={"setup.cfg": "[metadata]\nname = Called-This\n"}, tag="v1")
    result = shell.forks("pin", f"git+{live.host.git.repository_url(fork.name)}@v1", "--yes").check()
    assert re.search(rf"^new +Called-This +{fork.commit[:7]} +v1 ", result.stdout, re.MULTILINE)
    assert "no project name: Called-This, as the repository says at commit" in result.stderr
    assert [state["project"] for state in live.states(index, "")] == ["Called-This"]


def test_pin__a_name_that_no_file_says_is_computed_by_the_server(live: Live, index: str, shell: Shell) -> None:
    fork = live.host.fork("inline")
    url = live.host.git.repository_url(fork.name)
    result = shell.forks("pin", f"git+{url}@{fork.commit}", "--yes").check()
    assert re.search(rf"^new +inline +{fork.commit[:7]} ", result.stdout, re.MULTILINE)
    assert "no project name: inline, computed by the build back end at commit" in result.stderr
    assert [state["project"] for state in live.states(index, "")] == ["inline"]
    failing = live.host.fork("fails")
    refused = shell.forks("pin", f"git+{live.host.git.repository_url(failing.name)}@{failing.commit}", "--yes")
    assert refused.returncode == 1
    assert "it cannot be computed: The fork's build ended with status" in refused.stderr
    assert "write NAME @ git+" in refused.stderr


def test_pin__upgrade_moves_to_the_newest_tag(live: Live, index: str, shell: Shell) -> None:
    fork = live.host.fork("same-version-two-commits", tag="v1.0.2")
    live.pin(index, live.host.pin(fork, commit=fork.commits[0]))
    shell.forks("pin", "--upgrade", fork.project, "--yes").check()
    (state,) = live.states(index, fork.project)
    assert (state["version"], state["commit"]) == ("1.0.2", fork.commits[0])
    live.host.repositories.tag(fork, "v1.0.3", fork.commits[1], annotated=True)
    moved = shell.forks("pin", "--upgrade", fork.project, "--yes").check()
    assert re.search(r"^version .* 1\.0\.2 -> 1\.0\.3 .*refs/tags/v1\.0\.3", moved.stdout, re.MULTILINE), moved.output
    (state,) = live.states(index, fork.project)
    assert (state["version"], state["commit"]) == ("1.0.3", fork.commits[1])
    assert shell.forks("pin", "--upgrade", "nobody", "--yes").returncode == 1


def test_pin__check_compares_files_and_index_and_stores_nothing(live: Live, index: str, shell: Shell) -> None:
    fork, other = live.host.fork("same-version-two-commits"), live.host.fork("inline")
    old, new = (live.host.pin(fork, commit=commit) for commit in fork.commits)
    shell.use(live.server, index, user=None)
    shell.devpi("logoff")
    file = shell.write("a.txt", old + "\n")
    assert shell.forks("pin", "-r", "a.txt", "--check").returncode == 1
    assert live.states(index, "") == []
    live.pin(index, old)
    same = shell.forks("pin", "-r", "a.txt", "--check").check()
    assert "has the pins of the files, and no others" in same.stdout
    file.write_text(new + "\n")
    assert shell.forks("pin", "-r", "a.txt", "--check").returncode == 1
    live.pin(index, new, live.host.pin(other))
    more = shell.forks("pin", "-r", "a.txt", "--check")
    assert more.returncode == 1
    assert f"inline 1.0.2 is pinned on {index} only" in more.stderr


def test_build__failed_ones_only(live: Live, index: str, shell: Shell) -> None:
    fails, good = live.host.fork("fails"), live.host.fork("inline")
    live.pin(index, live.host.pin(fails), live.host.pin(good))
    live.outcome(index, "fails")
    again = shell.forks("build", "--all", "--failed", "--wait")
    assert again.returncode == 1
    assert "fails==1.0.2 is built again; it failed: build" in again.stdout
    assert live.state(index, "inline")["state"] == "wanted"
    live.outcome(index, "inline")
    assert "no build has failed" in shell.forks("build", "inline", "--failed").check().stdout
    one_line(shell.forks("build"), "Name the projects to build, or give --all or --failed")


def test_freeze__a_failed_pin_says_why_and_where_to_look(live: Live, index: str, shell: Shell) -> None:
    fails = live.host.fork("fails")
    live.pin(index, live.host.pin(fails))
    live.outcome(index, "fails")
    shell.write("a.txt", live.host.pin(fails) + "\n")
    for arguments in (("-r", "a.txt"), (), ("--build", "-r", "a.txt")):
        one_line(
            shell.forks("freeze", *arguments),
            "fails==1.0.2 failed to build (build, while building: ",
            "'devpi forks log fails==1.0.2' shows why",
        )


# bad input


def test_bad__not_logged_in(live: Live, shell: Shell) -> None:
    index = live.index(live.host.pin(live.host.fork("inline")))
    shell.use(live.server, index, user=None)
    for arguments in (("pin", "git+https://h/x@v1#egg=x"), ("unpin", "inline"), ("build", "inline")):
        one_line(shell.forks(*arguments), "You are not logged in", "devpi login USER")
    assert "inline" in shell.forks("list").check().stdout


def test_bad__no_permission(live: Live, shell: Shell) -> None:
    index = live.index(live.host.pin(live.host.fork("inline")))
    live.server.create_user("guest")
    shell.use(live.server, index, "guest", "of-guest")
    one_line(shell.forks("build", "inline"), "User guest has no permission to build on")
    refused = shell.forks("unpin", "inline", "-y")
    assert refused.returncode == 1
    assert "no permission to change pins on" in refused.stderr
    assert live.state(index, "inline")


def test_bad__login_that_is_not_valid_any_more(live: Live, index: str, shell: Shell) -> None:
    live.pin(index, live.host.pin(live.host.fork("inline")))
    shell.spoil_login("root")
    one_line(shell.forks("build", "inline"), "The login of root is not valid any more", "devpi login root")


def test_bad__no_index_in_use(live: Live, shell: Shell) -> None:
    one_line(shell.forks("list"), "No index is in use", "devpi use")
    shell.devpi("use", live.server.url).check()
    one_line(shell.forks("list"), "No index is in use", "devpi use")


def test_bad__index_of_another_type_or_gone(live: Live, shell: Shell) -> None:
    index = live.index().replace("forks", "stage")
    live.create(index)
    shell.use(live.server, index)
    for arguments in (("list",), ("unpin", "x"), ("freeze",), ("log", "x"), ("build", "x")):
        one_line(shell.forks(*arguments), "is of type stage, not of type forkbuilder", "devpi index -c")
    live.server.api("DELETE", index, user="root").check()
    one_line(shell.forks("list"), f"There is no index {index}")


def test_bad__server_without_the_plugin(tmp_path: Path, devpi_templates: Callable[[bool], Path], shell: Shell) -> None:
    with PlainServer(tmp_path / "plain", template=devpi_templates(False)) as server:
        server.as_user("root", ROOT_PASSWORD)
        server.create_index("root/plain").check()
        shell.use(server, "root/plain")
        one_line(shell.forks("list"), "does not have the plugin devpi-forkbuilder", "devpi-forkbuilder[server]")
        one_line(shell.forks("unpin", "x"), "does not have the plugin devpi-forkbuilder")


def test_bad__server_down(devpi_server: Callable[..., DevpiServer], shell: Shell) -> None:
    server = devpi_server()
    server.as_user("root", ROOT_PASSWORD)
    server.create_index("root/forks", type="forkbuilder").check()
    shell.use(server, "root/forks")
    server.stop()
    one_line(shell.forks("list"), f"The server {server.url} cannot be reached", "devpi use")
    one_line(shell.forks("list", "--index", f"{server.url}/root/forks"), "could not connect")
    one_line(shell.forks("list", DEVPI_INDEX=f"{server.url}/root/forks"), "could not connect")
    shell.write("a.txt", f"git+https://git.example.com/x.git@{'a' * 40}#egg=x\n")
    shell.forks("check", "-r", "a.txt").check()


def test_bad__files(shell: Shell) -> None:
    result = shell.forks("check", "-r", "none.txt", "--json")
    assert result.returncode == 1
    assert json.loads(result.stdout)["faults"][0]["problem"] == "cannot be read (No such file or directory)"
    shell.write("a.txt", "ordinary==1.0\n-r missing.txt\ngit+https://git.example.com/x.git@v1#egg=x\n")
    strict = shell.forks("check", "-r", "a.txt", "--strict")
    assert strict.returncode == 1
    assert [line.partition(":")[2][:1] for line in strict.stderr.splitlines()] == ["2", "3"]


# surroundings


def test_index__may_be_named_with_the_command(live: Live, shell: Shell) -> None:
    index = live.index(live.host.pin(live.host.fork("inline")))
    shell.use(live.server, live.index())
    assert "inline" in shell.forks("list", "--index", index).check().stdout
    assert json.loads(shell.forks("list", "--json", DEVPI_INDEX=index).check().stdout)[0]["project"] == "inline"
    assert "has no pins" in shell.forks("list").check().stdout


def completed(shell: Shell, line: str) -> set[str]:
    """What the shell is offered after `line`."""
    to = shell.folder / "completions"
    words = {"_ARGCOMPLETE": "1", "COMP_LINE": line, "COMP_POINT": str(len(line)), "COMP_TYPE": "9"}
    shell.devpi(**words, _ARGCOMPLETE_STDOUT_FILENAME=str(to), _ARGCOMPLETE_IFS="\n")
    return {word.strip() for word in to.read_text().splitlines()}


def test_completion__of_projects_and_indexes(live: Live, index: str, shell: Shell) -> None:
    one, two = live.host.fork("inline"), live.host.fork("same-version-two-commits")
    old, new = (live.host.pin(two, commit=commit, version=f"1.{n}") for n, commit in enumerate(two.commits))
    live.pin(index, live.host.pin(one), old, new)
    assert completed(shell, "devpi forks log in") == {"inline"}
    assert completed(shell, "devpi forks unpin same") == {
        "same-version-two-commits==1.0",
        "same-version-two-commits==1.1",
    }
    other = live.index()
    assert {index, other} <= completed(shell, "devpi forks list --index root/")
    shell.devpi("use", "--delete")
    assert completed(shell, "devpi forks log in") == set()


@pytest.mark.parametrize("command", COMMANDS)
def test_help__has_examples(shell: Shell, command: str) -> None:
    text = shell.forks(command, "--help").check().stdout
    assert f"examples:\n  devpi forks {command}" in text
    assert "--json" in text


def test_terminal__colours_unless_no_color(live: Live, index: str, shell: Shell) -> None:
    live.pin(index, live.host.pin(live.host.fork("inline")))
    coloured = on_terminal(shell, "forks", "build", "inline", "--wait", TERM="xterm-256color")
    assert "\x1b[32mbuilt" in coloured
    assert "\x1b[3" not in on_terminal(shell, "forks", "list", TERM="xterm-256color", NO_COLOR="1")
    assert "\x1b[32mbuilt" in on_terminal(shell, "forks", "list", TERM="xterm-256color")


def on_terminal(shell: Shell, *arguments: str, **environment: str) -> str:
    """What the command writes to a terminal of 120 columns."""
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    with os.fdopen(its, "wb", buffering=0) as terminal:
        surroundings = clean_environment(shell.home, **environment)
        running = Running([sys.executable, "-c", ENTRY, *arguments], surroundings, shell.folder, terminal)
    written = b""
    try:
        while data := os.read(ours, 65536):
            written += data
    except OSError:  # Linux says so when the last writer has gone
        pass
    os.close(ours)
    running.wait(60).check()
    return written.decode()
