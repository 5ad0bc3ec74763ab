from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devpi_forkbuilder.domain.pins.pins import PinsRefusedError
from devpi_forkbuilder.domain.requirements_files.gitlines import GitLine
from devpi_forkbuilder.domain.requirements_files.locks.pipfilelock import read_pipfilelock
from devpi_forkbuilder.domain.requirements_files.locks.poetrylock import read_poetrylock
from devpi_forkbuilder.domain.requirements_files.locks.pylock import read_pylock
from devpi_forkbuilder.domain.requirements_files.locks.pyproject import read_pyproject
from devpi_forkbuilder.domain.requirements_files.locks.readers import reader_for
from devpi_forkbuilder.domain.requirements_files.locks.uvlock import read_uvlock
from devpi_forkbuilder.domain.requirements_files.requirements import Requirements, pins_of
from tests.domain.strategies import quick

SAMPLES = Path(__file__).parents[1] / "samples"
ALL = (read_pylock, read_uvlock, read_poetrylock, read_pipfilelock, read_pyproject)
WIKI = "https://git.example.com/campus/django-wiki.git"
DIRECT = "https://git.example.com/campus/direct.git"
DIRECT_COMMIT = "b95a884f831832a06508ca3665aa1d892d0a925a"
TOOL = "ssh://git@git.example.com/campus/private-tool"
TOOL_COMMIT = "8f0c1f5d1f6b3f4b2e6f64e5a1b8f3b0c7a9d2e1"
REPOSITORY = "https://h.example.com/o/r"
COMMIT = "98d3d1db48e529284949a25490e64336037de382"


def sample(name: str) -> Requirements:
    reader = reader_for(name)
    assert reader is not None
    return reader((SAMPLES / name).read_text(encoding="utf-8"), name)


def parts(line: GitLine) -> tuple[object, ...]:
    return line.place.line, line.project, line.version, line.url, line.ref, line.subdirectory


@pytest.mark.parametrize(
    ("name", "reader"),
    [
        ("pylock.toml", read_pylock),
        ("a/b/pylock.dev.toml", read_pylock),
        ("requirements.lock", None),
        ("uv.lock", read_uvlock),
        ("./poetry.lock", read_poetrylock),
        ("a\\Pipfile.lock", read_pipfilelock),
        ("pyproject.toml", read_pyproject),
        ("requirements.txt", None),
        ("my-uv.lock", None),
        ("", None),
    ],
)
def test_reader_for__goes_by_the_files_name(name, reader):
    assert reader_for(name) is reader


def test_uvlock__as_uv_writes_it():
    found = sample("uv.lock")
    assert found.faults == ()
    assert [parts(line) for line in found.git_lines] == [
        (29, "direct", "1.0.2", DIRECT, DIRECT_COMMIT, None),
        (34, "django-wiki-fork", "1.0.2", WIKI, COMMIT, None),
        (39, "edx-sub-pkg", "2.1.0", WIKI, COMMIT, "sub"),
        (52, "private-tool", "0.3.0", TOOL, TOOL_COMMIT, None),
    ]
    assert len(pins_of(found)) == 4


def test_pylock__as_uv_writes_it():
    found = sample("pylock.toml")
    assert found.faults == ()
    assert [parts(line) for line in found.git_lines] == [
        (8, "direct", "1.0.2", DIRECT, DIRECT_COMMIT, None),
        (13, "django-wiki-fork", "1.0.2", WIKI, COMMIT, None),
        (18, "edx-sub-pkg", "2.1.0", WIKI, COMMIT, "sub"),
    ]
    assert [line.marker for line in found.git_lines] == [None, None, "python_full_version < '4'"]


def test_pylock__as_poetry_and_pip_write_it():
    text = f"""
lock-version = "1.0"
[[packages]]
name = "bar"
[packages.vcs]
type = "git"
url = "{WIKI}"
requested-revision = "main"
commit-id = "{COMMIT}"
subdirectory = "a/b"
[[packages]]
name = "local"
vcs = {{ type = "git", path = "../local", commit-id = "{COMMIT}" }}
[[packages]]
name = "other"
vcs = {{ type = "hg", url = "https://hg.example.com/x", commit-id = "{COMMIT}" }}
"""
    found = read_pylock(text, "pylock.toml")
    assert [parts(line) for line in found.git_lines] == [(4, "bar", None, WIKI, COMMIT, "a/b")]
    (fault,) = found.faults
    assert (fault.where, fault.line) == ("pylock.toml", 12)
    assert "local path" in fault.problem


def test_poetrylock__as_poetry_writes_it():
    found = sample("poetry.lock")
    assert found.faults == ()
    assert [parts(line) for line in found.git_lines] == [
        (4, "django-wiki-fork", "1.0.2", WIKI, COMMIT, None),
        (20, "edx-sub-pkg", "2.1.0", WIKI, COMMIT, "sub"),
    ]
    assert [(line.marker, line.editable) for line in found.git_lines] == [(None, False), ('python_version < "4"', True)]


def test_poetrylock__takes_scp_urls_and_markers_for_each_group():
    text = f"""
[[package]]
name = "tool"
version = "1.0"
markers = {{ main = "python_version < '3'", dev = "python_version > '3'" }}
[package.source]
type = "git"
url = "git@git.example.com:campus/tool.git"
reference = "HEAD"
resolved_reference = "{COMMIT}"
[[package]]
name = "public"
version = "1.0"
[package.source]
type = "legacy"
url = "https://index.example.com/simple"
"""
    (line,) = read_poetrylock(text, "poetry.lock").git_lines
    assert (line.url, line.marker) == ("ssh://git@git.example.com/campus/tool.git", None)
    assert "scp's form" in line.notes[0]


def test_pipfilelock__as_pipenv_writes_it():
    found = sample("Pipfile.lock")
    assert found.faults == ()
    assert [parts(line) for line in found.git_lines] == [
        (17, "django-wiki-fork", None, WIKI, COMMIT, None),
        (33, "edx-sub-pkg", None, WIKI, COMMIT, "sub"),
    ]
    assert [(line.marker, line.editable) for line in found.git_lines] == [(None, True), ("python_version < '4'", False)]


def test_pipfilelock__reads_own_categories_and_extras():
    text = '{"_meta": {"git": {"git": "x"}}, "docs": {"r": {"git": "git+https://h.example.com/o/r", "extras": ["x"]}}}'
    (line,) = read_pipfilelock(text, "Pipfile.lock").git_lines
    assert (line.project, line.url, line.ref, line.extras) == ("r", "https://h.example.com/o/r", None, ("x",))


def test_pyproject__reads_direct_references_uv_sources_and_poetry():
    found = sample("pyproject.toml")
    assert found.faults == ()
    assert [(line.place.line, line.project, line.ref, line.subdirectory, line.marker) for line in found.git_lines] == [
        (13, "xblock-utils", "v4.0.0", None, "python_version >= '3.10'"),
        (17, "edx-proctoring", "release/2.0", None, None),
        (20, "direct", "v1.0.2", None, None),
        (24, "lazy", "e59bd1b1d1a7fe6c1d6a2a5c1a0fd5a7ecf4b1f8", None, None),
        (27, "django-wiki-fork", "v1.0.2", None, None),
        (28, "edx-sub-pkg", "feature/x", "sub", None),
        (30, "codejail", "6b17c33a89bef0ac510926b1d7fea2748b73aadd", None, "sys_platform == 'linux'"),
        (37, "event-tracking", "0.2.0", None, None),
        (38, "acid-xblock", "main", None, "python_version < '3.12'"),
        (44, "bok-choy", None, None, None),
    ]
    tracking = found.git_lines[7]
    assert (tracking.extras, tracking.editable, tracking.url) == (
        ("mongo",),
        True,
        "ssh://git@git.example.com/campus/event-tracking.git",
    )


@pytest.mark.parametrize(
    ("reader", "text", "problem"),
    [
        (
            read_uvlock,
            '[[package]]\nname = "r"\nsource = { git = "https://u:hunter2@h.example.com/r#main" }',
            "user info",
        ),
        (
            read_pylock,
            f'[[packages]]\nname = "-"\nvcs = {{ type = "git", url = "{REPOSITORY}" }}',
            "valid project name",
        ),
        (read_poetrylock, '[[package]]\nname = "r"\nsource = { type = "git" }', "scheme ''"),
        (read_pipfilelock, f'{{"default": {{\n"r": {{"git": "{REPOSITORY}", "ref": "--x"}}}}}}', "not a commit, tag"),
        (read_pyproject, '[project]\ndependencies = ["r @ git+https://h.example.com/o/${X}"]', "variable X"),
        (read_pyproject, f'[tool.uv.sources]\nr = {{ git = "{REPOSITORY}", subdirectory = "../x" }}', "relative path"),
    ],
)
def test_readers__say_what_is_wrong_and_where(reader, text, problem):
    found = reader(text, "some.lock")
    assert found.git_lines == ()
    assert any(problem in fault.problem for fault in found.faults), found.faults
    assert {(fault.where, fault.line) for fault in found.faults} == {("some.lock", 2)}
    with pytest.raises(PinsRefusedError) as refused:
        pins_of(found)
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("reader", ALL)
@pytest.mark.parametrize("text", ["\x00", "<<<<<<< HEAD\n", "[" * 5000, "{"])
def test_readers__a_file_of_another_format_is_one_fault(reader, text):
    assert len(reader(text, "x").faults) == 1


@pytest.mark.parametrize("reader", ALL)
def test_readers__an_empty_table_has_nothing(reader):
    assert reader("{}" if reader is read_pipfilelock else "\ufeff", "x") == Requirements()


keys = st.sampled_from(
    ("git", "name", "url", "ref", "source", "vcs", "type", "markers", "subdirectory", "version", "extras")
)
values = st.recursive(
    st.sampled_from(("git", "https://h.example.com/o/r?rev=1#2", "r", "")) | st.integers(0, 1) | st.booleans(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=6,
)


def as_toml(value: object) -> str:
    """`value` as a TOML inline value."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {as_toml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(as_toml, value)) + "]"
    return str(value).lower() if isinstance(value, bool) else repr(value)


@quick
@given(values)
def test_readers__take_values_of_any_type(value):
    inline = as_toml(value)
    for key in ("package", "packages"):
        for reader in (read_uvlock, read_pylock, read_poetrylock):
            reader(f"{key} = {inline}", "x")
            reader(f"[[{key}]]\nname = 'r'\nversion = {inline}\nsource = {inline}\nvcs = {inline}", "x")
    read_pyproject(
        f"[project]\ndependencies = {inline}\n[tool.uv]\nsources = {inline}\n[tool.poetry]\ngroup = {inline}", "x"
    )
    read_pipfilelock(f'{{"default": {inline.replace(" = ", ": ")}}}', "x")
