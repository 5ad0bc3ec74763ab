from __future__ import annotations

import pytest
from packaging.version import Version

from devpi_forkbuilder.pipeline.checkout.scm_version import tag_prefix, versions_of, wants_history

REQUIRES = '[build-system]\nrequires = ["setuptools", {}]\n'


@pytest.mark.parametrize(
    "requirement",
    [
        "setuptools-scm>=8",
        "setuptools_scm[toml]",
        "Setuptools.SCM",
        "hatch-vcs",
        "versioneer[toml]==0.29",
        "pbr>=5",
        "setuptools-git-versioning",
        "dunamai",
        "poetry-dynamic-versioning>=1.0.0,<2.0.0",
        "versioningit ~= 3.0",
        "flit_scm",
        "vcversioner",
        "uv-dynamic-versioning",
    ],
)
def test_wants_history__by_build_requirement(requirement: str) -> None:
    assert wants_history({"pyproject.toml": REQUIRES.format(repr(requirement)).encode()})


@pytest.mark.parametrize("requirement", ["setuptools", "hatchling", "wheel", "pbrx", "cython", "poetry-core>=1"])
def test_wants_history__not_by_other_requirements(requirement: str) -> None:
    assert not wants_history({"pyproject.toml": REQUIRES.format(repr(requirement)).encode()})


@pytest.mark.parametrize(
    "text",
    [
        "[tool.setuptools_scm]\n",
        '[tool.hatch.version]\nsource = "vcs"\n',
        '[tool.pdm.version]\nsource = "scm"\n',
        "[tool.versioneer]\nVCS = 'git'\n",
        "[tool.poetry-dynamic-versioning]\nenable = true\n",
        "[tool.versioningit]\n",
        "[tool.setuptools-git-versioning]\nenabled = true\n",
    ],
)
def test_wants_history__by_tool_table(text: str) -> None:
    assert wants_history({"pyproject.toml": text.encode()})


@pytest.mark.parametrize(
    "text",
    [
        '[tool.hatch.version]\npath = "a.py"\n',
        '[tool.pdm.version]\nsource = "file"\n',
        "[tool]\nhatch = 3\n",
        "tool = []\n",
        "build-system = 1\n",
        "[build-system]\nrequires = 'setuptools-scm'\n",
        "[build-system]\nrequires = [1, '!!']\n",
        "not toml [",
        "",
    ],
)
def test_wants_history__not_by_other_or_broken_tables(text: str) -> None:
    assert not wants_history({"pyproject.toml": text.encode()})


@pytest.mark.parametrize(
    "text",
    [
        "setup(use_scm_version=True)",
        "setup(use_scm_version={'root': '..'})",
        "from setuptools_scm import get_version",
        "setup(setup_requires=['pbr'], pbr=True)",
        "setup(pbr = True)",
        "import versioneer\nsetup(version=versioneer.get_version())",
        "setup(vcversioner={})",
        "subprocess.check_output(['git', 'describe', '--tags'])",
        "os.popen('git describe')",
    ],
)
def test_wants_history__by_setup_py(text: str) -> None:
    assert wants_history({"setup.py": text.encode()})


@pytest.mark.parametrize("text", ["setup()", "setup(version='1.0')", "# a superb reader", "setup(name='pbrush')"])
def test_wants_history__not_by_plain_setup_py(text: str) -> None:
    assert not wants_history({"setup.py": text.encode()})


@pytest.mark.parametrize(
    "text",
    [
        "[options]\nsetup_requires =\n    setuptools_scm\n    wheel\n",
        "[options]\nsetup_requires = pbr; wheel\n",
        "[pbr]\nskip_changelog = true\n",
        "[versioneer]\nVCS = git\n",
    ],
)
def test_wants_history__by_setup_cfg(text: str) -> None:
    assert wants_history({"setup.cfg": text.encode()})


@pytest.mark.parametrize("text", ["[metadata]\nname = a\n", "[options]\nsetup_requires\n", "no section", "\xff"])
def test_wants_history__not_by_plain_or_broken_setup_cfg(text: str) -> None:
    assert not wants_history({"setup.cfg": text.encode("latin-1")})


def test_wants_history__by_versioneer_py() -> None:
    assert wants_history({"versioneer.py": b""})


def test_wants_history__no_build_file() -> None:
    assert not wants_history({})


def test_wants_history__byte_order_mark() -> None:
    assert wants_history({"pyproject.toml": b"\xef\xbb\xbf[tool.setuptools_scm]\n"})


@pytest.mark.parametrize(
    ("files", "prefix"),
    [
        ({"pyproject.toml": b'[tool.versioneer]\ntag_prefix = "v"\n'}, "v"),
        ({"setup.cfg": b"[versioneer]\ntag_prefix = name-\n"}, "name-"),
        ({"setup.cfg": b"[versioneer]\ntag_prefix = ''\n"}, ""),
        ({"setup.cfg": b"[versioneer]\ntag_prefix =\n"}, ""),
        ({"setup.cfg": b"[versioneer]\ntag_prefix\n"}, ""),
        ({"pyproject.toml": b"[tool.versioneer]\ntag_prefix = 1\n"}, ""),
        ({"pyproject.toml": b"[tool", "setup.cfg": b"x"}, ""),
        ({}, ""),
    ],
)
def test_tag_prefix__as_versioneer_is_told(files: dict[str, bytes], prefix: str) -> None:
    assert tag_prefix(files) == prefix


def test_versions_of__tags() -> None:
    listing = b"v1.0.2\nrelease/1.1\nname-2.0rc1\ndeploy\nrelease-2024-01-01-10.00\n1.0.2\n\xff\n"
    assert versions_of(listing) == {Version("1.0.2"), Version("1.1"), Version("2.0rc1")}
    assert versions_of(b"") == set()
