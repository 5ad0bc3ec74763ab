"""To which address git connects: resolved once, judged, and given to git, so that what was judged is what is used.

A name that is resolved a second time may give another address (DNS rebinding). git takes addresses for HTTP hosts by
`http.curloptResolve` (git-config(1), since git 2.37) and ssh by `HostName` (ssh_config(5)); certificates and host keys
are still those of the name. Where a proxy is in between, the proxy resolves: what it may reach is its own rule.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from devpi_forkbuilder.domain.pins.addresses import is_public, literal
from devpi_forkbuilder.domain.pins.policy import PORTS
from devpi_forkbuilder.errors import RefusedError, SourceError

Resolve = Callable[[str, int], tuple[str, ...]]
"""The addresses of a host; raises OSError."""


@dataclass(frozen=True, slots=True)
class PinnedAddress:
    """Git settings (`KEY`, `VALUE`) and ssh options that lead to the judged addresses."""

    settings: tuple[tuple[str, str], ...] = ()
    ssh_options: tuple[str, ...] = ()


def resolved(host: str, port: int) -> tuple[str, ...]:
    """The addresses that the system's resolver has for `host`; raises OSError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(str(address[0]) for *_, address in found))


class PinnedDns:
    """Makes routes. `trusted` says whether the administrator named a URL's host: then any address will do.

    `base` is the server's environment, which tells of proxies.
    """

    def __init__(self, trusted: Callable[[str], bool], base: Mapping[str, str], resolve: Resolve = resolved) -> None:
        self._trusted = trusted
        self._base = base
        self._resolve = resolve

    def to(self, url: str) -> PinnedAddress:
        """The route to `url`, which has passed `url_faults`.

        Raises RefusedError (`address-refused`) when any of its addresses is not a public one, SourceError
        (`host-unreachable`) when it has none.
        """
        parts = urlsplit(url)
        if parts.scheme == "file" or self._trusted(url):
            return PinnedAddress()
        host, port = parts.hostname or "", parts.port or PORTS[parts.scheme]
        addresses = self._addresses(parts.scheme, host, port)
        for address in addresses:
            if not is_public(address):
                raise refused_address(url, address)
        return _route(parts.scheme, host, port, addresses) if addresses else PinnedAddress()

    def _addresses(self, scheme: str, host: str, port: int) -> tuple[str, ...]:
        try:
            return self._resolve(host, port)
        except (OSError, UnicodeError) as error:
            if _may_be_proxied(scheme, self._base):  # behind a proxy, names of the world need not be known here
                return ()
            what = f"The git host {host} has no address here."
            step = "Check the name and the server's resolver; it is tried again by itself."
            raise SourceError("host-unreachable", what, next_step=step, retryable=True) from error


def refused_address(url: str, address: str) -> RefusedError:
    """`url` leads into a network that is not everybody's."""
    what = f"{urlsplit(url).hostname} is {address}: an address of this machine or of a private network."
    step = "The server's administrator allows the host with --forkbuilder-allow-url."
    return RefusedError("address-refused", what, next_step=step)


def _route(scheme: str, host: str, port: int, addresses: tuple[str, ...]) -> PinnedAddress:
    if scheme == "ssh":
        # ssh files the key of a host on another port under [host]:port (sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT").
        alias = host if port == PORTS["ssh"] else f"[{host}]:{port}"
        return PinnedAddress(ssh_options=(f"HostName={addresses[0]}", f"HostKeyAlias={alias}"))
    if literal(host):
        return PinnedAddress()  # there is nothing to resolve
    bracketed = ",".join(f"[{address}]" if ":" in address else address for address in addresses)
    return PinnedAddress(settings=(("http.curloptResolve", f"{host}:{port}:{bracketed}"),))


def _may_be_proxied(scheme: str, base: Mapping[str, str]) -> bool:
    names = (f"{scheme}_proxy", "all_proxy")
    return scheme in {"http", "https"} and any(value and name.lower() in names for name, value in base.items())
