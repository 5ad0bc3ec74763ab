from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devpi_forkbuilder.domain.terminal_text import plain_line, styled


def words(line: str) -> list[tuple[str, tuple[str, ...]]]:
    return [(text, style.words) for text, style in styled(line)[0]]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("plain", [("plain", ())]),
        ("\x1b[31mred\x1b[0m not", [("red", ("red",)), (" not", ())]),
        ("\x1b[1;92mok\x1b[22m ok", [("ok", ("bright-green", "bold")), (" ok", ("bright-green",))]),
        ("\x1b[38;5;9mx\x1b[39my", [("x", ("bright-red",)), ("y", ())]),
        ("\x1b[38;2;1;2;3mx\x1b[48;5;1my", [("x", ()), ("y", ("on-red",))]),
        ("\x1b[38;5m\x1b[38mx", [("x", ())]),
        ("\x1b[4;3;2mx\x1b[24;23mx", [("x", ("faint", "italic", "underlined")), ("x", ("faint",))]),
        ("\x1b[2K\x1b[1Gdone", [("done", ())]),
        ("\x1b]8;;https://x\x1b\\link\x1b]8;;\x07", [("link", ())]),
        ("10 %\r50 %\r100 %\r", [("100 %", ())]),
        ("a\x00\x07b\tc", [("a", ()), ("b\tc", ())]),
        ("\x1b[99999999999mx", [("x", ())]),
        ("<b>", [("<b>", ())]),
    ],
)
def test_styled__colours_stay_and_all_else_goes(line: str, expected: list[tuple[str, tuple[str, ...]]]) -> None:
    assert words(line) == expected


def test_styled__a_style_goes_on_in_the_next_line() -> None:
    _, style = styled("\x1b[31mred")
    assert styled("still", style)[0][0][1].words == ("red",)


def test_styled__a_line_without_end_is_cut() -> None:
    assert len(plain_line("x" * 1_000_000)) < 11_000


@given(st.text(alphabet="\x1b[]0123456789;mKx\r\x07\\ <"))
def test_styled__no_control_character_is_left(line: str) -> None:
    assert not set(plain_line(line)) & {"\x1b", "\r", "\x07"}
