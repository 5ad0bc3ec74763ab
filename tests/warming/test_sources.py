from __future__ import annotations

import io
import tarfile
import zipfile

import pytest

from devpi_forkbuilder.warming.sources import DEFAULT, build_requirements, required


def tar(**members: str) -> io.BytesIO:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as packed:
        for name, text in members.items():
            member = tarfile.TarInfo(name.replace("__", "/").replace("_", "."))
            member.size = len(text)
            packed.addfile(member, io.BytesIO(text.encode()))
    return archive


HATCH = '[build-system]\nrequires = ["hatchling>=1", "x @ https://elsewhere/x.whl", "not a requirement", 3]\n'


def test_build_requirements__of_the_top_project_alone() -> None:
    assert build_requirements(tar(a__sub__pyproject_toml="", a__pyproject_toml=HATCH), "a.tar.gz") == ("hatchling>=1",)


def test_build_requirements__of_a_zip() -> None:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr("a/pyproject.toml", HATCH)
    assert build_requirements(archive, "a.zip") == ("hatchling>=1",)


@pytest.mark.parametrize("name", ["a.tar.gz", "a.zip"])
def test_build_requirements__of_what_cannot_be_read(name: str) -> None:
    assert build_requirements(io.BytesIO(b"no archive at all"), name) == DEFAULT


def test_build_requirements__without_a_project_file() -> None:
    assert build_requirements(tar(a__setup_py=""), "a.tar.gz") == DEFAULT


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[build-system]\nrequires = []\n", ()),
        ("[tool.x]\n", DEFAULT),
        ("[build-system]\n", DEFAULT),
        ("build-system = 3\n", DEFAULT),
        ("not toml", DEFAULT),
        ("\udcff", DEFAULT),
    ],
)
def test_required__the_default_where_nothing_is_said(text: str, expected: tuple[str, ...]) -> None:
    assert required(text.encode("utf-8", "surrogateescape")) == expected
