"""What lines of requirements files ask an index for."""

from __future__ import annotations

import pytest
from packaging.version import Version

from devpi_forkbuilder.domain.index_requirements import asked, git_requirement, hashes_of, left_out, releases_of
from devpi_forkbuilder.domain.requirements_files.requirements import RequirementsFile, read_file

COMMIT = "1a2b3c4d5e6f7a8b9c0d1a2b3c4d5e6f7a8b9c0d"
GIT = f"git+https://git.example.org/org/alpha.git@{COMMIT}#egg=alpha"
A, B = "a" * 64, "b" * 64


def file(*lines: str, constraint: bool = False) -> RequirementsFile:
    return read_file("\n".join(lines) + "\n", "r.txt", constraint, environ={})


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("requests==2.31  # why", "requests==2.31\n"),
        ("requests[socks]>=2 ; python_version < '4'", "requests[socks]>=2 ; python_version < '4'\n"),
        (f"requests==2.31 --hash=sha256:{A}", "requests==2.31\n"),
        (f"requests==2.31 \\\n    --hash=sha256:{A} \\\n    --hash=sha256:{B}", "requests==2.31\n"),
        (f"{GIT}==1.0.2", "alpha==1.0.2\n"),
        (GIT, "alpha\n"),
        (f"-e {GIT}==1.0.2", "alpha==1.0.2\n"),
        (
            "alpha[x] @ git+https://git.example.org/org/alpha.git@main ; python_version > '3'",
            "alpha[x] ; python_version > '3'\n",
        ),
        ("-r other.txt", ""),
        ("--index-url http://elsewhere/simple", ""),
        ("--extra-index-url=http://elsewhere/simple", ""),
        ("-i http://elsewhere/simple", ""),
        ("-f ./wheels", ""),
        ("--no-index", ""),
        ("--require-hashes", ""),
        ("-e .", ""),
        ("./local", ""),
        ("alpha @ https://elsewhere/alpha-1.0-py3-none-any.whl", ""),
        ("", ""),
        ("# nothing", ""),
    ],
)
def test_asked__of_the_index_alone(line: str, expected: str) -> None:
    assert asked(file(line)) == expected


def test_asked__without_what_failed() -> None:
    requirements = file(f"{GIT}==1.0.2", "requests")
    assert asked(requirements, requirements.git_lines) == "requests\n"


def test_asked__a_constraint_has_no_extras() -> None:
    line = "alpha[x] @ git+https://git.example.org/org/alpha.git@main"
    assert asked(file(line, constraint=True)) == "alpha\n"
    assert git_requirement(file(line).git_lines[0]) == "alpha[x]"


@pytest.mark.parametrize(
    ("line", "elsewhere"),
    [
        ("-e .", False),
        ("--editable=./sub", False),
        (".", False),
        (".[dev]", False),
        ("./sub", False),
        ("/abs/sub", False),
        ("sub/folder", False),
        ("wheels/a-1.0-py3-none-any.whl", False),
        ("a-1.0.tar.gz", False),
        ("file:///srv/a", False),
        ("a @ file:///srv/a", False),
        ("https://elsewhere/a-1.0.tar.gz", True),
        ("a[x, y] @ https://elsewhere/a-1.0.tar.gz", True),
        ("hg+https://elsewhere/a", True),
    ],
)
def test_left_out__what_comes_from_elsewhere(line: str, elsewhere: bool) -> None:
    (found,) = left_out([file(line)])
    assert found.elsewhere is elsewhere
    assert str(found).startswith("r.txt:1: ")


def test_left_out__options_that_change_what_is_installed_are_told() -> None:
    lines = ("--no-binary :all:", "--index-url http://x", "--require-hashes", "-c c.txt", "-f x", "--prefer-binary")
    (found,) = left_out([file(*lines, "requests", GIT)])
    assert found.text == "--no-binary :all:"


def test_left_out__no_password_is_told() -> None:
    (found,) = left_out([file("a @ https://me:secret@elsewhere/a-1.0.tar.gz")])
    assert "secret" not in str(found)


def test_hashes_of__by_normalized_name() -> None:
    lines = (f"My_Project==1 --hash=sha256:{A} --hash=sha256:{B.upper()}", f"other==1 --hash=md5:{A}", "third")
    assert hashes_of([file(*lines), file(f"my-project==2 --hash sha256:{'c' * 64}")]) == {
        "my-project": frozenset({A, B, "c" * 64})
    }


def test_releases_of__what_a_resolver_writes() -> None:
    text = (
        "# c\nAlpha_x==1.0+2026.gabc\n\nbeta==2 ; python_version < '4'\n    # via x\ngamma @ https://x\n-e .\nodd==x?\n"
    )
    found = [(one.name, one.version) for one in releases_of(text)]
    assert found == [("alpha-x", Version("1.0+2026.gabc")), ("beta", Version("2"))]
