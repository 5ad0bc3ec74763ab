"""Which client a request comes from, as far as that can be known.

Without --forkbuilder-trusted-proxy nobody's word is taken: a request that was passed on by a proxy, or that comes from
this machine, where proxies are, is of nobody in particular.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
PASSED_ON = ("HTTP_X_FORWARDED_FOR", "HTTP_X_REAL_IP", "HTTP_FORWARDED", "HTTP_X_OUTSIDE_URL")
SITE = 64
"""Bits of an IPv6 address that one client cannot choose (RFC 4291, 2.5.1)."""


class ClientAddresses:
    """Reads addresses from WSGI environments; `proxies` are those whose `X-Forwarded-For` or `X-Real-IP` is true."""

    def __init__(self, proxies: Sequence[Network] = ()) -> None:
        self._proxies = tuple(proxies)

    def of(self, environ: Mapping[str, object]) -> str:
        """Return the client's address, or the network of an IPv6 client; empty when it is not known."""
        peer = _address(environ.get("REMOTE_ADDR"))
        if peer is None:
            return ""
        if self._proxies:
            return _named(self._behind(environ) if self._is_proxy(peer) else peer)
        return "" if peer.is_loopback or any(name in environ for name in PASSED_ON) else _named(peer)

    def _behind(self, environ: Mapping[str, object]) -> Address | None:
        """Return the last address in the header that is not a proxy's: those before it can be made up."""
        chain = str(environ.get("HTTP_X_FORWARDED_FOR") or "").split(",")
        for text in reversed(chain):
            address = _address(text.strip())
            if address is None or not self._is_proxy(address):
                return address or _address(environ.get("HTTP_X_REAL_IP"))
        return None

    def _is_proxy(self, address: Address) -> bool:
        return any(address in proxy for proxy in self._proxies if proxy.version == address.version)


def _address(text: object) -> Address | None:
    try:
        address = ip_address(str(text or ""))
    except ValueError:
        return None
    mapped = getattr(address, "ipv4_mapped", None)
    return mapped if isinstance(mapped, IPv4Address) else address


def _named(address: Address | None) -> str:
    if isinstance(address, IPv6Address):
        return str(IPv6Network((address, SITE), strict=False))
    return str(address or "")
