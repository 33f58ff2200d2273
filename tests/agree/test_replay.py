"""S8: whatever a frame of a capture meets, test run at XDP or TC, interpreter or offline run, it is accepted alike."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import pytest
from support.backends import LONGEST_TEST_RUN, Backends, in_kernel
from support.frames import ETHERNET, ethernet_captures

import pfq
from pfq.codegen.spec import Hook
from pfq.files import read_frames
from pfq.lang import to_program

pytestmark = pytest.mark.agree

LANGUAGE = (
    *("is_ip", "is_ip6 .&&. is_udp", "is_tcp .&&. not (has_port 80)", "is_icmp .||. is_icmp6", "is_frag", "is_syn"),
    *("has_addr 10.0.0.0/8", "has_src_addr 212.199.202.9", "has_dst_addr ff00::/8", "has_vlan", "has_vid 118"),
    *("has_src_port 53 .^^. has_dst_port 443", 'addr_in "31.13.72.0/24, 192.168.0.0/16, 2001::/16"', "is_gtp"),
    *("pkt_len .> 512", "ip_ttl .< 64", "tcp_flags `any_bit` 5", "payload_len .== 0", "is_l3_proto 0x0806", "is_sip"),
)
BERKELEY = (
    *("ip", "ip6 and udp", "tcp and not port 80", "icmp or icmp6", "ip[6:2] & 0x3fff != 0", "tcp[tcpflags] = tcp-syn"),
    *("net 10.0.0.0/8", "src host 212.199.202.9", "dst net ff00::/8", "vlan", "vlan 118", "ether multicast"),
    *("port 53 or tcp port 443", "len > 512 and udp", "ip[8] < 64", "tcp[13] & 5 != 0", "udp[8:2] & 0xff != 0", "llc"),
    *("not (src net 10 or dst net 10)", "tcp[((tcp[12] & 0xf0) >> 2):4] = 0x48545450"),
)
FILTERS = (*LANGUAGE, *(f'bpf "{expression}"' for expression in BERKELEY))
TALLY = " >-> ".join(f"when ({each}) (inc {number})" for number, each in enumerate(FILTERS))

CAPTURES = ethernet_captures()


@cache
def frames() -> tuple[bytes, ...]:
    """All whole frames of all captures, in the order of the captures; a program decides on Ethernet only."""
    return tuple(data for path in CAPTURES for data, is_whole in records(path) if is_whole)


def records(path: object) -> Iterator[tuple[bytes, bool]]:
    """Each frame of a capture, and whether it is of Ethernet and nothing is cut off."""
    for frame in read_frames(path):
        yield frame.data, frame.link_type == ETHERNET and frame.len == len(frame.data)


@cache
def offline() -> tuple[frozenset[int], ...]:
    """The numbers of the filters that accept each frame, each asked in a run of its own over all captures."""
    whole = [is_whole for path in CAPTURES for _, is_whole in records(path)]
    accepted: list[set[int]] = [set() for _ in whole]
    for number, each in enumerate(FILTERS):
        at = 0
        for batch in pfq.run(f"filter ({each})", CAPTURES):
            for i in batch.selected.nonzero()[0].tolist():
                accepted[at + i].add(number)
            at += len(batch)
        assert at == len(whole)
    return tuple(frozenset(numbers) for numbers, is_whole in zip(accepted, whole, strict=True) if is_whole)


def test_S8_there_is_enough_to_replay() -> None:
    assert len(FILTERS) == 40
    assert len(frames()) > 6000
    assert set().union(*offline()) == set(range(len(FILTERS)))


@pytest.mark.parametrize("hook", [Hook.XDP, Hook.TC_INGRESS], ids=lambda hook: hook.value)
def test_S8_every_capture_through_every_filter(hook: Hook) -> None:
    program = to_program(TALLY)
    wanted: dict[bytes, frozenset[int]] = {}
    with in_kernel(program, hook) as kernel:
        backends = Backends(program, kernel)
        for frame, accepted in zip(frames(), offline(), strict=True):
            if frame not in wanted:
                wanted[frame] = frozenset(backends.compare_short(frame).counters)
            assert accepted == wanted[frame], f"offline: {sorted(accepted)}\n{sorted(wanted[frame])}\n{frame.hex()}"
    assert sum(len(frame) <= LONGEST_TEST_RUN for frame in wanted) > 5000
