"""`is_ip_host`: the addresses that the device has, also those that it gets while the program runs."""

from __future__ import annotations

import logging
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address

import pytest
from root.capture.harness import opened, send, settled, udp4
from root.left import left_since, snapshot
from root.network import Pair, Sender, eventually
from support.frames import ethernet, ip6, udp

from pfq.engine.capture import Capture
from pfq.engine.hooks import HookChoice
from pfq.errors import LimitError

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("nothing_left")]

TESTS = ("is_ip_host", "is_incoming_host", "is_ip")
SOON_S = 2.0
MAC = b"\x02\0\0\0\0\x01"


def change(pair: Pair, *words: str) -> None:
    pair.b.run("ip", "address", *words, "dev", pair.dev_b)


@pytest.fixture
def pair(netns_pair: Pair) -> Pair:
    """The device has an address of each family, and no link-local one."""
    netns_pair.b.run("ip", "link", "set", netns_pair.dev_b, "addrgenmode", "none")
    netns_pair.b.run("sysctl", "-q", "-w", f"net.ipv6.conf.{netns_pair.dev_b}.disable_ipv6=0")
    change(netns_pair, "add", "10.9.0.2/24")
    change(netns_pair, "add", "2001:db8::2/64")
    return netns_pair


def frame(source: str, target: str) -> bytes:
    ends = [ip_address(text).packed for text in (source, target)]
    if len(ends[0]) == 4:
        return udp4(ends[0], ends[1], (1000, 53), bytes(20), MAC)
    return MAC + ethernet(ip6(udp(), 17, *ends), 0x86DD)[6:]


@contextmanager
def counting(pair: Pair, *tests: str, hook: HookChoice = "auto") -> Iterator[tuple[Capture, Sender]]:
    program = " >-> ".join(f"when ({test}) (inc {number})" for number, test in enumerate(tests)) + " >-> drop"
    with opened(pair, program, hook=hook, slots=64) as capture, pair.sender() as sender:
        yield capture, sender


def hits(capture: Capture, sender: Sender, *ends: tuple[str, str]) -> list[int]:
    """By how much the first three counters grow when packets come, from and to these addresses."""
    before = capture.statistics()
    send(sender, [frame(*each) for each in ends])
    after = settled(capture, before.arrived + len(ends))
    return [new - old for old, new in zip(before.groups[0].counters, after.groups[0].counters, strict=True)][:3]


def test_both_families(pair: Pair, mode: HookChoice) -> None:
    with counting(pair, *TESTS, hook=mode) as (capture, sender):
        for ours, others in (("10.9.0.2", "10.9.0.1"), ("2001:db8::2", "2001:db8::1")):
            assert hits(capture, sender, (others, ours))[:2] == [1, 1]
            assert hits(capture, sender, (ours, others))[:2] == [1, 1]
            assert hits(capture, sender, (others, others))[:2] == [0, 0]
        near = ("10.9.0.3", "10.9.0.1", "10.9.0.0", "10.9.0.255", "127.0.0.1", "2.0.9.10", "255.255.255.255")
        assert hits(capture, sender, *(("10.9.0.1", text) for text in near)) == [0, 0, len(near)]
        near = ("2001:db8::3", "2001:db8::", "2001:db8:0:1::2", "::2", "::1", "::a09:2", "::ffff:10.9.0.2")
        assert hits(capture, sender, *(("2001:db8::1", text) for text in near))[:2] == [0, 0]


@pytest.mark.parametrize(
    ("program", "to_us", "from_us"), [("src ip_host", 0, 1), ("dst ip_host", 1, 0), ("ip_host", 1, 1)]
)
def test_one_side(pair: Pair, program: str, to_us: int, from_us: int) -> None:
    with opened(pair, program, slots=64) as capture, pair.sender() as sender:
        for ends, selected in ((("10.9.0.1", "10.9.0.2"), to_us), (("10.9.0.2", "10.9.0.1"), from_us)):
            before = capture.statistics()
            send(sender, [frame(*ends)])
            assert settled(capture, before.arrived + 1).selected - before.selected == selected


def test_addresses_that_come_and_go_while_it_runs(pair: Pair) -> None:
    with counting(pair, *TESTS) as (capture, sender):

        def is_ours(ours: str, other: str) -> bool:
            return hits(capture, sender, (other, ours))[0] == 1

        for ours, prefix, other in (("10.9.0.7", "24", "10.9.0.1"), ("2001:db8::7", "64", "2001:db8::1")):
            assert not is_ours(ours, other)
            change(pair, "add", f"{ours}/{prefix}")
            assert eventually(lambda ours=ours, other=other: is_ours(ours, other), SOON_S)
        assert is_ours("10.9.0.2", "10.9.0.1")
        change(pair, "del", "10.9.0.2/24")
        change(pair, "del", "2001:db8::7/64")
        assert eventually(lambda: not is_ours("10.9.0.2", "10.9.0.1"), SOON_S)
        assert not is_ours("2001:db8::7", "2001:db8::1")
        assert is_ours("2001:db8::2", "2001:db8::1")


def test_of_the_receiving_device_alone(pair: Pair) -> None:
    pair.b.run("ip", "address", "add", "10.9.1.1/32", "dev", "lo")
    with counting(pair, *TESTS) as (capture, sender):
        assert hits(capture, sender, ("10.9.0.1", "10.9.1.1"), ("10.9.0.1", "127.0.0.1")) == [0, 0, 2]


def test_without_an_address(netns_pair: Pair) -> None:
    with counting(netns_pair, *TESTS) as (capture, sender):
        assert hits(capture, sender, ("10.9.0.1", "10.9.0.2"), ("0.0.0.0", "0.0.0.0")) == [0, 0, 2]


def add_many(pair: Pair, count: int) -> None:
    """Addresses that lie apart, so that each is a range of its own."""
    batch = "".join(f"address add 10.{n // 100}.{n % 100}.1/32 dev {pair.dev_b}\n" for n in range(count))
    subprocess.run(pair.b.command("ip", "-batch", "-"), input=batch, text=True, check=True)


def test_many_addresses(pair: Pair) -> None:
    add_many(pair, 100)
    with counting(pair, *TESTS) as (capture, sender):
        ends = [("192.0.2.1", f"10.0.{n}.{last}") for n in range(100) for last in (0, 1, 2)]
        assert hits(capture, sender, *ends)[0] == 100


TOO_MANY = 5000


def test_too_many_addresses(pair: Pair) -> None:
    add_many(pair, TOO_MANY)
    before = snapshot()
    with pytest.raises(LimitError, match="the device has too many addresses for `is_ip_host`") as caught:
        opened(pair, "ip_host", slots=64)
    assert "`addr_in`" in str(caught.value.hint)
    assert not left_since(before)
    opened(pair, "ip", slots=64).close()  # who does not ask is not refused


def test_too_many_addresses_while_it_runs(pair: Pair, caplog: pytest.LogCaptureFixture) -> None:
    """It is said once, what was known stays known, and changes are followed again when there is room."""
    with caplog.at_level(logging.WARNING), counting(pair, *TESTS) as (capture, sender):
        add_many(pair, TOO_MANY)
        assert eventually(lambda: "too many addresses for `is_ip_host`" in caplog.text, SOON_S)
        assert hits(capture, sender, ("192.0.2.1", "10.9.0.2"), ("192.0.2.1", "10.0.0.1"))[0] == 1
        change(pair, "flush")
        change(pair, "add", "10.7.0.1/24")
        assert eventually(lambda: hits(capture, sender, ("192.0.2.1", "10.7.0.1"))[0] == 1, SOON_S)
        assert caplog.text.count("too many addresses") == 1
