from __future__ import annotations

import pytest

from devpi_forkbuilder.domain.coverage import covered, is_compiled, uncovered

ALL = ("3.9", "3.11", "3.13", "3.13t", "pypy3.10")


@pytest.mark.parametrize(
    ("tags", "missing"),
    [
        ("py3-none-any", ()),
        ("py2.py3-none-any", ()),
        ("py3-none-manylinux_2_17_x86_64", ()),
        ("cp311-cp311-linux_x86_64", ("3.9", "3.13", "3.13t", "pypy3.10")),
        ("cp311-abi3-linux_x86_64", ("3.9", "3.13t", "pypy3.10")),
        ("cp313-cp313t-linux_x86_64", ("3.9", "3.11", "3.13", "pypy3.10")),
        ("pp310-pypy310_pp73-linux_x86_64", ("3.9", "3.11", "3.13", "3.13t")),
        ("cp39-none-any", ("3.11", "3.13", "3.13t", "pypy3.10")),
    ],
)
def test_uncovered__by_tags(tags, missing):
    assert uncovered([f"r-1.0-{tags}.whl"], ALL) == missing


def test_compiled__pure_wheels_are_not():
    assert not is_compiled(["r-1.0-py3-none-any.whl", "r-1.0.tar.gz", "notes.txt"])
    assert is_compiled(["r-1.0-py3-none-any.whl", "r-1.0-cp311-cp311-linux_x86_64.whl"])
    assert covered(["r-1.0-cp311-cp311-linux_x86_64.whl", "r-1.0-cp39-abi3-linux_x86_64.whl"]) == ("cp311", "cp39")
    assert uncovered([], ["3.11"]) == ("3.11",)
