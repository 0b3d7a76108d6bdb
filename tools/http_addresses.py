"""Which addresses are public, and which of them a name has."""

import socket
from ipaddress import IPv4Address, IPv6Network, ip_address

import anyio

from agentkit import ToolError

# Networks whose last 32 bits are an IPv4 address: RFC 6052, and RFC 4291, section 2.5.5.1.
_IPV4_INSIDE = (IPv6Network("64:ff9b::/96"), IPv6Network("::/96"))
# Local by RFC 8215 and RFC 3879, which `ipaddress` does not know.
_LOCAL = (IPv6Network("64:ff9b:1::/48"), IPv6Network("fec0::/10"))
_MOST = 4


async def addresses_of(host: str, port: int, *, allow_private: bool) -> list[str]:
    """The first few addresses of a name, as the resolver gives them. Raises `ToolError` for a
    name without any, and unless `allow_private` for one with an address that is not public."""
    try:
        found = await anyio.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise ToolError(f"{host} cannot be resolved: {error}") from error
    addresses = list(dict.fromkeys(str(place[0]) for *_, place in found))
    if not addresses:
        raise ToolError(f"{host} has no address")
    if not allow_private and not all(map(is_public, addresses)):
        raise ToolError(f"{host} has an address that is not public; it is not asked")
    return addresses[:_MOST]


def is_public(address: str) -> bool:
    """Whether an address, and the IPv4 address that it stands for, is on the internet."""
    given = ip_address(address)
    if isinstance(given, IPv4Address):
        return given.is_global and not given.is_multicast
    if given.scope_id is not None or any(given in network for network in _LOCAL):
        return False
    if given.ipv4_mapped is not None or any(given in network for network in _IPV4_INSIDE):
        return is_public(str(IPv4Address(int(given) & 0xFFFFFFFF)))
    if given.sixtofour is not None and not is_public(str(given.sixtofour)):
        return False
    return given.is_global and not given.is_multicast
