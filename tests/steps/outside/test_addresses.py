"""What counts as public, and what a definition may name."""

from __future__ import annotations

import pytest

from app.steps.outside.addresses import AllowedHosts, is_public

SPECIAL = [
    "127.0.0.1",
    "127.255.255.254",
    "0.0.0.0",  # noqa: S104
    "10.1.2.3",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "100.100.100.200",
    "168.63.129.16",
    "192.0.0.192",
    "192.0.2.1",
    "198.18.0.1",
    "203.0.113.9",
    "224.0.0.251",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "fe80::1",
    "fe80::1%eth0",
    "2606:4700::1111%eth0",
    "fec0::1",
    "fc00::1",
    "fd00:ec2::254",
    "ff02::1",
    "ff0e::1",
    "2001:db8::1",
    "100::1",
    "3fff::1",
    "192.88.99.1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::127.0.0.1",
    "2002:7f00:1::",
    "2002:c0a8:101::1",
    "2001:0:7f00:1::",
    "2001:0:808:808:0:0:80ff:fffe",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::808:808",
    "not an address",
    "",
]
PUBLIC = ["8.8.8.8", "1.1.1.1", "2606:4700:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::1"]


@pytest.mark.parametrize("address", SPECIAL)
def test_special_addresses_are_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", PUBLIC)
def test_addresses_of_the_internet_are_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    ("entry", "host", "port"),
    [
        ("localhost", "LOCALHOST.", 8080),
        ("Intra.Example", "intra.example", 443),
        ("intra.example:8080", "intra.example", 8080),
        ("intra.example:80", "intra.example", 80),
        ("::1", "::1", 80),
        ("[::1]:81", "0:0:0:0:0:0:0:1", 81),
        ("10.0.0.5", "10.0.0.5", 80),
        ("bücher.example", "xn--bcher-kva.example", 80),
    ],
)
def test_a_host_is_allowed_as_it_is_named(entry: str, host: str, port: int) -> None:
    assert AllowedHosts([entry]).names(host, port)


@pytest.mark.parametrize(
    ("entry", "host", "port"),
    [
        ("intra.example:8080", "intra.example", 80),
        ("intra.example:80", "intra.example", 8080),
        ("intra.example", "evil.intra.example", 80),
        ("example", "intra.example", 80),
        ("127.0.0.1", "localhost", 80),
        ("127.0.0.1", "2130706433", 80),
        ("", "localhost", 80),
    ],
)
def test_no_other_host_is_allowed_with_it(entry: str, host: str, port: int) -> None:
    assert not AllowedHosts([entry]).names(host, port)


def test_one_text_may_name_several_hosts_or_none() -> None:
    allowed = AllowedHosts(["", "a.example, b.example:81"])
    assert allowed.names("a.example", 80) and allowed.names("b.example", 81)


@pytest.mark.parametrize("entry", ["http://a.example", "a.example/path", "*.example", "user@a", "a:b", "a?", ":80"])
def test_what_is_no_host_is_refused(entry: str) -> None:
    with pytest.raises(ValueError, match="is not a host"):
        AllowedHosts([entry])
