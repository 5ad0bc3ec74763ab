from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.version import Version

from devpi_forkbuilder.domain.pins.pins import Pin, PinsRefusedError, parse_pins, redacted
from tests.domain.strategies import nearly, pins, quick

COMMIT = "1a2b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d"
URL = "https://git.example.com/campus/wiki.git"
GOOD = f"git+{URL}@{COMMIT}#egg=wiki"


@pytest.mark.parametrize(
    ("text", "pin"),
    [
        (GOOD, Pin("wiki", URL, COMMIT)),
        (f"{GOOD}==1.0.2", Pin("wiki", URL, COMMIT, "1.0.2")),
        (f"{GOOD}==0.1.0+edx.2", Pin("wiki", URL, COMMIT, "0.1.0+edx.2")),
        (f"{GOOD}&subdirectory=src/wiki", Pin("wiki", URL, COMMIT, None, "src/wiki")),
        (f"git+{URL}@{COMMIT}#subdirectory=a&egg=wiki==1", Pin("wiki", URL, COMMIT, "1", "a")),
        (f"git+ssh://git@h.example.com:2222/o/r@{COMMIT}#egg=r", Pin("r", "ssh://git@h.example.com:2222/o/r", COMMIT)),
        (f"git+file:///srv/git/r@{COMMIT}#egg=r", Pin("r", "file:///srv/git/r", COMMIT)),
        (f"git+https://h.example.com/@scope/r@{'0' * 64}#egg=r", Pin("r", "https://h.example.com/@scope/r", "0" * 64)),
    ],
)
def test_pin__reads_every_part(text, pin):
    assert Pin.parse(text) == pin


@pytest.mark.parametrize(
    ("text", "problem", "fix"),
    [
        ("wiki==1.0", "not a git requirement", "write git+URL"),
        (f"git+{URL}#egg=wiki", "no commit", "full commit id"),
        (f"git+{URL}@1a2b3c4#egg=wiki", "not a full commit id", "40 (or 64) hex digits"),
        (f"git+{URL}@v1.0#egg=wiki", "not a full commit id", "branch or tag can move"),
        (f"git+{URL}@{COMMIT.upper()}#egg=wiki", "not a full commit id", "lower case"),
        (f"git+{URL}@{COMMIT}\n#egg=wiki", "not a full commit id", ""),
        (f"git+{URL}@{COMMIT}", "no project name", "#egg=NAME"),
        (f"git+{URL}@{COMMIT}#wiki==1.0", "unknown fragment key 'wiki'", "#egg=wiki"),
        (f"{GOOD}&subdir=x", "unknown fragment key 'subdir'", "subdirectory"),
        (f"{GOOD}&egg=other", "egg is given twice", "keep one"),
        (f"{GOOD}[x]", "extras in 'wiki[x]'", "leave them out"),
        (f"git+{URL}@{COMMIT}#egg=-wiki", "'-wiki' is not a valid project name", "letters"),
        (f"{GOOD}==0.0.5-edx", "'0.0.5-edx' is not a version", "0.0.5+edx"),
        (f"{GOOD}==latest", "'latest' is not a version", "PEP 440"),
        (f"{GOOD}== 1.0", "white space around ' 1.0'", "remove"),
        (f"{GOOD}&subdirectory=../up", "is not a plain relative path", "inside the repository"),
        (f"{GOOD}&subdirectory=/etc", "is not a plain relative path", "inside the repository"),
        (f"git+https://user:pw@h.example.com/o/r@{COMMIT}#egg=r", "user info", "--forkbuilder-credentials"),
    ],
)
def test_pin__says_what_is_wrong_and_how_to_mend_it(text, problem, fix):
    with pytest.raises(PinsRefusedError) as refused:
        Pin.parse(text)
    assert any(problem in fault.problem and fix in fault.fix for fault in refused.value.faults), refused.value


def test_pin__collects_every_fault_of_a_line():
    with pytest.raises(PinsRefusedError) as refused:
        Pin.parse("git+ftp://h.example.com/r@main#egg=?==x&foo=1&subdirectory=..")
    assert len(refused.value.faults) == 6


def test_parse_pins__skips_comments_and_collapses_equal_lines():
    assert parse_pins(["# note", "", f"  {GOOD}  ", GOOD]) == (Pin("wiki", URL, COMMIT),)


def test_parse_pins__reports_all_lines_with_their_numbers_in_order():
    other = GOOD.replace("1a2b", "ffff")
    with pytest.raises(PinsRefusedError) as refused:
        parse_pins([GOOD, "nonsense", other.replace("wiki", "WIKI"), f"git+{URL}@v1#egg=b"])
    assert [fault.line for fault in refused.value.faults] == [2, 2, 3, 4]
    assert "pinned in line 1 already" in refused.value.faults[2].problem
    assert refused.value.reference == "pins-refused"


def test_parse_pins__takes_several_versions_of_a_project():
    other = GOOD.replace("1a2b", "ffff")
    assert [pin.release for pin in parse_pins([f"{GOOD}==1.0", f"{other}==1.1"])] == [Version("1.0"), Version("1.1")]


@pytest.mark.parametrize(
    "text",
    [
        "git+https://user:hunter2@h.example.com/o/r@main#egg=r",
        "git+https://hunter2@h.example.com/o/r@main#egg=r",
        "git+https://user:p/hunter2@h.example.com/o/r@main#egg=r",
        "git+https://user:p@hunter2@h.example.com/o/r@main#egg=r",
        "x @ git+https://user:hunter2@h.example.com/o/r@main",
    ],
)
def test_pin__keeps_a_password_out_of_its_message(text):
    with pytest.raises(PinsRefusedError) as refused:
        Pin.parse(text)
    assert "hunter2" not in str(refused.value)
    assert "hunter2" not in redacted(text)


def test_redacted__keeps_what_is_no_secret():
    text = f"git+https://h.example.com:8443/o/r@{COMMIT}#egg=r"
    assert redacted(text) == text


@quick
@given(pins)
def test_pin__prints_as_the_line_it_is_parsed_from(pin):
    assert Pin.parse(str(pin)) == pin


@quick
@given(st.lists(nearly | st.text(max_size=20), max_size=3))
def test_parse_pins__any_text_is_pins_or_is_refused(lines):
    try:
        found = parse_pins(lines)
    except PinsRefusedError:
        return
    assert parse_pins(map(str, found)) == found
