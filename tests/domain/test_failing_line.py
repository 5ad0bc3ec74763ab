from __future__ import annotations

import pytest

from devpi_forkbuilder.domain.failing_line import failing_line

UV = ["error: Failed to build `/build/src`", "  cause: The build backend returned an error", "hint: Build failures"]
OURS = ["[forkbuilder] Failed while building: The fork's build ended with status 2.", "[forkbuilder] Next step: look."]
TRACEBACK = ["Traceback (most recent call last):", '  File "setup.py", line 3, in <module>', "    import imp"]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (
            [*TRACEBACK, "ModuleNotFoundError: No module named 'imp'", *UV, *OURS],
            "ModuleNotFoundError: No module named 'imp'",
        ),
        (
            [
                "\x1b[1msrc/x.c:3:10: \x1b[31mfatal error: \x1b[0mfoo.h: No such file or directory",
                "compilation terminated.",
                *TRACEBACK,
                "distutils.errors.CompileError: command 'gcc' failed",
                *UV,
            ],
            "src/x.c:3:10: fatal error: foo.h: No such file or directory",
        ),
        (
            ["error[E0425]: cannot find value `x`", "error: could not compile", *UV],
            "error[E0425]: cannot find value `x`",
        ),
        (
            ["preparing", "this fork cannot be built: its frobnicator is missing", *UV, *OURS],
            "this fork cannot be built",
        ),
        (["ValueError: first", "handled", "KeyError: 'second'", *UV], "KeyError: 'second'"),
        (["subprocess.CalledProcessError: x", "sh: 1: cargo: not found", *UV], "sh: 1: cargo: not found"),
        ([*UV, *OURS], "error: Failed to build"),
        (["[forkbuilder] git fetch", *OURS], "[forkbuilder] Failed while building"),
    ],
)
def test_failing_line__is_the_cause_not_what_follows_from_it(lines: list[str], expected: str) -> None:
    number = failing_line(lines)
    assert number is not None
    clean = lines[number].replace("\x1b[1m", "").replace("\x1b[31m", "").replace("\x1b[0m", "")
    assert clean.startswith(expected)


def test_failing_line__of_a_log_that_says_nothing() -> None:
    assert failing_line([]) is None
    assert failing_line(["Building wheel...", "all is well"]) is None
