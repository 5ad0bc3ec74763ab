from __future__ import annotations

import pytest

from devpi_forkbuilder.domain.pins.pins import Pin
from devpi_forkbuilder.domain.simple.causes import LONGEST, short_cause
from devpi_forkbuilder.domain.simple.placeholders import phrase

COMMIT = "0123456789abcdef0123456789abcdef01234567"
LOG = "http://localhost:3141/main/forks/+forks/name/0123/log"


@pytest.mark.parametrize(
    ("reference", "message", "expected"),
    [
        (
            "no-sandbox",
            "Builds cannot be confined on this machine, so none is run. bwrap: ...",
            "no sandbox on the server",
        ),
        (
            "host-silent",
            "The git host git.example.com stopped answering. It is tried again.",
            "The git host git.example.com stopped answering",
        ),
        (
            "commit-missing",
            f"The commit {COMMIT} is not in https://example.com/o/n.git. Push it.",
            "The commit 0123456 is not in https://example.com/o/n.git",
        ),
        (
            "commit-unreachable",
            f"The commit {COMMIT} is on no branch or tag of https://git.example.com/team/name.git: may be another's.",
            "The commit 0123456 is on no branch or tag of name.git: may be another's",
        ),
        (
            "timeout",
            "The build took longer than 1800 seconds and was stopped.",
            "The build took longer than 1800 seconds and was stopped",
        ),
        ("x", "It says so, and more; and more\nsecond line", "It says so, and more, and more"),
        ("x", "https://user:secret@host/path is bad.", "https://***@host/path is bad"),
        ("x", "Gr\u00fc\u00dfe\x1b[31m red\x07.", "Gr e red"),
        ("x", "", ""),
    ],
)
def test_short_cause__of_a_message(reference: str, message: str, expected: str) -> None:
    assert short_cause(reference, message, "ValueError: not asked for") == expected


def test_short_cause__is_cut_at_a_word() -> None:
    found = short_cause("x", "word " * 100, "")
    assert len(found) <= LONGEST
    assert found.endswith("word...")


@pytest.mark.parametrize(
    ("log", "expected"),
    [
        (
            "line\n  ModuleNotFoundError: No module named 'numpy'\n[forkbuilder] The build ended.\n",
            "ModuleNotFoundError: No module named 'numpy'",
        ),
        ("\x1b[31merror\x1b[0m: command 'gcc' failed: No such file\n", "error: command 'gcc' failed: No such file"),
        ("fatal error: Python.h: no such file or directory", "fatal error: Python.h: no such file or directory"),
        ("ValueError: first\nKeyError: 'last'\n", "KeyError: 'last'"),
        ("ValueError: " + "long " * 30, ""),
        ("ValueError: long ago\n1\n2\n3\n4\n5\n", "5"),
        (
            "it is missing\nerror: Failed to build `/build/src`\n  cause: The build backend returned an error",
            "it is missing",
        ),
        ("its frobnicator is missing\npreparing to fail\nerror: Failed to build `/src`", "its frobnicator is missing"),
        ("[forkbuilder] git fetch\n", ""),
        ("", ""),
    ],
)
def test_short_cause__of_a_builds_log(log: str, expected: str) -> None:
    assert short_cause("build-failed", "The build failed (status 1). The end of the log shows why.", log) == expected


def test_phrase__has_the_cause_between_stage_and_log() -> None:
    pin = Pin.parse(f"git+https://example.com/o/n.git@{COMMIT}#egg=name==1.0.2")
    said = phrase(pin, "queued", LOG, cause="no sandbox on the server")
    assert said == f"Build of name 1.0.2 from 0123456 failed (queued): no sandbox on the server; see {LOG}"
    assert phrase(pin, "building", LOG) == f"Build of name 1.0.2 from 0123456 failed (building): see {LOG}"
