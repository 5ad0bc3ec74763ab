from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest

from devpi_forkbuilder.client.models import ClientError
from devpi_forkbuilder.client.upgrading import newest_tag, upgrades
from devpi_forkbuilder.domain.pins.pins import Pin
from devpi_forkbuilder.errors import SourceError

A, B = "a" * 40, "b" * 40
HOST = "https://h.example.com"


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        (("v1.0", "v1.10", "v1.9"), "v1.10"),
        (("1.0", "v2.0rc1"), "1.0"),
        (("v2.0rc1", "v2.0rc2"), "v2.0rc2"),
        (("r-1.0", "r-1.1", "other-9.0"), "r-1.1"),
        (("r/v1.0", "other/v9.0", "release-1.5"), "release-1.5"),
        (("1.0-1", "1.0"), "1.0-1"),
        (("spring", "2026-latest"), None),
        ((), None),
    ],
)
def test_newest_tag__by_version(tags, expected):
    refs = {f"refs/tags/{tag}": A for tag in tags} | {"refs/heads/v99": B}
    found = newest_tag(refs, "R")
    assert (found[0] if found else None) == expected


def ask(url: str, wanted: Iterable[str], *, cancelled: Callable[[], bool]) -> dict[str, str]:
    assert list(wanted) == ["refs/tags/*"]
    assert not cancelled()
    if "gone" in url:
        raise SourceError("repository-unreachable", "git said no.", next_step="Look.")
    return {} if "bare" in url else {"refs/tags/v1.0.3": B, "refs/tags/v1.0.3^{}": A}


def test_upgrades__the_version_moves_along_where_one_is_pinned():
    pins = [Pin("r", f"{HOST}/r", B, "1.0.2", "d"), Pin("s", f"{HOST}/s", B), Pin("t", f"{HOST}/t", B)]
    first, second = upgrades(pins, ["r", "S"], ask).git_lines
    assert (first.ref, first.version, first.subdirectory) == ("refs/tags/v1.0.3", "1.0.3", "d")
    assert (second.project, second.version) == ("s", None)


def test_upgrades__what_cannot_be_asked_or_has_no_version():
    pins = [Pin("r", f"{HOST}/gone", B), Pin("s", f"{HOST}/bare", B)]
    gone, bare = map(str, upgrades(pins, ["r", "s"], ask).faults)
    assert "--upgrade: https://h.example.com/gone gave no answer: git said no" in gone
    assert "--upgrade: no tag of https://h.example.com/bare is a version" in bare
    with pytest.raises(ClientError, match="does not pin nobody"):
        upgrades(pins, ["nobody"], ask)
