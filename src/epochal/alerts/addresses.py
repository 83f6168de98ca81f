"""Which addresses a message may be sent to.

A channel's address is typed by a user, and the server stands where that user may not reach: beside databases,
routers and the metadata service of a cloud.  So only public addresses are connected to, and others where the
server's settings allow them.

Source: OWASP, "Server-Side Request Forgery Prevention".
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# IPv6 addresses that a gateway turns into the IPv4 address in their last 4 bytes.
_NAT64 = (ipaddress.ip_network("64:ff9b::/96"), ipaddress.ip_network("64:ff9b:1::/48"))


def networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """Return networks from texts such as `10.1.0.0/16` or `127.0.0.1`.

    Raises:
        ValueError: a text is no network.
    """
    return tuple(ipaddress.ip_network(text) for text in texts)


def may_reach(host: object, allowed: Sequence[Network]) -> bool:
    """Whether a socket may be connected to `host`, which must be an address: names were looked up before."""
    try:
        address = ipaddress.ip_address(str(host).partition("%")[0])
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped  # the same as far as the system is concerned
    meant = [address, *_inside(address)]
    if any(a.version == n.version and a in n for a in meant for n in allowed):
        return True
    return all(a.is_global and not a.is_multicast and not a.is_reserved for a in meant)


def _inside(address: Address) -> list[Address]:
    """Return the IPv4 addresses that an IPv6 address stands for."""
    if isinstance(address, ipaddress.IPv4Address):
        return []
    found: list[Address] = []
    if address.sixtofour is not None:
        found.append(address.sixtofour)
    if address.teredo is not None:
        found += address.teredo
    if any(address in network for network in _NAT64) or int(address) >> 32 == 0:
        found.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    return found
