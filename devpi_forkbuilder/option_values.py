"""The values of options: from the words of a command line, with an error that says what to write instead."""

from __future__ import annotations

from argparse import ArgumentTypeError
from ipaddress import IPv4Network, IPv6Network, ip_network
from urllib.parse import urlsplit

from devpi_forkbuilder.domain.pins.policy import prefix_fault
from devpi_forkbuilder.domain.tidy import DAY, TidyKind

NEVER = "never"


def count_option(text: str) -> int:
    """A whole number, zero allowed; raises ArgumentTypeError."""
    if not text.isascii() or not text.isdigit():
        raise ArgumentTypeError(f"{text!r} is not a whole number")
    return int(text)


def positive_option(text: str) -> int:
    """A whole number above zero; raises ArgumentTypeError."""
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise ArgumentTypeError(f"{text!r} is not a whole number above zero")
    return int(text)


def network(text: str) -> IPv4Network | IPv6Network:
    """An address, or a network with a mask; raises ArgumentTypeError."""
    try:
        return ip_network(text)
    except ValueError as error:
        raise ArgumentTypeError(f"{text!r} is not an address or a network: write for example 10.0.0.5") from error


def size(text: str) -> int:
    """Bytes, as a number or with K, M or G behind it; raises ArgumentTypeError."""
    unit = {"K": 2**10, "M": 2**20, "G": 2**30}.get(text[-1:].upper(), 1)
    number = text if unit == 1 else text[:-1]
    if not number.isascii() or not number.isdigit() or int(number) < 1:
        raise ArgumentTypeError(f"{text!r} is not a size: write for example 512M or 4G")
    return int(number) * unit


def seconds(text: str) -> float:
    """A number of seconds, zero or more; raises ArgumentTypeError."""
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number < float("inf"):
        raise ArgumentTypeError(f"{text!r} is not a number of seconds")
    return number


def age_option(text: str) -> float | None:
    """Seconds, as a number or with m, h or d behind it; None for `never`. Raises ArgumentTypeError."""
    if text == NEVER:
        return None
    unit = {"m": 60.0, "h": 3600.0, "d": DAY}.get(text[-1:].lower(), 1.0)
    try:
        return seconds(text if unit == 1 else text[:-1]) * unit
    except ArgumentTypeError:
        raise ArgumentTypeError(f"{text!r} is not an age: write for example 90d, 12h or never") from None


def gc_age(text: str) -> tuple[TidyKind, float | None]:
    """KIND=AGE. Raises ArgumentTypeError."""
    kind, value = _of_kind(text)
    return kind, age_option(value)


def gc_size(text: str) -> tuple[TidyKind, int | None]:
    """KIND=SIZE, where SIZE may be `never`: without limit. Raises ArgumentTypeError."""
    kind, value = _of_kind(text)
    return kind, None if value == NEVER else 0 if value == "0" else size(value)


def _of_kind(text: str) -> tuple[TidyKind, str]:
    name, _, value = text.partition("=")
    names = [kind.value for kind in TidyKind]
    if name not in names or not value:
        raise ArgumentTypeError(f"{text!r}: write KIND=VALUE, with KIND one of {', '.join(names)}")
    return TidyKind(name), value


def web_url(text: str) -> str:
    """A URL of a web server, without user info; raises ArgumentTypeError."""
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname or "@" in parts.netloc:
        raise ArgumentTypeError("not the URL of a web server without user info: write for example https://ci.example/x")
    return text


def url_prefix(text: str) -> str:
    """The beginning of allowed URLs; raises ArgumentTypeError."""
    fault = prefix_fault(text)
    if fault is not None:
        raise ArgumentTypeError(f"{text!r}: {fault}")
    return text.removeprefix("git+")
