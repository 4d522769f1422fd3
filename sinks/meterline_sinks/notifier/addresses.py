"""Which IP addresses a webhook may lead to: public ones, or a customer could reach into our network. Pure."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Final

_GLOBAL_UNICAST: Final = IPv6Network("2000::/3")
_NAT64: Final = IPv6Network("64:ff9b::/96")  # RFC 6052: the last 32 bits are an IPv4 address


def is_public(address: str) -> bool:
    """Whether everybody can reach it: none that is private, loopback, link-local, multicast or reserved.

    An IPv6 address that stands for an IPv4 one (mapped, 6to4, Teredo, NAT64) is judged as that.

    Raises:
        ValueError: it is no IP address.
    """
    found = ip_address(address)
    if isinstance(found, IPv4Address):
        return _is_public_v4(found)
    if found.ipv4_mapped is not None:
        return _is_public_v4(found.ipv4_mapped)
    if found in _NAT64:
        return _is_public_v4(IPv4Address(int(found) & 0xFFFF_FFFF))
    inner = [found.sixtofour] if found.sixtofour is not None else list(found.teredo or ())
    return _is_public_v6(found) and all(_is_public_v4(each) for each in inner)


def _is_public_v4(address: IPv4Address) -> bool:
    return address.is_global and not (address.is_multicast or address.is_reserved)


def _is_public_v6(address: IPv6Address) -> bool:
    return address in _GLOBAL_UNICAST and address.is_global and address.scope_id is None
