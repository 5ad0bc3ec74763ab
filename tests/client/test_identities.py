from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest

from devpi_forkbuilder.client.computed_names import LONGEST, computed_by
from devpi_forkbuilder.client.identities import identify
from devpi_forkbuilder.client.requirement_files import read_arguments
from devpi_forkbuilder.client.wait import WaitClock
from devpi_forkbuilder.domain.requirements_files.project_identity import Identity
from devpi_forkbuilder.errors import BuildError, SourceError
from devpi_forkbuilder.pipeline.protocols import CancelledError

A, B = "a" * 40, "b" * 40
HOST = "https://h.example.com"


class Host:
    """Repositories whose files depend on the commit; `gone` cannot be read."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []

    def __call__(self, url: str, commit: str, paths: Iterable[str], *, cancelled: Callable[[], bool]) -> dict[str, str]:
        assert not cancelled()
        self.asked.append((url, commit))
        if "gone" in url:
            raise SourceError("commit-unreadable", "git said no.", next_step="Look.")
        version = "1.0" if commit == A else "2.0"
        files = {
            "setup.cfg": f"[metadata]\nname = the-name\nversion = {version}\n",
            "sub/setup.py": "setup(name='sub')",
        }
        return {path: files[path] for path in paths if path in files} if "odd" not in url else {}


def read(*texts: str):
    found = read_arguments([*texts], {})
    assert not found.faults
    return found.git_lines


def test_identify__names_come_from_the_repository_and_its_folder():
    host = Host()
    lines = read(f"git+{HOST}/r@{A}", f"git+{HOST}/r@{A}#subdirectory=sub", f"git+{HOST}/r@{A} ; python_version>'3'")
    found = identify(lines, host)
    assert [line.project for line in found.lines] == ["the-name", "sub", "the-name"]
    assert found.lines[0].notes == ("no project name: the-name, as the repository says at commit aaaaaaa",)
    assert len(host.asked) == 2
    assert not found.faults


def test_identify__asks_nobody_for_what_is_written():
    host = Host()
    lines = read(f"a @ git+{HOST}/r@{A}", f"b @ git+{HOST}/r@{A}#egg=b==1")
    assert identify(lines, host).lines == lines
    assert host.asked == []


def test_identify__what_cannot_be_named_is_a_fault_with_a_line_to_write():
    found = identify(read(f"git+{HOST}/gone@{A}", f"git+{HOST}/odd@{A}", f"a @ git+{HOST}/r@{A}"), Host())
    assert [line.project for line in found.lines] == ["a"]
    gone, odd = map(str, found.faults)
    assert f"{HOST}/gone gave no answer: git said no" in gone
    assert f"write NAME @ git+{HOST}/odd@{A}" in odd


def test_identify__one_project_at_two_commits_gets_their_versions():
    texts = (f"r @ git+{HOST}/r@{A} ; python_version < '3.8'", f"r @ git+{HOST}/r@{B} ; python_version >= '3.8'")
    assert [line.version for line in identify(read(*texts), Host()).lines] == ["1.0", "2.0"]
    unmarked = [text.partition(" ;")[0] for text in texts]
    assert [line.version for line in identify(read(*unmarked), Host()).lines] == [None, None]
    odd = [text.replace("/r@", "/odd@") for text in texts]
    assert [line.version for line in identify(read(*odd), Host()).lines] == [None, None]


def test_identify__names_that_no_file_says_are_computed_and_only_those():
    asked = []

    def compute(url, commit, folder, *, cancelled):
        asked.append((url, folder))
        assert commit == A
        assert not cancelled()
        if folder:
            raise BuildError("hook-failed", "The back end failed.", next_step="Look.")
        return Identity("Computed", "3")

    lines = read(
        f"git+{HOST}/odd@{A}", f"git+{HOST}/r@{A}", f"git+{HOST}/odd@{A}#subdirectory=x", f"git+{HOST}/odd@{A}"
    )
    found = identify(lines, Host(), compute)
    assert [line.project for line in found.lines] == ["Computed", "the-name", "Computed"]
    assert found.lines[0].notes == ("no project name: Computed, computed by the build back end at commit aaaaaaa",)
    assert sorted(asked, key=str) == sorted([(f"{HOST}/odd", None), (f"{HOST}/odd", "x")], key=str)
    (fault,) = map(str, found.faults)
    assert "of x of commit aaaaaaa; it cannot be computed: The back end failed" in fault
    assert fault.endswith(f"write NAME @ git+{HOST}/odd@{A}")


class Answers:
    """A server that gives one answer after the other, the last one again and again."""

    def __init__(self, *answers: dict[str, object]) -> None:
        self.answers = list(answers)
        self.now = 0.0

    def identity(self, url: str, commit: str, subdirectory: str | None) -> dict[str, object]:
        assert (url, commit, subdirectory) == (HOST, A, None)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def compute(self, cancelled: Callable[[], bool] = lambda: False) -> Identity:
        clock = WaitClock(lambda: self.now, self.sleep, lambda: self.now)
        return computed_by(self, clock)(HOST, A, None, cancelled=cancelled)


def test_computed_by__asks_until_there_is_an_answer():
    server = Answers({"state": "computing"}, {"state": "computing"}, {"state": "known", "project": "x", "version": "1"})
    assert server.compute() == Identity("x", "1")
    assert server.now > 0
    error = {"reference": "hook-failed", "message": "No.", "next_step": ""}
    with pytest.raises(Exception, match="No\\."):
        Answers({"state": "failed", "error": error}).compute()


def test_computed_by__is_given_up_and_can_be_cancelled():
    server = Answers({"state": "computing"})
    with pytest.raises(CancelledError):
        server.compute(lambda: server.now > 3)
    assert server.now < 5
    with pytest.raises(Exception, match="no name for 900 s"):
        server.compute()
    assert server.now > LONGEST
