from __future__ import annotations

import pytest

from devpi_forkbuilder.domain.requirements_files.project_identity import Identity, identity


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"pyproject.toml": '[project]\nname = "A.b"\nversion = "1.0"\n'}, Identity("A.b", "1.0")),
        ({"pyproject.toml": '[project]\nname = "a"\ndynamic = ["version"]\n'}, Identity("a")),
        ({"pyproject.toml": '[tool.poetry]\nname = "a"\nversion = "1.0"\n'}, Identity("a", "1.0")),
        ({"pyproject.toml": '[tool.flit.metadata]\nmodule = "x"\ndist-name = "a"\n'}, Identity("a")),
        ({"setup.cfg": "[metadata]\nname = a\nversion = 1.0\n"}, Identity("a", "1.0")),
        ({"setup.cfg": "[metadata]\nname = a\nversion = attr: a.__version__\n"}, Identity("a")),
        ({"setup.cfg": "[metadata]\nname = %(x)s\n"}, Identity()),
        ({"setup.py": "from setuptools import setup\nsetup(name='a', version='1.0')"}, Identity("a", "1.0")),
        ({"setup.py": "import setuptools\nN = 'a'\nsetuptools.setup(name=N, version=v())"}, Identity("a")),
        ({"setup.py": "def main():\n    setup(**x, name='a')\n"}, Identity("a")),
        ({"setup.py": "setup(name=open('x').read())"}, Identity()),
        ({"pyproject.toml": "[build-system]\n", "setup.cfg": "[x]\n", "setup.py": "setup(name='a')"}, Identity("a")),
        ({"pyproject.toml": '[project]\nname = "a"\n', "setup.py": "setup(version='2')"}, Identity("a", "2")),
        ({"pyproject.toml": '[project]\nname = "../x"\n'}, Identity()),
        ({"pyproject.toml": "[[[", "setup.cfg": "no section", "setup.py": "setup(\0"}, Identity()),
        ({"pyproject.toml": "project = 1\n", "setup.py": "(" * 5000}, Identity()),
        ({}, Identity()),
    ],
)
def test_identity__is_what_is_written_down(files, expected):
    assert identity(files) == expected
