"""Any text as a pin or as a requirements file, at length; the domain's own tests draw a little of it each time."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from devpi_forkbuilder.domain.pins.pins import Pin, PinsRefusedError, parse_pins
from devpi_forkbuilder.domain.pins.policy import PinPolicy
from devpi_forkbuilder.domain.requirements_files.requirements import pins_of, read_requirements
from tests.domain.strategies import nearly, pins

LONG = settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
COMMIT = "0123456789" * 4
HOST = "https://h.example.com/o/r.git"


@LONG
@given(nearly | st.text(max_size=60))
def test_pin__any_line_is_refused_or_prints_as_itself(text: str) -> None:
    for line in (text, f"git+{HOST}@{COMMIT}#{text}", f"git+{text}@{COMMIT}#egg=a", f"git+{HOST}@{text}#egg=a"):
        try:
            pin = Pin.parse(line)
        except PinsRefusedError:
            continue
        assert Pin.parse(str(pin)) == pin
        assert sorted(str(pin).replace("#", "&").split("&")) == sorted(line.replace("#", "&").split("&"))
        assert str(pin).isprintable()
        assert str(pin).isascii()


@LONG
@given(st.lists(pins, max_size=4))
def test_pins__printed_and_read_again(drawn: list[Pin]) -> None:
    try:
        found = parse_pins(map(str, drawn))
    except PinsRefusedError:
        return
    assert set(found) == set(drawn)
    assert parse_pins("\n".join(map(str, found)).splitlines()) == found


@LONG
@given(pins, st.text(max_size=10))
def test_prefix__never_allows_another_host(pin: Pin, more: str) -> None:
    """Whatever stands behind the prefix's host, the URL that is allowed has that host."""
    policy = PinPolicy(prefixes=("https://h.example.com/o",))
    for url in (pin.url, f"https://h.example.com{more}/o/x", f"https://{more}h.example.com/o/x"):
        try:
            allowed = Pin.parse(f"git+{url}@{COMMIT}#egg=a")
        except PinsRefusedError:
            continue
        if policy.url_fault(allowed.url) is None:
            assert allowed.url.split("/")[2] in {"h.example.com", "h.example.com:443"}


@LONG
@given(st.lists(nearly | st.text(max_size=60), max_size=4).map("\n".join))
def test_requirements__any_file_is_read_or_refused(text: str) -> None:
    def include(name: str, _: str) -> str:
        raise FileNotFoundError(2, "No such file or directory", name)

    found = read_requirements(text, "requirements.txt", include, {"A": "x"})
    assert str(found.files[0]) == text
    try:
        read = pins_of(found)
    except PinsRefusedError:
        return
    assert [Pin.parse(str(pin)) for pin in read] == list(read)
