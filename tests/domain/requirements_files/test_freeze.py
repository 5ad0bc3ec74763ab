from __future__ import annotations

import pytest
from hypothesis import given
from packaging.requirements import Requirement

from devpi_forkbuilder.domain.pins.pins import PinsRefusedError
from devpi_forkbuilder.domain.requirements_files.freeze import FrozenRelease, frozen
from devpi_forkbuilder.domain.requirements_files.requirements import RequirementsFile, read_file
from tests.domain.strategies import nearly, quick

GIT = "git+https://git.example.com/campus"
H1, H2 = "1" * 64, "2" * 64
STAMPED = "1.0+20261120103233.g1a2b3c4d5e6f"


def freeze(file: RequirementsFile, *hashes: str) -> str:
    return frozen(file, dict.fromkeys(file.git_lines, FrozenRelease(STAMPED, hashes or (H1,))))


def freeze_text(text: str, *hashes: str, constraint: bool = False) -> str:
    return freeze(read_file(text, "github.txt", constraint, environ={}), *hashes)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"{GIT}/r@v1#egg=r==1.0", f"r=={STAMPED} --hash=sha256:{H1}"),
        (f"-e {GIT}/r@v1#egg=r", f"r=={STAMPED} --hash=sha256:{H1}"),
        (f"R.r[x,y] @ {GIT}/r@v1", f"R.r[x,y]=={STAMPED} --hash=sha256:{H1}"),
        (f"r @ {GIT}/r ; python_version < '4'", f"r=={STAMPED} ; python_version < '4' --hash=sha256:{H1}"),
        (f"r @ {GIT}/r --hash=sha256:{H2}", f"r=={STAMPED} --hash=sha256:{H1}"),
        (f"  r @ {GIT}/r  # why\n", f"  r=={STAMPED} --hash=sha256:{H1}  # why\n"),
        (
            f"r @ {GIT}/r \\\n  ; python_version < '4'  # why",
            f"r=={STAMPED} ; python_version < '4' --hash=sha256:{H1}  # why",
        ),
        ("a==1\r\n-r b.txt\r\n", "a==1\r\n-r b.txt\r\n"),
    ],
)
def test_frozen__puts_the_release_in_place_of_the_git_line(text, expected):
    assert freeze_text(text) == expected


def test_frozen__keeps_everything_else_to_the_byte():
    text = f"\ufeff# top\r\na==1   # {GIT}/a\r\n\r\n-e {GIT}/r@v1#egg=r\t# one\r\n--pre\r\n{GIT}/s#egg=s\r\n# end"
    line = f"=={STAMPED} --hash=sha256:{H1}"
    assert freeze_text(text) == f"\ufeff# top\r\na==1   # {GIT}/a\r\n\r\nr{line}\t# one\r\n--pre\r\ns{line}\r\n# end"


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_frozen__writes_several_hashes_on_lines_of_their_own(newline):
    text = f"# a{newline}r @ {GIT}/r ; python_version < '4'  # why{newline}"
    assert freeze_text(text, H1, H2, H1) == newline.join(
        [
            "# a",
            f"r=={STAMPED} ; python_version < '4' \\",
            f"    --hash=sha256:{H1} \\",
            f"    --hash=sha256:{H2}  # why",
            "",
        ]
    )


def test_frozen__of_a_constraints_file_has_no_extras():
    assert freeze_text(f"r[x] @ {GIT}/r", constraint=True) == f"r=={STAMPED} --hash=sha256:{H1}"


def test_frozen__refuses_at_once_everything_that_has_no_release():
    file = read_file(f"{GIT}/x\nr @ {GIT}/r\ns @ {GIT}/s\nt @ {GIT}/t\nu @ {GIT}/u", "github.txt", environ={})
    _, r, s, t, _ = file.git_lines
    releases = {
        r: FrozenRelease("1.0", ()),
        s: FrozenRelease("1.0\n-r x", (H1,)),
        t: FrozenRelease("1.0", (H1, "nohash")),
    }
    with pytest.raises(PinsRefusedError) as refused:
        frozen(file, releases)
    assert [(fault.where, fault.line) for fault in refused.value.faults] == [
        ("github.txt", line) for line in range(1, 6)
    ]
    assert "devpi forks build r --wait" in refused.value.faults[1].fix
    assert "not a version" in refused.value.faults[2].problem


@quick
@given(nearly)
def test_frozen__again_changes_nothing(text):
    file = read_file(f"r @ {GIT}/r{text}", "github.txt", environ={})
    try:
        once = freeze(file, H1, H2)
    except PinsRefusedError:
        return
    again = read_file(once, "github.txt", environ={})
    assert (again.git_lines, str(again)) == ((), once)
    first = again.lines[0].text.partition(" \\")[0]
    assert Requirement(first).name == "r"
