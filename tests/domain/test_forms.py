"""Lines that pip takes, in forms that ten years of requirements files have."""

from __future__ import annotations

import pytest

from devpi_forkbuilder.domain.pins.pins import PinsRefusedError
from devpi_forkbuilder.domain.requirements_files.archive_urls import read_archive_url
from devpi_forkbuilder.domain.requirements_files.locks.pdmlock import read_pdmlock
from devpi_forkbuilder.domain.requirements_files.locks.pipfile import read_pipfile
from devpi_forkbuilder.domain.requirements_files.locks.pipfilelock import read_pipfilelock
from devpi_forkbuilder.domain.requirements_files.locks.poetrylock import read_poetrylock
from devpi_forkbuilder.domain.requirements_files.locks.pylock import read_pylock
from devpi_forkbuilder.domain.requirements_files.locks.pyproject import read_pyproject
from devpi_forkbuilder.domain.requirements_files.locks.readers import reader_for
from devpi_forkbuilder.domain.requirements_files.locks.uvlock import read_uvlock
from devpi_forkbuilder.domain.requirements_files.requirements import contradicting, pins_of, read_requirements
from tests.domain.requirements_files.test_requirements import HOST, A, B, faults, one, read
from tests.platform_file import ENVIRON, FILES, made_up_commits, platform_files

ZIP = f"https://github.com/o/n/archive/{A}.zip"


def test_platform_file__every_form_is_read_and_printed_back():
    texts = platform_files(made_up_commits())
    found = read_requirements(texts["platform.txt"], "platform.txt", lambda name, _: texts[name], ENVIRON)
    assert found.faults == ()
    assert [(file.name, str(file)) for file in found.files] == [(name, texts[name]) for name in FILES]
    assert len(found.git_lines) == 32
    assert [line.url.rpartition("/")[2] for line in found.git_lines if line.nameless] == [
        *("modern.git", "staticfiles.git", "monorepo.git", "drag-and-drop.git"),
    ]
    assert {line.label: line.subdirectory for line in found.git_lines if line.subdirectory} == {
        "git+https://git.example.com/monorepo.git": "packages/nested",
        "safe": "packages/safe",
    }
    assert [line.project for line in contradicting(found.git_lines)] == ["lti-consumer", "lti-consumer"]
    assert sum(line.commit is None for line in found.git_lines) == 8
    assert sum(line.old_egg for line in found.git_lines) == 7
    assert "git+" not in "".join(str(line) for file in found.files for line in file.lines if line.git is None).replace(
        "# ", ""
    )


# no name


def test_nameless__is_read_and_is_a_fault_for_what_needs_pins():
    line = one(f"git+{HOST}/r.git@{A}")
    assert (line.project, line.nameless, line.label, line.commit) == ("", True, f"git+{HOST}/r.git", A)
    with pytest.raises(PinsRefusedError) as refused:
        pins_of(read(f"git+{HOST}/r.git@{A}#subdirectory=d/\ngit+{HOST}/??@{B}"))
    first = next(str(fault) for fault in refused.value.faults if fault.line == 1)
    assert "no project name" in first
    assert "add #egg=r (the name the project is published under)&subdirectory=d" in first
    assert "'devpi forks pin -r req/github.txt' reads it from the repository" in first


def test_nameless__keeps_the_faults_of_the_rest():
    assert "user info" in faults(f"git+https://me:hunter2@h.example.com/o/r@{A}")[0]


# folders


@pytest.mark.parametrize(
    ("folder", "expected"),
    [("dir/", "dir"), ("./dir", "dir"), ("././a/b//", "a/b"), (".", None), ("./", None), ("", None), ("dir/.", "dir")],
)
def test_subdirectory__as_pip_reads_it(folder, expected):
    assert one(f"git+{HOST}/r@{A}#egg=r&subdirectory={folder}").subdirectory == expected
    assert one(f"git+{HOST}/r@{A}#subdirectory={folder}&egg=r").subdirectory == expected
    source = f'[tool.uv.sources]\nr = {{ git = "{HOST}/r", rev = "{A}", subdirectory = "{folder}" }}\n'
    (line,) = read_pyproject(source, "pyproject.toml").git_lines
    assert line.subdirectory == expected


@pytest.mark.parametrize("folder", ["../x", "/x", "a/../b", "a//b", "./../x/", "..", "../"])
def test_subdirectory__that_leads_out_stays_refused(folder):
    assert "not a plain relative path" in faults(f"git+{HOST}/r@{A}#egg=r&subdirectory={folder}")[0]


# one project at two commits


def test_markers__two_versions_are_two_pins():
    found = read(
        f"git+{HOST}/r@{A}#egg=r==1 ; python_version < '3.8'\ngit+{HOST}/r@{B}#egg=r==2 ; python_version >= '3.8'"
    )
    assert [(pin.version, pin.commit) for pin in pins_of(found)] == [("1", A), ("2", B)]
    assert contradicting(found.git_lines) == ()


def test_markers__one_version_says_what_to_write():
    text = f"r @ git+{HOST}/r@{A} ; python_version < '3.8'\nr @ git+{HOST}/r@{B} ; python_version >= '3.8'"
    found = read(text)
    assert [line.commit for line in contradicting(found.git_lines)] == [A, B]
    with pytest.raises(PinsRefusedError) as refused:
        pins_of(found)
    (fault,) = refused.value.faults
    assert f"git+{HOST}/r@bbbbbbb...#egg=r==VERSION ; python_version >= '3.8'" in fault.fix
    assert contradicting(read(f"r @ git+{HOST}/r@{A}\nr @ git+{HOST}/r@{A} ; python_version < '3'").git_lines) == ()


# rare forms


@pytest.mark.parametrize(
    ("text", "expected", "note"),
    [
        (f"git+{HOST}/r@v1#egg=r>=1.0,<2", {"project": "r", "version": None}, "is a range"),
        (f"git+{HOST}/r@v1#egg=r~=1.0", {"project": "r", "version": None}, "is a range"),
        ("git+https://git@h.example.com/o/r@v1#egg=r", {"url": "https://h.example.com/o/r"}, "git@ means nothing"),
        (
            "git+git://github.com/o/r.git@v1#egg=r",
            {"url": "https://github.com/o/r.git", "ref": "v1"},
            "github.com serves https only",
        ),
        ("-e git://github.com/o/r.git@v1#egg=r", {"url": "https://github.com/o/r.git"}, "serves https only"),
        ("git+http://gitlab.com/g/s/r@v1#egg=r", {"url": "https://gitlab.com/g/s/r"}, "serves https only"),
    ],
)
def test_rare_forms__are_read_with_a_note(text, expected, note):
    line = one(text)
    assert {key: getattr(line, key) for key in expected} == expected
    assert [True for told in line.notes if note in told] == [True], line.notes


@pytest.mark.parametrize(
    "text",
    [
        f"git+https://git:hunter2@h.example.com/o/r@{A}#egg=r",
        f"git+https://gitx@h.example.com/o/r@{A}#egg=r",
        f"git+http://h.example.com/o/r@{A}#egg=r >=1",
        f"git+git://h.example.com/o/r@{A}#egg=r",
    ],
)
def test_rare_forms__what_looks_like_them_stays_refused(text):
    assert "hunter2" not in "".join(faults(text))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"git+{HOST}/r@{A}#egg=r==1", True),
        (f"git+{HOST}/r@{A}#subdirectory=d&egg=r[x]==1", True),
        (f"git+{HOST}/r@{A}#egg=r", False),
        (f"r @ git+{HOST}/r@{A} ; python_version == '3'", False),
        (f"git+{HOST}/r@{A}#egg=r ; python_version == '3'", False),
    ],
)
def test_old_egg__is_known(text, expected):
    assert one(text).old_egg is expected


# archives


@pytest.mark.parametrize(
    ("text", "url", "ref"),
    [
        (ZIP, "https://github.com/o/n.git", A),
        (f"https://github.com/o/n/archive/{A}.tar.gz", "https://github.com/o/n.git", A),
        ("https://github.com/o/n/archive/refs/tags/v1.0.2.zip", "https://github.com/o/n.git", "refs/tags/v1.0.2"),
        ("https://github.com/o/n/archive/v1.0.tar.gz", "https://github.com/o/n.git", "v1.0"),
        (f"https://github.com/o/n/zipball/{A}", "https://github.com/o/n.git", A),
        ("https://github.com/o/n/tarball/main", "https://github.com/o/n.git", "main"),
        (f"https://codeload.github.com/o/n/zip/{A}", "https://github.com/o/n.git", A),
        ("https://codeload.github.com/o/n/tar.gz/refs/heads/x/y", "https://github.com/o/n.git", "refs/heads/x/y"),
        (f"https://gitlab.com/g/s/n/-/archive/{A}/n-{A}.zip", "https://gitlab.com/g/s/n.git", A),
        (f"https://git.our.example/g/s/n/-/archive/{A}/n.tar.bz2", "https://git.our.example/g/s/n.git", A),
        (f"https://bitbucket.org/o/n/get/{A}.zip", "https://bitbucket.org/o/n.git", A),
        ("https://codeberg.org/o/n/archive/v1.tar.gz", "https://codeberg.org/o/n.git", "v1"),
        (f"http://gitea.our.example:3000/o/n/archive/{A}.tar.gz", "http://gitea.our.example:3000/o/n.git", A),
    ],
)
def test_archive_url__names_repository_and_commit(text, url, ref):
    found = read_archive_url(text)
    assert found is not None
    assert (found.url, found.ref) == (url, ref)
    line = one(f"n @ {text}")
    assert (line.url, line.ref) == (url, ref)
    assert "goes past the index" in line.notes[0]


@pytest.mark.parametrize(
    "text",
    [
        "https://h.example.com/o/n/archive/v1.zip",
        "https://github.com/o/n/releases/download/v1/n-1.0-py3-none-any.whl",
        "https://github.com/o/n/raw/main/n.zip",
        f"https://h.example.com/archive/{A}.zip",
        f"https://h.example.com/o/n/archive/{A}.zip?token=x",
        f"https://me:pw@github.com/o/n/archive/{A}.zip",
        f"ftp://github.com/o/n/archive/{A}.zip",
        "https://[github.com/o/n/archive/x.zip",
        f"https://github.com/o/n/archive/{A}.whl",
    ],
)
def test_archive_url__anything_else_is_an_ordinary_file(text):
    assert read_archive_url(text) is None
    found = read(f"n @ {text}\n{text}")
    assert (found.git_lines, found.faults) == ((), ())


def test_archive_line__with_name_hash_marker_and_variable():
    line = one(
        f"https://${{T}}@github.com/o/n/archive/{A}.zip#egg=n==1.0&sha256=00 ; python_version >= '3' --hash=sha256:0"
    )
    assert (line.project, line.version, line.marker, line.commit) == ("n", "1.0", "python_version >= '3'", A)
    assert any("sha256 of an archive left out" in note for note in line.notes)
    assert one(ZIP).nameless
    assert read("https://${T}@h.example.com/x.whl").faults == ()


@pytest.mark.parametrize(
    ("reader", "text"),
    [
        (read_uvlock, f'[[package]]\nname = "n"\nversion = "1"\nsource = {{ url = "{ZIP}" }}\n'),
        (read_poetrylock, f'[[package]]\nname = "n"\nversion = "1"\n[package.source]\ntype = "url"\nurl = "{ZIP}"\n'),
        (read_pylock, f'[[packages]]\nname = "n"\nversion = "1"\n[packages.archive]\nurl = "{ZIP}"\n'),
        (read_pipfilelock, f'{{"default": {{"n": {{"file": "{ZIP}", "version": "==1"}}}}}}'),
        (read_pdmlock, f'[[package]]\nname = "n"\nversion = "1"\nurl = "{ZIP}"\n'),
        (read_pipfile, f'[packages]\nn = {{ file = "{ZIP}", version = "==1" }}\n'),
        (read_pyproject, f'[project]\nname = "x"\ndependencies = ["n @ {ZIP}#egg=n==1"]\n'),
    ],
)
def test_archive__in_every_lock_file(reader, text):
    found = reader(text, "lock")
    assert found.faults == ()
    (line,) = found.git_lines
    assert (line.project, line.version, line.url, line.commit) == ("n", "1", "https://github.com/o/n.git", A)
    plain = reader(text.replace(ZIP, "https://h.example.com/n-1.tar.gz"), "lock")
    assert (plain.git_lines, plain.faults) == ((), ())


# files that nobody saw

PIPFILE = f"""\
[[source]]
url = "https://index.example.com/simple"
[packages]
ordinary = "*"
wiki = {{git = "{HOST}/wiki.git", ref = "{A}", editable = true, extras = ["fast"]}}
old = {{git = "{HOST}/old.git", ref = "v1", python_version = "< '3'", markers = "os_name == 'posix'"}}
[docs]
part = {{git = "{HOST}/mono.git", ref = "{B}", subdirectory = "part/"}}
[requires]
python_version = "3.11"
"""
PDM = f"""\
[metadata]
lock_version = "4.5.0"

[[package]]
name = "ordinary"
version = "1.0"

[[package]]
name = "wiki"
version = "1.0.2"
git = "{HOST}/wiki.git"
ref = "main"
revision = "{A}"
subdirectory = "d"
marker = "python_version >= '3'"
"""


def test_pipfile__is_read():
    reader = reader_for("x/Pipfile")
    assert reader is read_pipfile
    found = reader(PIPFILE, "Pipfile")
    assert found.faults == ()
    wiki, old, part = found.git_lines
    assert (wiki.project, wiki.commit, wiki.editable, wiki.extras, wiki.place.line) == ("wiki", A, True, ("fast",), 5)
    assert (old.ref, old.marker) == ("v1", "(os_name == 'posix') and python_version < '3'")
    assert (part.subdirectory, part.commit) == ("part", B)


def test_pdm_lock__is_read():
    found = read_pdmlock(PDM, "pdm.lock")
    assert found.faults == ()
    (line,) = found.git_lines
    assert (line.project, line.version, line.commit, line.subdirectory) == ("wiki", "1.0.2", A, "d")
    assert (line.marker, line.place.line) == ("python_version >= '3'", 9)
    assert reader_for("pdm.lock") is read_pdmlock


def test_pyproject__pdms_own_lists():
    text = f'[tool.pdm.dev-dependencies]\ndev = ["-e git+{HOST}/wiki.git@{A}#egg=wiki"]\n'
    (line,) = read_pyproject(text, "pyproject.toml").git_lines
    assert (line.project, line.editable) == ("wiki", True)


@pytest.mark.parametrize("name", ["setup.py", "a/setup.cfg", "environment.yml", "package.json", "x-1.0.whl"])
def test_other_files__are_refused_by_name(name):
    reader = reader_for(name)
    assert reader is not None
    (fault,) = reader("git+https://h/x", name).faults
    assert str(fault).startswith(f"{name}: not a file that git requirements are read from: name a requirements file")
    assert "pdm.lock" in fault.fix
