from __future__ import annotations

from collections.abc import Callable, Iterable

from devpi_forkbuilder.client.identities import identify
from devpi_forkbuilder.client.requirement_files import read_arguments
from devpi_forkbuilder.errors import SourceError

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
