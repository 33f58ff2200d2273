"""IP addresses of devices, as `ip address` gives and takes them."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from root.network import Namespace, Pair

from pfq.kernel.addresses import addresses
from pfq.kernel.netlink import Netlink

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("nothing_left")]

Addresses = frozenset[IPv4Address | IPv6Address]


@pytest.fixture
def link(netns_pair: Pair) -> Iterator[Netlink]:
    with netns_pair.b.call(Netlink) as link:
        yield link


def of(*texts: str) -> Addresses:
    return frozenset(map(ip_address, texts))


def change(pair: Pair, *words: str) -> None:
    pair.b.run("ip", "address", *words, "dev", pair.dev_b)


def allow_ip6(pair: Pair) -> None:
    """The namespaces of the tests have it off; without a link-local address of its own the device has ours alone."""
    pair.b.run("ip", "link", "set", pair.dev_b, "addrgenmode", "none")
    pair.b.run("sysctl", "-q", "-w", f"net.ipv6.conf.{pair.dev_b}.disable_ipv6=0")


def test_none(netns_pair: Pair, link: Netlink) -> None:
    assert addresses(link, netns_pair.ifindex_b) == of()


def test_both_families(netns_pair: Pair, link: Netlink) -> None:
    allow_ip6(netns_pair)
    for text in ("10.9.0.2/24", "10.9.0.3/24", "192.0.2.1/32", "2001:db8::2/64", "fe80::7/64"):
        change(netns_pair, "add", text)
    wanted = of("10.9.0.2", "10.9.0.3", "192.0.2.1", "2001:db8::2", "fe80::7")
    assert addresses(link, netns_pair.ifindex_b) == wanted
    change(netns_pair, "del", "10.9.0.3/24")
    change(netns_pair, "del", "2001:db8::2/64")
    assert addresses(link, netns_pair.ifindex_b) == of("10.9.0.2", "192.0.2.1", "fe80::7")


def test_of_one_device(netns_pair: Pair, link: Netlink) -> None:
    change(netns_pair, "add", "10.9.0.2/24")
    assert addresses(link, 1) == of("127.0.0.1", "::1")
    assert addresses(link, netns_pair.ifindex_b) == of("10.9.0.2")
    assert addresses(link, 999) == of()


def test_our_end_of_a_point_to_point_link(netns_pair: Pair, link: Netlink) -> None:
    """`IFA_ADDRESS` is the other end there."""
    allow_ip6(netns_pair)
    change(netns_pair, "add", "10.9.0.2", "peer", "10.9.0.1")
    change(netns_pair, "add", "2001:db8::2", "peer", "2001:db8::1")
    assert addresses(link, netns_pair.ifindex_b) == of("10.9.0.2", "2001:db8::2")


def test_labels_and_broadcast_addresses_are_none(netns_pair: Pair, link: Netlink) -> None:
    change(netns_pair, "add", "10.9.0.2/24", "brd", "10.9.0.255", "label", f"{netns_pair.dev_b}:1")
    assert addresses(link, netns_pair.ifindex_b) == of("10.9.0.2")


def test_a_device_that_is_down(netns_pair: Pair, link: Netlink) -> None:
    change(netns_pair, "add", "10.9.0.2/24")
    netns_pair.b.run("ip", "link", "set", netns_pair.dev_b, "down")
    assert addresses(link, netns_pair.ifindex_b) == of("10.9.0.2")


def test_many(netns_pair: Pair, link: Netlink) -> None:
    """More than one message holds."""
    texts = [f"10.9.{n // 250}.{n % 250 + 1}" for n in range(2000)]
    batch = "".join(f"address add {text}/16 dev {netns_pair.dev_b}\n" for text in texts)
    subprocess.run(netns_pair.b.command("ip", "-batch", "-"), input=batch, text=True, check=True)
    assert addresses(link, netns_pair.ifindex_b) == of(*texts)


def test_the_namespace_of_the_socket(netns: Namespace, netns_pair: Pair, link: Netlink) -> None:
    change(netns_pair, "add", "10.9.0.2/24")
    with netns.call(Netlink) as elsewhere:
        assert addresses(elsewhere, netns_pair.ifindex_b) == of()
        assert addresses(elsewhere, 1) == of("127.0.0.1", "::1")
