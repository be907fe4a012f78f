"""Which hosts a step type may reach: those in public, and those that the definition names."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Annotated

from pydantic import AfterValidator

_GLOBAL_UNICAST = IPv6Network("2000::/3")
_IPV4_BEHIND = (IPv6Network("64:ff9b::/96"),)  # NAT64: the last 32 bits are the IPv4 address that is reached
_SPECIAL = tuple(
    map(
        ip_network,
        (
            "192.0.0.0/24",  # for protocols between neighbours; not in every version of ipaddress
            "192.88.99.0/24",  # relays of 6to4, which is given up
            "168.63.129.16/32",  # public by its number, but answered by the machine's own host (Azure)
            "3fff::/20",  # for documentation, since RFC 9637
        ),
    )
)


def is_public(address: str) -> bool:
    """Whether an IP address is one of the public internet: not private, loopback, link-local, multicast, reserved or
    for documentation, in none of the forms in which IPv6 can hold an IPv4 address."""
    try:
        return _is_public(ip_address(address))
    except ValueError:
        return False  # such as fe80::1%eth0, which is link-local, or something that is no address at all


def _is_public(address: IPv4Address | IPv6Address) -> bool:
    if any(address in network for network in _SPECIAL):
        return False
    if isinstance(address, IPv4Address):
        return address.is_global and not address.is_multicast and not address.is_reserved
    if address.scope_id is not None:
        return False
    inner = _ipv4_inside(address)
    if inner:
        return all(map(_is_public, inner))
    return address in _GLOBAL_UNICAST and address.is_global and not address.is_multicast


def _ipv4_inside(address: IPv6Address) -> tuple[IPv4Address, ...]:
    """The IPv4 addresses that an IPv6 address leads to: mapped, 6to4, Teredo (server and client) or NAT64."""
    if address.ipv4_mapped:
        return (address.ipv4_mapped,)
    if address.sixtofour:
        return (address.sixtofour,)
    if address.teredo:
        return address.teredo
    if any(address in network for network in _IPV4_BEHIND):
        return (IPv4Address(int(address) & 0xFFFFFFFF),)
    return ()


class AllowedHosts:
    """The hosts that a definition names in `allow_hosts`, with or without a port. A host is allowed under the name it
    was given, and under no other name that leads to the same address."""

    def __init__(self, entries: Iterable[str] = ()) -> None:
        """Raises ValueError naming an entry that is no host."""
        self._entries = frozenset(_entry(text) for text in _parts(entries))

    def names(self, host: str, port: int) -> bool:
        key = _key(host)
        return (key, None) in self._entries or (key, port) in self._entries


def _parts(entries: Iterable[str]) -> Iterable[str]:
    """A text may name several hosts, or none: that is how a parameter of a definition gives them."""
    return (part for entry in entries for part in entry.replace(",", " ").split())


def _entry(text: str) -> tuple[str, int | None]:
    try:
        return str(ip_address(text.strip("[]"))), None
    except ValueError:
        pass
    import httpx  # when it is needed: no start waits for it

    try:
        url = httpx.URL(f"http://{text}")
        # httpx drops the port that the scheme has anyway
        port = 80 if text.endswith(":80") else url.port
        plain = url.host and not url.userinfo and url.path == "/" and not url.query and text[-1:] not in "/?#"
    except httpx.InvalidURL:
        plain = False
    if not plain or "*" in text:
        raise ValueError(f'{text!r} is not a host; write a name or an address, such as "localhost" or "10.0.0.5:8080"')
    return _key(url.raw_host.decode("ascii")), port


def _key(host: str) -> str:
    host = host.strip("[]").rstrip(".").lower()
    try:
        return str(ip_address(host))
    except ValueError:
        return host


def _are_hosts(entries: list[str]) -> list[str]:
    AllowedHosts(entries)
    return entries


AllowHosts = Annotated[list[str], AfterValidator(_are_hosts)]
"""The setting `allow_hosts` of every step type that reaches out."""
