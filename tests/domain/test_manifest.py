from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devpi_forkbuilder.domain.manifest import Manifest, ManifestFile

A = "a" * 64


def file(name: str, version: str = "1.0", filename: str = "", sha256: str = A) -> ManifestFile:
    return ManifestFile(name, version, filename or f"{name}-{version}.tar.gz", sha256)


def test_manifest__one_file_a_line_in_order_of_meaning() -> None:
    manifest = Manifest.of([file("b", "10.0"), file("b", "9.0"), file("a"), file("b", "9.0"), file("b", "odd!")])
    assert [(one.name, one.version) for one in manifest.files] == [
        ("a", "1.0"),
        ("b", "odd!"),
        ("b", "9.0"),
        ("b", "10.0"),
    ]
    lines = str(manifest).splitlines()
    assert lines[3] == f'    {{"name": "a", "version": "1.0", "filename": "a-1.0.tar.gz", "sha256": "{A}"}},'
    assert json.loads(str(manifest))["manifest"] == 1
    assert str(manifest).endswith("\n")


names = st.from_regex(r"[a-z][a-z0-9-]{0,8}", fullmatch=True)
files = st.builds(ManifestFile, names, st.from_regex(r"[0-9]{1,3}(\.[0-9]{1,2})?", fullmatch=True), names, st.just(A))


@given(st.lists(files), st.randoms(use_true_random=False))
def test_manifest__the_same_bytes_in_any_order(some: list[ManifestFile], random: object) -> None:
    text = str(Manifest.of(some))
    random.shuffle(some)  # type: ignore[attr-defined]  # a random.Random
    assert str(Manifest.of(some)) == text
    assert Manifest.read(text) == Manifest.of(some)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "not JSON"),
        ("[" * 99999, "not JSON"),
        ("[]", "does not begin"),
        ('{"manifest": 2, "files": []}', "does not begin"),
        ('{"manifest": 1}', "no list"),
        ('{"manifest": 1, "files": [3]}', "file 1 lacks"),
        ('{"manifest": 1, "files": [{"name": "a"}]}', "file 1 lacks"),
        (
            '{"manifest": 1, "files": [{"name": "a", "version": "1", "filename": "f", "sha256": "x"}]}',
            "an invalid sha256",
        ),
    ],
)
def test_read__what_is_no_manifest(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Manifest.read(text)
