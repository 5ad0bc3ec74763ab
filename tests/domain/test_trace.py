"""The header `traceparent`, as the standard's own examples have it."""

from __future__ import annotations

import pytest

from devpi_forkbuilder.domain.trace import TraceParent

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
GOOD = f"00-{TRACE}-{PARENT}-01"


def test_parse__and_back() -> None:
    found = TraceParent.parse(GOOD)
    assert found == TraceParent(TRACE, PARENT, "01")
    assert str(found) == GOOD
    assert TraceParent.parse(f"cc-{TRACE}-{PARENT}-01-what-comes-later") == found


@pytest.mark.parametrize(
    "header",
    [
        "",
        "x",
        GOOD.upper(),
        GOOD + "-more",
        GOOD + "\n" + GOOD,
        f"ff-{TRACE}-{PARENT}-01",
        f"00-{'0' * 32}-{PARENT}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE[:-1]}-{PARENT}-01",
        f"cc-{TRACE}-{PARENT}-01-" + "x" * 200,
    ],
)
def test_parse__what_is_to_be_ignored(header: str) -> None:
    assert TraceParent.parse(header) is None
