"""What this server allows to be pinned, and by whom: pure decisions over pins and the server's options."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import SplitResult, unquote, urlsplit

from devpi_forkbuilder.domain.pins.addresses import is_public, literal
from devpi_forkbuilder.domain.pins.pins import Pin
from devpi_forkbuilder.domain.pins.urls import url_faults

DEFAULT_SCHEMES = ("https", "ssh")
PORTS = {"https": 443, "http": 80, "ssh": 22}


@dataclass(frozen=True, slots=True)
class PinPolicy:
    """`users` may own indexes with pins; `prefixes` are the URLs allowed (none: any https or ssh host), `also` those
    that are allowed in any case: the checkouts that `up` was started for.
    """

    users: frozenset[str] = frozenset({"root"})
    prefixes: tuple[str, ...] = ()
    also: tuple[str, ...] = ()

    def owner_fault(self, user: str) -> str | None:
        """Why an index of `user` may not have pins, or None."""
        if user in self.users:
            return None
        return (
            f"to pin is to run code on this server, and user {user!r} is not trusted with that: "
            f"the server's administrator allows it with --forkbuilder-allow-user {user}"
        )

    def url_fault(self, url: str) -> str | None:
        """Why `url` may not be fetched, or None."""
        if self.names_host(url):
            return None
        if self.prefixes:
            return "this server allows only " + ", ".join(self.prefixes) + " (--forkbuilder-allow-url)"
        scheme, host = urlsplit(url).scheme, urlsplit(url).hostname or ""
        if scheme not in DEFAULT_SCHEMES:
            return f"{scheme} URLs are allowed only by --forkbuilder-allow-url: ask the server's administrator"
        address = "127.0.0.1" if host.lower() == "localhost" else literal(host)
        if address is not None and not is_public(address):
            return f"{host} is not on the internet: ask the server's administrator for --forkbuilder-allow-url"
        return None

    def allows(self, url: str) -> bool:
        """Whether this server may talk to `url`."""
        return self.url_fault(url) is None

    def names_host(self, url: str) -> bool:
        """Whether the administrator named the host of `url`: then it may be in a private network, or here."""
        return any(_covers(prefix, url) for prefix in (*self.prefixes, *self.also))

    def faults(self, pins: Iterable[Pin]) -> list[str]:
        """A message for each pin that is not allowed."""
        judged = ((pin, self.url_fault(pin.url)) for pin in pins)
        return [f"forks: {pin}: {fault}" for pin, fault in judged if fault is not None]


def prefix_fault(prefix: str) -> str | None:
    """Why `prefix` cannot be an allowed URL prefix, or None. `https://host/` and `file:///` are fine."""
    plain = prefix.removeprefix("git+")
    probe = f"{plain}x" if plain.endswith("/") else f"{plain}/x"
    faults = url_faults(probe)
    return f"{faults[0][0]}: {faults[0][1]}" if faults else None


def _covers(prefix: str, url: str) -> bool:
    """Whether `prefix` ends at a boundary of `url`: `https://host/org` covers neither `/organic` nor another host."""
    wanted, given = urlsplit(prefix.removeprefix("git+")), urlsplit(url)
    if (wanted.scheme, _host(wanted)) != (given.scheme, _host(given)):
        return False
    if wanted.username and wanted.username != given.username:
        return False
    folders = _segments(wanted.path)
    return _segments(given.path)[: len(folders)] == folders


def _host(parts: SplitResult) -> tuple[str | None, int | None]:
    return parts.hostname, parts.port or PORTS.get(parts.scheme)


def _segments(path: str) -> list[str]:
    return [unquote(segment) for segment in path.strip("/").split("/") if segment]
