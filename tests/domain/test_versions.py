from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from devpi_forkbuilder.domain.versions import UNKNOWN, label, placeholder, satisfies_pin, stamp
from tests.domain.strategies import commits, quick, versions

TIME = 1795170753  # 2026-11-20 10:32:33 UTC
COMMIT = "1a2b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d"
times = st.integers(min_value=0, max_value=4102444799)  # to the end of 2099, all with a year of four digits


def test_label__is_the_time_in_utc_and_twelve_digits_of_the_commit():
    assert label(TIME, COMMIT) == "20261120103233.g1a2b3c4d5e6f"


@pytest.mark.parametrize("specifier", ["==1.0.2", ">=1.0.2", "~=1.0.2", "<=1.0.2", "<1.0.3", "==1.0.*", "!=1.0.3"])
def test_stamp__is_the_public_version_to_pip_and_uv(specifier):
    assert stamp(Version("1.0.2"), TIME, COMMIT) in SpecifierSet(specifier)


@pytest.mark.parametrize("specifier", [">1.0.2", "!=1.0.2", "<1.0.2", "==1.0.2+other", "==1.0.3"])
def test_stamp__is_nothing_else(specifier):
    assert stamp(Version("1.0.2"), TIME, COMMIT) not in SpecifierSet(specifier)


def test_stamp__leaves_a_local_version_alone():
    assert str(stamp(Version("0.1.0+edx.2"), TIME, COMMIT)) == "0.1.0+edx.2"


def test_stamp__of_an_all_digit_commit_stays_text_with_its_zeros():
    stamped = stamp(Version("1.0"), TIME, "0" * 40)
    assert str(stamped) == "1.0+20261120103233.g000000000000"
    assert stamped != stamp(Version("1.0"), TIME, "0" * 11 + "1" * 29)


@quick
@given(versions, times, commits)
def test_stamp__sorts_above_the_public_version_and_below_the_next_post_release(version, time, commit):
    public = Version(version)
    stamped = stamp(public, time, commit)
    assert public < stamped
    assert Version(str(stamped)) == stamped
    assert str(stamped) == f"{public}+{label(time, commit)}"
    if public.post is None and public.dev is None:
        assert stamped < Version(f"{public}.post1")


@quick
@given(times, times, commits, commits)
def test_stamp__sorts_by_commit_time(early, late, commit, other):
    if early != late:
        first, second = sorted((early, late))
        assert stamp(Version("1.0"), first, commit) < stamp(Version("1.0"), second, other)


@pytest.mark.parametrize(
    ("built", "pinned", "satisfied"),
    [
        ("1.0", None, True),
        ("1.0", "1.0.0", True),
        ("1.0+a", "1.0", False),
        ("1.0.1", "1.0", False),
        ("1.0", "v1.0", True),
    ],
)
def test_satisfies_pin__compares_versions_not_text(built, pinned, satisfied):
    assert satisfies_pin(Version(built), None if pinned is None else Version(pinned)) is satisfied


def test_placeholder__outranks_a_public_file_of_its_version():
    assert placeholder(Version("1.0"), COMMIT, None) > Version("1.0")
    assert str(placeholder(Version("1.0"), COMMIT, None)) == "1.0+0.g1a2b3c4d5e6f"
    assert placeholder(Version("1.0"), COMMIT, TIME) == stamp(Version("1.0"), TIME, COMMIT)


def test_placeholder__of_a_pin_without_a_version_outranks_everything_usual():
    assert placeholder(None, COMMIT, TIME) > Version("2026.12.31")
    assert placeholder(None, COMMIT, None).public == UNKNOWN


def test_placeholder__keeps_a_local_version():
    assert placeholder(Version("0.1.0+edx.2"), COMMIT, TIME) == Version("0.1.0+edx.2")
