"""Which addresses belong to everybody's network, and which to this machine or to a network of somebody's own (pure).

A pin makes this server connect to a host of a stranger's choice, and a name may stand for any address: that of the
cloud's metadata service, of a database beside this server, or of this server itself.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

NAT64 = IPv6Network("64:ff9b::/96")
"""RFC 6052: the IPv4 address is in the last 32 bits."""


def is_public(text: str) -> bool:
    """Whether the IPv4 or IPv6 address `text` is one of the internet's (IANA's special-purpose registries).

    An IPv4 address inside an IPv6 one (mapped, 6to4, Teredo, NAT64) is what counts. Raises ValueError for no address.
    """
    address = ip_address(text.partition("%")[0])
    inner = _carried(address) if isinstance(address, IPv6Address) else ()
    return all(_is_global(one) for one in (inner or (address,)))


def literal(host: str) -> str | None:
    """The address that `host`, a URL's host, is written as; None for a name."""
    text = host.removeprefix("[").removesuffix("]")
    try:
        return str(ip_address(text))
    except ValueError:
        return None


def _is_global(address: IPv4Address | IPv6Address) -> bool:
    return address.is_global and not address.is_multicast


def _carried(address: IPv6Address) -> tuple[IPv4Address, ...]:
    if address.ipv4_mapped is not None:
        return (address.ipv4_mapped,)
    if address.sixtofour is not None:
        return (address.sixtofour,)
    if address.teredo is not None:
        return address.teredo
    if address in NAT64:
        return (IPv4Address(int(address) & 0xFFFFFFFF),)
    return ()
