from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given

from devpi_forkbuilder.domain.pins.pins import Pin, PinsRefusedError
from devpi_forkbuilder.domain.requirements_files.gitlines import GitLine, plain_url, split_ref
from devpi_forkbuilder.domain.requirements_files.requirements import Requirements, pins_of, read_requirements
from tests.domain.strategies import nearly, quick

SAMPLES = Path(__file__).parents[1] / "samples"
HOST = "https://git.example.com/campus"
A = "a" * 40
B = "b" * 40


def read(text: str, files: dict[str, str] | None = None, **environ: str) -> Requirements:
    """The requirements of `text`, the file req/github.txt, with `files` beside it."""

    def include(name: str, _: str) -> str:
        if name not in (files or {}):
            raise FileNotFoundError(2, "No such file or directory", name)
        return (files or {})[name]

    return read_requirements(text, "req/github.txt", include, environ)


def one(text: str, **environ: str) -> GitLine:
    found = read(text, **environ)
    assert not found.faults, found.faults
    (line,) = found.git_lines
    return line


def faults(text: str, **environ: str) -> list[str]:
    found = read(text, **environ)
    assert not found.git_lines
    return [str(fault) for fault in found.faults]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"git+{HOST}/r.git@{A}#egg=r==1.0", {"project": "r", "version": "1.0", "ref": A, "commit": A}),
        (f"git+{HOST}/r.git@{A}#egg=r", {"version": None, "editable": False, "extras": ()}),
        (f"-e git+{HOST}/r.git@v1#egg=r", {"editable": True, "ref": "v1", "commit": None}),
        (f"-egit+{HOST}/r.git@v1#egg=r", {"editable": True, "url": f"{HOST}/r.git"}),
        (f"--editable git+{HOST}/r.git@v1#egg=r", {"editable": True}),
        (f"--editable=git+{HOST}/r.git@v1#egg=r", {"editable": True}),
        (f"-e 'git+{HOST}/r.git@v1#egg=r'", {"editable": True, "url": f"{HOST}/r.git"}),
        (f"git+{HOST}/r.git#egg=r", {"ref": None}),
        (f"git+{HOST}/r@feature/x#egg=r", {"url": f"{HOST}/r", "ref": "feature/x"}),
        (f"git+{HOST}/r@refs/pull/12/head#egg=r", {"ref": "refs/pull/12/head"}),
        ("git+https://h.example.com/@scope/r@v1#egg=r", {"url": "https://h.example.com/@scope/r", "ref": "v1"}),
        ("git+ssh://git@h.example.com:22/o/r@v1#egg=r", {"url": "ssh://git@h.example.com:22/o/r", "ref": "v1"}),
        ("git+ssh://git@h.example.com/o/r#egg=r", {"url": "ssh://git@h.example.com/o/r", "ref": None}),
        ("git+file:///srv/r@v1#egg=r", {"url": "file:///srv/r", "ref": "v1"}),
        (f"git+{HOST}/r@{A.upper()}#egg=r", {"commit": A}),
        (f"git+{HOST}/r@v1#egg=r&subdirectory=a/b", {"subdirectory": "a/b"}),
        (f"git+{HOST}/r@v1#subdirectory=a%2Fb&egg=r", {"subdirectory": "a/b", "project": "r"}),
        (f"git+{HOST}/r@v1#egg=r[x,y]==1.0", {"extras": ("x", "y"), "version": "1.0"}),
        (f"git+{HOST}/r@v1#egg=r%5Bx%5D", {"extras": ("x",), "project": "r"}),
        (f"git+{HOST}/r@v1#egg=r==0.1.0+edx.2", {"version": "0.1.0+edx.2"}),
        (f"r @ git+{HOST}/x@v1", {"project": "r", "url": f"{HOST}/x"}),
        (f"r@git+{HOST}/x@v1", {"project": "r"}),
        (f"R.r [x, y] @ git+{HOST}/x@v1#subdirectory=d", {"name": "r-r", "extras": ("x", "y"), "subdirectory": "d"}),
        (f"r @ git+{HOST}/x@v1#egg=R==1.0", {"project": "r", "version": "1.0"}),
        (f"r @ git+{HOST}/x@v1 ; python_version < '3'", {"marker": "python_version < '3'"}),
        (f"git+{HOST}/r@v1#egg=r; python_version < '3'", {"marker": "python_version < '3'"}),
        (f"git+{HOST}/r@v1#egg=r;python_version<'3'", {"marker": "python_version<'3'"}),
        (f"r @ git+{HOST}/x@v1 ; python_version < '3' --hash=sha256:{'0' * 64}", {"marker": "python_version < '3'"}),
        (f'r @ git+{HOST}/x@v1 --global-option="--x"', {"marker": None, "ref": "v1"}),
        (f"r @ git+{HOST}/x@v1 # why; not", {"comment": "# why; not", "marker": None}),
        (f"  r @ git+{HOST}/x@v1\t#why", {"comment": "#why", "ref": "v1"}),
    ],
)
def test_git_line__reads_every_form(text, expected):
    line = one(text)
    assert {key: getattr(line, key) for key in expected} == expected
    assert line.notes == ()


@pytest.mark.parametrize(
    ("text", "expected", "note"),
    [
        (f"git+{HOST}/r@{A}#edx-enterprise==3.30", {"project": "edx-enterprise", "version": "3.30"}, "has no egg="),
        (f"git+{HOST}/r@{A}#r", {"project": "r", "version": None}, "has no egg="),
        (f"git+{HOST}/r@{A}#r==1&subdirectory=d", {"version": "1", "subdirectory": "d"}, "has no egg="),
        (
            f"git+{HOST}/pystache_custom.git@{A}#egg=pystache_custom-dev",
            {"project": "pystache_custom"},
            "old setuptools",
        ),
        (f"git+{HOST}/r.git@{A}#egg=r-0.2.7-dev+edx", {"project": "r", "version": None}, "old setuptools"),
        (f"r==1.0 @ git+{HOST}/x@v1", {"project": "r", "version": "1.0"}, "no version"),
        (f"git+{HOST}/lettuce@{A}#egg=lettuce=1.8", {"project": "lettuce", "version": "1.8"}, "one '='"),
        (
            "git+git@h.example.com:o/r.git@v1#egg=r",
            {"url": "ssh://git@h.example.com/o/r.git", "ref": "v1"},
            "scp's form",
        ),
        ("git@h.example.com:o/r.git@v1#egg=r", {"url": "ssh://git@h.example.com/o/r.git", "ref": "v1"}, "scp's form"),
        ("r @ git+git@h.example.com:/o/r", {"url": "ssh://git@h.example.com/o/r", "ref": None}, "scp's form"),
        ("git+ssh://git@h.example.com:o/r@v1#egg=r", {"url": "ssh://git@h.example.com/o/r"}, "scp's form"),
        (
            "git+https://${T}@h.example.com/o/r@v1#egg=r",
            {"url": "https://h.example.com/o/r"},
            "user info from T left out",
        ),
        ("git+https://${U}:${P}@h.example.com/o/r#egg=r", {"url": "https://h.example.com/o/r"}, "user info from U, P"),
        ("git+https://x-token:${P}@h.example.com/o/r#egg=r", {"url": "https://h.example.com/o/r"}, "user info from P"),
    ],
)
def test_git_line__mends_what_is_plain_and_says_so(text, expected, note):
    line = one(text)
    assert {key: getattr(line, key) for key in expected} == expected
    assert len(line.notes) == 1
    assert note in line.notes[0]


def test_git_line__keeps_a_name_that_only_looks_like_an_old_egg():
    assert one(f"git+{HOST}/tools.git@{A}#egg=tools-core-dev").project == "tools-core-dev"
    assert one(f"pystache-dev @ git+{HOST}/pystache.git@{A}").project == "pystache-dev"


@pytest.mark.parametrize(
    ("text", "problem", "fix"),
    [
        (f"git+{HOST}/r@{A}#egg=r==0.0.5-edx", "'0.0.5-edx' is not a version", "write 0.0.5+edx"),
        (f"git+{HOST}/r@{A}#egg=r=1.8-support", "'1.8-support' is not a version", "write 1.8+support"),
        (f"git+{HOST}/r@{A}#egg=r===1", "is not a version", ""),
        (f"git+{HOST}/r@{A}#egg=r&branch=x", "unknown fragment key 'branch'", "only egg and subdirectory"),
        (f"git+{HOST}/r@{A}#egg=r&egg=s", "egg is given twice", "keep one"),
        (f"git+{HOST}/r@{A}#egg=r[x*y]", "'x*y' is not a valid extra", ""),
        (f"git+{HOST}/r@{A}#egg=r == 1.0", "something follows the URL", "NAME @ git+URL@COMMIT"),
        (f"git+{HOST}/r@{A}#egg=r ; python_versin < '3'", "is not an environment marker", "python_version"),
        (f"git+{HOST}/r@#egg=r", "nothing follows the @", "commit, tag or branch"),
        (f"git+{HOST}/r@--upload-pack=x#egg=r", "is not a commit, tag or branch", ""),
        (f"git+{HOST}/r@a..b#egg=r", "is not a commit, tag or branch", ""),
        (f"r>=1.0 @ git+{HOST}/r@v1", "'r>=1.0' is not a valid project name", ""),
        (f"r @ git+{HOST}/r@v1#egg=s", "name two projects", "before the @"),
        (f'"git+{HOST}/r@v1#egg=r" x', "a git URL in a form that pip does not read", "NAME @ git+URL@COMMIT"),
        (f"pip install git+{HOST}/r@v1", "a git URL in a form that pip does not read", ""),
        ("-e git://h.example.com/o/r#egg=r", "scheme 'git' is not known", "git+https"),
        (f"git+{HOST}/r@v1#egg=r&subdirectory=../x", "not a plain relative path", ""),
        (f"git+{HOST}/${{ORG}}/r@${{REF}}#egg=r", "environment variable ORG is not set", "set it"),
        ("git+https://user:hunter2@h.example.com/o/r@v1#egg=r", "user info", "--forkbuilder-credentials"),
        ("git+https://user:p/hunter2@h.example.com/o/r", "the URL cannot be parsed", "host and port"),
    ],
)
def test_git_line__says_what_is_wrong_with_file_and_line_and_mend(text, problem, fix):
    found = faults(f"# comment\n\n{text}\n")
    assert any(problem in fault and fix in fault for fault in found), found
    assert all(fault.startswith("req/github.txt:3: ") for fault in found)
    assert "hunter2" not in "".join(found)


@pytest.mark.parametrize(
    "text",
    [
        "django==4.2 # was git+https://h.example.com/o/django",
        "# git+https://h.example.com/o/r@v1#egg=r",
        "-e .",
        "-e ../other[x]",
        "./r-1.0.tar.gz",
        "r @ https://h.example.com/r-1.0-py3-none-any.whl",
        "https://h.example.com/r.whl",
        "hg+https://h.example.com/r#egg=r",
        "gitpython==3.1",
        "--index-url https://${TOKEN}@h.example.com/simple",
        "-f https://h.example.com/git/",
        "??? nonsense",
    ],
)
def test_requirements__leaves_ordinary_lines_alone(text):
    found = read(text)
    assert (found.git_lines, found.faults) == ((), ())
    assert str(found.files[0]) == text


def test_git_line__expands_variables_as_pip_does():
    line = one("git+https://h.example.com/${ORG}/r@${REF}#egg=r", ORG="campus", REF="v1")
    assert (line.url, line.ref) == ("https://h.example.com/campus/r", "v1")
    assert line.place.text == "git+https://h.example.com/${ORG}/r@${REF}#egg=r"
    assert one("git+https://h.example.com/$ORG/r@${ref}#egg=r".replace("$ORG", "x").replace("${ref}", "v1")).ref == "v1"


def test_git_line__keeps_a_variables_value_out_of_messages():
    found = faults("git+https://${A}h.example.com/o/r@v1#egg=r", A="u:hunter2@")
    assert "user info" in found[0]
    assert "hunter2" not in found[0]


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_git_line__knows_its_lines_and_its_place_in_the_file(newline):
    text = newline.join(
        [
            "\ufeff# top",
            f"  r[x] @ git+{HOST}/r@v1 \\",
            "     ; python_version < '4' \\",
            "  --hash=sha256:00  # why",
            "z==1",
            "",
        ]
    )
    line = one(text)
    assert (line.place.file, line.place.line, line.place.last) == ("req/github.txt", 2, 4)
    begin, end = line.place.span
    assert text[:begin] == f"\ufeff# top{newline}  "
    assert text[end:] == f"  # why{newline}z==1{newline}"
    assert (line.marker, line.comment) == ("python_version < '4'", "# why")


def test_git_line__in_the_first_line_stands_behind_the_byte_order_mark():
    assert one(f"\ufeffr @ git+{HOST}/r@v1").place.span == (1, 1 + len(f"r @ git+{HOST}/r@v1"))


def test_requirements__a_comment_line_ends_a_continuation():
    found = read(f"r @ git+{HOST}/r@v1 \\\n# note \\\nz==1\n")
    assert [line.number for line in found.files[0].lines] == [1, 3]
    assert found.git_lines[0].comment == "# note \\"


def test_requirements__a_continuation_at_the_end_of_the_file_is_no_fault():
    assert one(f"r @ git+{HOST}/r@v1 \\").ref == "v1"


def test_requirements__follow_includes_from_the_folder_of_the_including_file():
    files = {
        "req/base.txt": f"-r sub/deep.txt\nb @ git+{HOST}/b@{A}",
        "req/sub/deep.txt": f"--requirement=../base.txt\n-r ../github.txt\nc @ git+{HOST}/c@{A}",
        "constraints.txt": f"d @ git+{HOST}/d@{A}\n-r more.txt",
        "more.txt": "",
        "/etc/req.txt": "",
        "req/with space.txt": "",
    }
    text = (
        f"a @ git+{HOST}/a@{A}\n-r base.txt\n-rbase.txt\n--constraint ../constraints.txt # c\n-r /etc/req.txt\n"
        f"-r 'with space.txt'\ne @ git+{HOST}/e@{A}\n"
    )
    found = read(text, files)
    assert [file.name for file in found.files] == [
        "req/github.txt",
        "req/base.txt",
        "req/sub/deep.txt",
        "constraints.txt",
        "more.txt",
        "/etc/req.txt",
        "req/with space.txt",
    ]
    assert [file.constraint for file in found.files] == [False, False, False, True, True, False, False]
    assert [line.project for line in found.git_lines] == ["a", "e", "b", "c", "d"]
    assert found.git_lines[3].place.file == "req/sub/deep.txt"
    assert not found.faults


def test_requirements__an_include_that_cannot_be_read_is_a_fault_of_its_line():
    found = read(f"\n-r gone.txt\na @ git+{HOST}/a@{A}")
    (fault,) = found.faults
    assert str(fault).startswith(
        "req/github.txt:2: req/gone.txt cannot be read (No such file or directory): '-r gone.txt'"
    )
    assert len(found.git_lines) == 1


def test_requirements__includes_by_url_and_variable_reach_the_reader():
    asked = []
    read_requirements(
        "-r https://h.example.com/a.txt\n-c ${D}/c.txt", "x.txt", lambda *to: asked.append(to) or "", {"D": "d"}
    )
    assert sorted(asked) == [("d/c.txt", "x.txt"), ("https://h.example.com/a.txt", "x.txt")]


def test_pins_of__takes_full_commits():
    found = pins_of(read(f"-e git+{HOST}/r@{A.upper()}#egg=R[x]==1.0&subdirectory=d ; python_version < '3'\nz==1"))
    assert found == (Pin("R", f"{HOST}/r", A, "1.0", "d"),)


@pytest.mark.parametrize(
    ("ref", "problem"),
    [("", "no commit"), ("@v1", "'v1' is a branch or tag"), ("@1a2b3c4", "'1a2b3c4' is not a full commit id")],
)
def test_pins_of__says_how_to_pin_what_has_no_full_commit(ref, problem):
    with pytest.raises(PinsRefusedError) as refused:
        pins_of(read(f"\nr @ git+{HOST}/r{ref}"))
    (fault,) = refused.value.faults
    assert problem in fault.problem
    assert (fault.line, fault.where) == (2, "req/github.txt")
    assert "'devpi forks pin -r req/github.txt' resolves it" in fault.fix


def test_pins_of__raises_every_fault_of_every_file_at_once():
    files = {"req/b.txt": f"git+{HOST}/b@{A}\nc @ git+{HOST}/c@main"}
    with pytest.raises(PinsRefusedError) as refused:
        pins_of(read(f"-r b.txt\n-r gone.txt\na @ git+{HOST}/a\nd @ git+{HOST}/d@{A}\nd @ git+{HOST}/d@{B}\n", files))
    assert sorted((fault.where, fault.line) for fault in refused.value.faults) == [
        ("req/b.txt", 1),
        ("req/b.txt", 2),
        ("req/github.txt", 2),
        ("req/github.txt", 3),
        ("req/github.txt", 5),
    ]


def test_pins_of__a_project_twice_at_one_commit_is_one_pin():
    found = read(f"d @ git+{HOST}/d@{A}\nD @ git+{HOST}/d.git@{A}\nd @ git+{HOST}/d@{B}#egg=d==2")
    assert [(pin.project, pin.version) for pin in pins_of(found)] == [("d", None), ("d", "2")]


def test_pins_of__names_the_other_line_of_a_conflict():
    with pytest.raises(PinsRefusedError) as refused:
        pins_of(read(f"d @ git+{HOST}/d@{A}\nD @ git+{HOST}/d@{B}\n"))
    assert "D (no version) has another commit or subdirectory in req/github.txt:1" in str(refused.value)


def test_requirements__of_a_real_looking_file():
    text = (SAMPLES / "github.txt").read_text(encoding="utf-8")
    found = read_requirements(text, "github.txt", lambda *_: "", {"HIDDEN_TAG": "3.1"})
    assert found.faults == ()
    assert str(found.files[0]) == text
    assert len(found.git_lines) == 22
    noted = {line.project for line in found.git_lines if line.notes}
    assert noted == {"pystache_custom", "edx-enterprise", "private-tool", "other-tool", "hidden", "lettuce"}
    refs = {line.project: line.ref for line in found.git_lines}
    assert (refs["edx-proctoring"], refs["hidden"], refs["codejail"]) == ("refs/heads/release/2.0", "3.1", None)
    assert sum(line.commit is not None for line in found.git_lines) == 9


def test_split_ref__takes_the_last_at_of_the_path():
    assert split_ref("https://u@h/o/r") == ("https://u@h/o/r", None)
    assert split_ref("git@h:o/r") == ("git@h:o/r", None)
    assert split_ref("") == ("", None)


def test_plain_url__leaves_urls_alone():
    assert plain_url("git+ssh://git@h:22/o/r") == ("ssh://git@h:22/o/r", ())


@quick
@given(nearly)
def test_requirements__print_back_what_they_were_read_from(text):
    found = read(text, A="x")
    assert str(found.files[0]) == text
    end = 0
    for line in found.files[0].git_lines:
        begin, after = line.place.span
        assert end <= begin < after <= len(text)
        end = after


@quick
@given(nearly)
def test_pins_of__any_text_is_pins_or_is_refused(text):
    try:
        pins = pins_of(read(f"git+{HOST}/r@{A}#egg={text}\n{text}", A="x"))
    except PinsRefusedError:
        return
    assert [Pin.parse(str(pin)) for pin in pins] == list(pins)
