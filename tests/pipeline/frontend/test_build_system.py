"""What a project's build system is, and what is said when it is none."""

from __future__ import annotations

import pytest
from packaging.version import Version

from devpi_forkbuilder.errors import BuildError, Kind
from devpi_forkbuilder.pipeline.frontend.build_system import (
    LEGACY_BACKEND,
    BuildSystem,
    asks_for_nothing,
    judge_build_system,
    read_build_system,
)

IN_TREE = {"requires": [], "build-backend": "backend", "backend-path": ["."]}


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ({"requires": []}, BuildSystem((), LEGACY_BACKEND)),
        ({"requires": ["setuptools<58", "cython"]}, BuildSystem(("setuptools<58", "cython"), LEGACY_BACKEND)),
        (
            {"requires": ["hatchling"], "build-backend": "hatchling.build"},
            BuildSystem(("hatchling",), "hatchling.build"),
        ),
        (
            {"requires": ["numpy; python_version > '3.9'"], "build-backend": "a.b:c.d"},
            BuildSystem(("numpy; python_version > '3.9'",), "a.b:c.d"),
        ),
        (IN_TREE, BuildSystem((), "backend", (".",))),
        ({"requires": [], "backend-path": []}, BuildSystem((), LEGACY_BACKEND)),
    ],
)
def test_judge__valid(table, expected):
    assert judge_build_system(table) == expected


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ([], "build-system is not a table"),
        ("setuptools", "build-system is not a table"),
        ({}, "requires is missing"),
        ({"build-backend": "x"}, "requires is missing"),
        ({"requires": "setuptools"}, "requires is not a list of strings"),
        ({"requires": ["a", 1]}, "requires is not a list of strings"),
        (
            {"requires": ["--index-url=https://elsewhere"]},
            "'--index-url=https://elsewhere', which is not a requirement",
        ),
        ({"requires": ["-r ../../secrets"]}, "which is not a requirement"),
        ({"requires": ["a\n--pre"]}, "which is not a requirement"),
        ({"requires": [], "build-backend": 3}, "build-backend is not a string"),
        ({"requires": [], "build-backend": "a b"}, "'a b' is not 'module' or 'module:object'"),
        ({"requires": [], "build-backend": ""}, "is not 'module' or 'module:object'"),
        ({"requires": [], "build-backend": "a\n"}, "is not 'module' or 'module:object'"),
        ({"requires": [], "build-backend": "a", "backend-path": "."}, "backend-path is not a list of strings"),
        ({"requires": [], "backend-path": ["."]}, "backend-path without build-backend"),
        ({"requires": [], "build-backand": "a"}, "unknown key 'build-backand' (did you mean 'build-backend'?)"),
        ({"requires": [], "zzz": "a"}, "unknown key 'zzz' (known are requires, build-backend, backend-path)"),
    ],
)
def test_judge__refused(table, said):
    with pytest.raises(BuildError) as caught:
        judge_build_system(table)
    assert said in caught.value.what
    assert caught.value.reference == "build-system-invalid"
    assert caught.value.kind is Kind.BUILD
    assert caught.value.next_step


def test_judge__all_faults_at_once():
    with pytest.raises(BuildError) as caught:
        judge_build_system({"require": ["a"], "build-backend": 1, "backend-path": 2})
    for said in ("unknown key 'require' (did you mean 'requires'?)", "requires is missing", "is not a string"):
        assert said in caught.value.what


@pytest.mark.parametrize("content", [None, "", "[project]\nname = 'a'\n", "[tool.black]\n"])
def test_read__legacy(tmp_path, content):
    (tmp_path / "setup.py").write_text("")
    if content is not None:
        (tmp_path / "pyproject.toml").write_text(content)
    assert read_build_system(tmp_path) == BuildSystem(("setuptools",), LEGACY_BACKEND)


def test_read__no_table_and_no_setup_py_is_setuptools_too(tmp_path):
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'a'\nversion = '1'\n")
    assert read_build_system(tmp_path).backend == LEGACY_BACKEND


@pytest.mark.parametrize(
    ("content", "reference"),
    [
        (b"[build-system", "pyproject-invalid"),
        (b"a = 1\na = 2\n", "pyproject-invalid"),
        (b"a = '\xff'\n", "pyproject-invalid"),
        (b"a = " + b"[" * 100_000, "pyproject-invalid"),
        (b"#" * (4 * 1024 * 1024 + 1), "pyproject-invalid"),
        (b"build-system = 1\n", "build-system-invalid"),
    ],
)
def test_read__broken(tmp_path, content, reference):
    (tmp_path / "pyproject.toml").write_bytes(content)
    with pytest.raises(BuildError) as caught:
        read_build_system(tmp_path)
    assert caught.value.reference == reference


def test_read__not_a_project_names_the_folders_that_are(tmp_path):
    (tmp_path / "python").mkdir()
    (tmp_path / "python" / "setup.py").write_text("")
    (tmp_path / "docs").mkdir()
    with pytest.raises(BuildError) as caught:
        read_build_system(tmp_path)
    assert caught.value.reference == "not-a-project"
    assert "projects are in: python." in caught.value.next_step


def test_read__not_a_project(tmp_path):
    with pytest.raises(BuildError) as caught:
        read_build_system(tmp_path)
    assert caught.value.reference == "not-a-project"


def test_read__missing_subdirectory(tmp_path):
    with pytest.raises(BuildError) as caught:
        read_build_system(tmp_path / "nowhere")
    assert caught.value.reference == "project-missing"


def write_backend_path(project, folder):
    (project / "pyproject.toml").write_text(
        f"[build-system]\nrequires = []\nbuild-backend = 'b'\nbackend-path = ['{folder}']\n"
    )


@pytest.mark.parametrize("folder", ["..", "a/../..", "/tmp", "missing", "link", "file"])
def test_read__backend_path_escapes(tmp_path, folder):
    project = tmp_path / "project"
    (project / "a").mkdir(parents=True)
    (project / "file").touch()
    (tmp_path / "project-two").mkdir()
    (project / "link").symlink_to(tmp_path / "project-two")
    write_backend_path(project, folder)
    with pytest.raises(BuildError) as caught:
        read_build_system(project)
    assert caught.value.reference == "backend-path-escapes"


@pytest.mark.parametrize("folder", [".", "a", "a/../b", "link"])
def test_read__backend_path_inside(tmp_path, folder):
    for name in "ab":
        (tmp_path / name).mkdir()
    (tmp_path / "link").symlink_to("a")
    write_backend_path(tmp_path, folder)
    assert read_build_system(tmp_path).backend_path == (folder,)


@pytest.mark.parametrize(
    ("backend", "path", "files", "setuptools", "yes"),
    [
        ("poetry.core.masonry.api", (), {}, None, True),
        ("uv_build", (), {}, None, True),
        ("uv_build", (".",), {}, None, False),
        ("hatchling.build", (), {}, None, False),
        ("flit_core.buildapi", (), {}, None, False),
        ("setuptools.build_meta", (), {}, "84.0", True),
        ("setuptools.build_meta", (), {"setup.cfg": "[metadata]\nname = a\n"}, "84.0", True),
        (LEGACY_BACKEND, (), {"setup.cfg": "[metadata]\nname = a\n"}, "84.0", True),
        ("setuptools.build_meta", (), {"setup.cfg": "[options]\nsetup_requires = pbr\n"}, "84.0", False),
        ("setuptools.build_meta", (), {"setup.cfg": "[options]\nSetup-Requires = pbr\n"}, "84.0", False),
        ("setuptools.build_meta", (), {"setup.py": ""}, "84.0", False),
        ("setuptools.build_meta", (), {}, "70.0", False),
        ("setuptools.build_meta", (), {}, None, False),
    ],
)
def test_asks_for_nothing(tmp_path, backend, path, files, setuptools, yes):
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    version = Version(setuptools) if setuptools else None
    assert asks_for_nothing(BuildSystem((), backend, path), tmp_path, version) is yes
