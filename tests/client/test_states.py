from __future__ import annotations

import json

import pytest

from devpi_forkbuilder.client.api_client import MESSAGES
from devpi_forkbuilder.client.commands.listing import age, pins_table
from devpi_forkbuilder.client.matching import matched, repository, unbuilt_lines
from devpi_forkbuilder.client.models import BuiltFile, ClientError, ForkState, Selector, selected
from devpi_forkbuilder.client.rewriting import rewrite
from devpi_forkbuilder.domain.requirements_files.freeze import FrozenRelease
from tests.client.test_refs import lines
from tests.client.told import A, B, told

URL = "https://h.example.com/r"


def state(**more: object) -> ForkState:
    return ForkState.read(told(**more))


def test_fork_state__reads_an_object_of_the_api():
    error = {"kind": "build", "stage": "building", "message": "no"}
    found = state(project="Some.Name", state="failed", error=error, log_url="http://x/log")
    assert (found.name, found.label, found.ended, found.has_log) == ("some-name", "Some.Name==1.0.2", True, True)
    assert found.error == "build, while building: no"
    assert json.loads(json.dumps(dict(found.raw)))["commit"] == A


def test_listing__names_the_worker_that_builds():
    (row,) = pins_table([state(state="building", worker="builder-1"), state(state="built", worker=None)][:1], 0.0).rows
    assert "building on builder-1" in row
    assert state(state="built", worker=None).shown == state(state="built").shown == "built"


def test_fork_state__is_never_half_read():
    for key in ("project", "version", "commit", "state", "files"):
        with pytest.raises(KeyError):
            ForkState.read({name: value for name, value in told().items() if name != key})


def test_fork_state__release_has_all_files_of_the_newest_version():
    files = [
        {"filename": "r-1.0.2-py3-none-any.whl", "sha256": "0" * 64},
        {"filename": "r-1.0.2+20260101000000.gaaaaaaaaaaaa-cp310-cp310-linux_x86_64.whl", "sha256": "1" * 64},
        {"filename": "r-1.0.2+20260101000000.gaaaaaaaaaaaa-cp312-cp312-linux_x86_64.whl", "sha256": "2" * 64},
        {"filename": "notes.txt", "sha256": "3" * 64},
    ]
    assert state(files=files).release == FrozenRelease("1.0.2+20260101000000.gaaaaaaaaaaaa", ("1" * 64, "2" * 64), "r")
    assert state().release is None
    assert str(BuiltFile("r-1.0.tar.gz", "").version) == "1.0"


def test_selected__by_name_and_version():
    states = (state(version="1.0"), state(version="2.0"), state(project="other", version=None))
    assert selected(states, ["R==1"]) == states[:1]
    assert selected(states, ["r", "other"]) == states
    with pytest.raises(ClientError, match=r"does not pin nobody\. 'devpi forks list'"):
        selected(states, ["nobody", "r"])
    with pytest.raises(ClientError, match=r"does not pin othr, other==1\.0\. Did you mean other\?"):
        selected(states, ["othr", "other==1.0"])
    with pytest.raises(ClientError, match="'x' in 'r==x' is not a version"):
        Selector.parse("r==x")


@pytest.mark.parametrize(
    ("seconds", "expected"), [(0, "0 s"), (59, "59 s"), (61, "1 min"), (7300, "2 h"), (200000, "2 d"), (-5, "0 s")]
)
def test_age__in_its_largest_unit(seconds, expected):
    assert age(1000.0, 1000.0 + seconds) == expected


def test_age__of_what_has_not_begun():
    assert age(None, 5) == ""


def test_messages__are_taken_apart_where_one_begins():
    joined = "forks: line 1: a, b, c: fix, forks: line 2: x, fork_build_env: line 1: y, forksome: no"
    assert MESSAGES.split(joined) == [
        "forks: line 1: a, b, c: fix",
        "forks: line 2: x",
        "fork_build_env: line 1: y, forksome: no",
    ]


FILE = [{"filename": "r-1.0.2-py3-none-any.whl", "sha256": "1" * 64}]
RELEASE = FrozenRelease("1.0.2", ("1" * 64,), "r")


@pytest.mark.parametrize(
    ("line", "states"),
    [
        (f"r@{A}#egg=r==1.0.2", [{}]),
        (f"r@{A}#egg=r", [{}]),
        (f"r@{A}#egg=r==1.0.2", [{"version": None}]),
        ("r@main#egg=r==1.0.2", [{}, {"version": "2.0", "commit": B}]),
        ("r@main#egg=r", [{"url": "ssh://git@h.example.com/r.git"}]),
        ("r@main#egg=r", [{"version": "2.0", "files": []}, {}]),
        (f"r@{A}", [{}]),
        ("r@main", [{"url": "https://h.example.com/other"}, {}]),
    ],
)
def test_matched__the_pin_that_stands_for_a_line(line, states):
    (git_line,) = lines(line)
    found, faults = matched([git_line], [state(**{"files": FILE, **one}) for one in states])
    assert not faults
    assert {line: one.release for line, one in found.items()} == {git_line: RELEASE}


@pytest.mark.parametrize(
    ("line", "states", "problem"),
    [
        ("r@main#egg=r", [], "r is not pinned on the index"),
        ("r@main#egg=r==3.0", [{}], "r 3.0 is not pinned on the index"),
        (f"r@{B}#egg=r", [{}], "the index pins r at aaaaaaa, not at bbbbbbb"),
        (
            "r@main#egg=r",
            [{}, {"version": "2.0", "commit": B}],
            "pins r 1.0.2 at aaaaaaa, 2.0 at bbbbbbb, and the line says neither version nor commit",
        ),
        ("r@main", [{"subdirectory": "d"}], "git+https://h.example.com/r is not pinned"),
        ("other/r@main#egg=r", [{}], f"the index pins r from {URL}"),
    ],
)
def test_matched__a_line_that_is_pinned_otherwise(line, states, problem):
    found, (fault,) = matched(lines(line), [state(**{"files": FILE, **one}) for one in states])
    assert found == {}
    assert problem in str(fault)


def test_repository__is_the_same_by_https_and_ssh():
    assert repository("ssh://git@H.example.com/o/r.git") == repository("https://h.example.com/o/r/")
    assert repository("https://h.example.com/o/r") != repository("https://h.example.com/o/R")


def test_rewrite__a_folder_that_takes_no_file(tmp_path):
    path = tmp_path / "gone" / "a.txt"
    with pytest.raises(ClientError) as caught:
        rewrite(path, "new")
    assert caught.value.reference == "file-not-written"
    assert f"{path} cannot be written (No such file or directory)" in caught.value.message


def test_rewrite__a_place_that_is_taken_by_something_else(tmp_path):
    path = tmp_path / "a.txt"
    path.mkdir()
    with pytest.raises(ClientError, match="cannot be written"):
        rewrite(path, "new")
    assert list(tmp_path.iterdir()) == [path]


def test_rewrite__keeps_mode_and_link_and_leaves_no_other_file(tmp_path):
    real, link = tmp_path / "real" / "a.txt", tmp_path / "a.txt"
    real.parent.mkdir()
    real.write_text("old")
    real.chmod(0o640)
    link.symlink_to(real)
    rewrite(link, "\ufeffnew\r\n")
    assert real.read_bytes() == "\ufeffnew\r\n".encode()
    assert real.stat().st_mode & 0o777 == 0o640
    assert link.is_symlink()
    assert [path.name for path in real.parent.iterdir()] == ["a.txt"]


def test_unbuilt_lines__each_failure_and_the_others_in_one():
    error = {"kind": "build", "stage": "building", "message": "no compiler"}
    failed = state(project="f", state="failed", error=error)
    one, two, three = (state(project=name) for name in ("a", "b", "c"))
    first, second = unbuilt_lines([one, failed, two, one, three])
    assert first.startswith("f==1.0.2 failed to build (build, while building: no compiler): 'devpi forks log f==1.0.2'")
    assert "'devpi forks build f==1.0.2 --force --wait' tries again" in first
    assert second == (
        "3 pins have no file on the index: a==1.0.2, b==1.0.2, c==1.0.2: 'devpi forks build --all --wait' builds them"
    )
    (alone,) = unbuilt_lines([one])
    assert alone == "a==1.0.2 has no file on the index (it is wanted): 'devpi forks build a==1.0.2 --wait' builds it"
    assert unbuilt_lines([]) == []
