"""Names of hosts, and the addresses that they may lead to."""

import ipaddress

import pytest
from ringfence.model import hosts

GLOBAL = ("1.1.1.1", "8.8.8.8", "93.184.215.14", "100.63.255.255", "172.32.0.1", "2600::1", "2a00:1450:4001::5")
INSIDE = (
    *("0.0.0.0", "10.0.0.1", "100.64.0.1", "100.100.100.200", "127.0.0.1", "169.254.169.254", "172.16.0.1"),
    *("192.168.1.1", "198.18.0.1", "203.0.113.7", "224.0.0.1", "240.0.0.1", "255.255.255.255"),
    *("::", "::1", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "64:ff9b::7f00:1", "fd00:ec2::254", "fe80::1", "ff02::1"),
    *("2001:db8::1", "2002:7f00:1::", "2001::1"),
)


@pytest.mark.parametrize(
    ("pattern", "name", "matches"),
    [
        ("api.example.com", "api.example.com", True),
        ("api.example.com", "xapi.example.com", False),
        ("api.example.com", "api.example.com.", False),
        ("*.example.com", "a.example.com", True),
        ("*.example.com", "a.b.example.com", False),
        ("*.example.com", "example.com", False),
        ("*.example.com", ".example.com", False),
        ("*.example.com", "aexample.com", False),
    ],
)
def test_a_wildcard_is_one_whole_label(pattern: str, name: str, matches: bool) -> None:
    assert hosts.matches(pattern, name) is matches


def test_names_lead_to_global_addresses_only() -> None:
    found = hosts.outside((), ())
    assert [each for each in GLOBAL if each not in found] == []
    assert [each for each in INSIDE if each in found] == []
    for network in (*hosts.NEVER, *hosts.METADATA):
        assert str(ipaddress.ip_network(network).network_address) not in found, network


def test_what_an_installation_lists_is_open_but_for_this_host_and_credentials() -> None:
    found = hosts.outside(("10.1.0.0/16", "fd00::/8", "169.254.0.0/16", "127.0.0.0/8"), ("10.1.2.0/24", "8.8.8.0/24"))
    assert [each for each in ("10.1.0.1", "fd00::1", "1.1.1.1") if each not in found] == []
    inside = ("10.1.2.1", "8.8.8.8", "10.2.0.1", "fd00:ec2::254", "169.254.169.254", "127.0.0.1")
    assert [each for each in inside if each in found] == []
