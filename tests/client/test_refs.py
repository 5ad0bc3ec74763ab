from __future__ import annotations

import threading
from collections.abc import Callable, Iterable

import pytest

from devpi_forkbuilder.client.ref_names import commit_of, completed, names, patterns
from devpi_forkbuilder.client.requirement_files import read_arguments
from devpi_forkbuilder.client.resolve_refs import resolve_refs
from devpi_forkbuilder.errors import SourceError
from devpi_forkbuilder.pipeline.git.ls_remote import advertised, user_environment

A, B, C = "a" * 40, "b" * 40, "c" * 40
ABB = "abb" + "0" * 37
REFS = {
    "HEAD": A,
    "refs/heads/main": A,
    "refs/heads/both": A,
    "refs/tags/both": B,
    "refs/heads/same": A,
    "refs/tags/same": A,
    "refs/tags/v1": C,
    "refs/tags/v1^{}": B,
    "refs/pull/7/head": C,
    "refs/heads/x/y": ABB,
}


@pytest.mark.parametrize(
    ("ref", "expected"),
    [
        (None, A),
        ("HEAD", A),
        ("main", A),
        ("v1", B),
        ("tags/v1", B),
        ("refs/tags/v1", B),
        ("heads/both", A),
        ("refs/tags/both", B),
        ("same", A),
        ("pull/7/head", C),
        ("x/y", ABB),
        ("y", None),
        ("refs/heads/v1", None),
        ("other", None),
    ],
)
def test_commit_of__every_way_to_name_it(ref, expected):
    assert commit_of(ref, REFS) == expected


def test_commit_of__a_tag_and_a_branch_that_differ_are_told():
    problem, fix = commit_of("both", REFS)
    assert "refs/tags/both and refs/heads/both, which differ" in problem
    assert fix.startswith("write @refs/tags/both")


def test_commit_of__an_empty_repository_has_no_default_branch():
    assert commit_of(None, {}) is None
    assert "no default branch" in completed(None, {})[0]


@pytest.mark.parametrize(
    ("ref", "expected"),
    [("abb0", ABB), ("ABB0", ABB), ("bbbbbbb", B), ("ccccccc", C)],
)
def test_completed__an_abbreviated_commit_of_a_branch_or_tag(ref, expected):
    assert completed(ref, REFS) == expected


@pytest.mark.parametrize(
    ("ref", "problem", "fix"),
    [
        ("abcdef0", "neither a branch nor a tag, nor the begin", "git rev-parse"),
        ("mian", "no branch or tag 'mian'", "did you mean 'main'?"),
        ("quite-different", "no branch or tag", "write a commit, tag or branch"),
        ("abb", "no branch or tag 'abb'", ""),
    ],
)
def test_completed__what_is_not_there(ref, problem, fix):
    told = completed(ref, REFS)
    assert problem in told[0]
    assert fix in told[1]


def test_completed__several_commits_begin_so():
    assert (
        "is the beginning of several commits"
        in completed("abcd", {"refs/heads/a": "abcd" + A[4:], "refs/heads/b": "abcd" + B[4:]})[0]
    )


def test_completed__the_id_of_a_tag_object_is_no_commit():
    refs = {"refs/tags/v1": C, "refs/tags/v1^{}": B}
    assert "neither" in completed(C[:12], refs)[0]


def test_patterns__ask_for_peeled_tags():
    assert patterns("v1") == (
        *("refs/tags/v1", "refs/tags/v1^{}", "refs/heads/v1", "refs/heads/v1^{}", "refs/v1", "refs/v1^{}"),
    )
    assert names("refs/heads/x") == ("refs/heads/x",)


def test_advertised__takes_whole_lines_only():
    assert advertised(f"{A}\tHEAD\nwarning: something\n{B}\trefs/tags/v1^{{}}\nshort\trefs/x\n") == {
        "HEAD": A,
        "refs/tags/v1^{}": B,
    }


def test_user_environment__keeps_what_is_the_users():
    kept = {"HOME": "/h", "GIT_CONFIG_COUNT": "0", "GIT_SSH_COMMAND": "ssh -i k"}
    found = user_environment({**kept, "GIT_DIR": "/x", "GIT_INDEX_FILE": "i"})
    assert found == {**kept, "GIT_TERMINAL_PROMPT": "0"}


class Host:
    """Answers with `REFS`, for `gone` with an error; notes what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, url: str, wanted: Iterable[str], *, cancelled: Callable[[], bool]) -> dict[str, str]:
        assert not cancelled()
        self.asked.append(url)
        if "gone" in url:
            raise SourceError("repository-unreachable", "git said no.", next_step="Try: git ls-remote")
        return {name: REFS[name] for name in wanted if name in REFS} if "*" not in "".join(wanted) else REFS


def lines(*texts: str):
    found = read_arguments([f"git+https://h.example.com/{text}" for text in texts], {})
    assert not found.faults
    return found.git_lines


def test_resolve__keeps_order_and_asks_each_repository_once():
    host = Host()
    found = resolve_refs(lines("r@v1#egg=one", f"q@{C}#egg=two", "r@main#egg=three", "s#egg=four"), host)
    assert [(line.project, line.commit) for line in found.lines] == [("one", B), ("two", C), ("three", A), ("four", A)]
    assert not found.faults
    assert sorted(host.asked) == ["https://h.example.com/r", "https://h.example.com/s"]


def test_resolve__one_repository_that_is_gone_spoils_nothing_else():
    found = resolve_refs(lines("gone@v1#egg=one", "r@v1#egg=two", "r@mian#egg=three"), Host())
    assert [line.project for line in found.lines] == ["two"]
    assert [fault.line for fault in found.faults] == [1, 3]
    assert "https://h.example.com/gone gave no answer: git said no" in str(found.faults[0])
    assert "did you mean 'main'?" in str(found.faults[1])


def test_resolve__asks_nobody_when_all_is_known():
    host = Host()
    assert len(resolve_refs(lines(f"r@{A}#egg=one"), host).lines) == 1
    assert host.asked == []


def test_resolve__an_interruption_reaches_those_who_still_ask():
    asking, ended = threading.Event(), threading.Event()

    def ask(url: str, wanted: Iterable[str], *, cancelled: Callable[[], bool]) -> dict[str, str]:  # noqa: ARG001  (as Ask)
        if "first" in url:
            assert asking.wait(30)
            raise KeyboardInterrupt
        asking.set()
        while not cancelled():
            ended.wait(0.01)
        ended.set()
        return {}

    with pytest.raises(KeyboardInterrupt):
        resolve_refs(lines("first@v1#egg=one", "second@v1#egg=two"), ask)
    assert ended.is_set()
