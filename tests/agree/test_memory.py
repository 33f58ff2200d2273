"""What stays from packet to packet is the same in interpreter, native code and eBPF, packet after packet."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from support.backends import WORLD, Backends, in_kernel
from support.frames import ADDRESSES6, ethernet, ip4, ip6, tcp, udp
from support.shapes import shapes

from pfq.codegen.spec import Hook
from pfq.lang.compile import compile_text

pytestmark = pytest.mark.agree

PACKETS = 1500
SECOND_NS = 1_000_000_000

PROGRAMS = (
    "limit 10 3",
    "limit 1 1 >-> sample 2",
    "sample 3 >-> when is_tcp (sample 2)",
    "par (limit 5 2) (limit 2 1 >-> mark 1)",
    "flow_inc key_5tuple 16 3 >-> when (flow_get key_5tuple 16 3 .> 4) (mark 5)",
    "when (flow_get (key_ip_src <> key_ip_dst) 8 2 .> 1) (inc 0) >-> flow_inc (key_ip_src <> key_ip_dst) 8 2",
    "when is_tcp (flow_put key_ip_src 8 1 77) >-> filter (flow_get key_ip_src 8 1 .== 77)",
    "unless (flow_get key_5tuple 64 1 .>= 0) (flow_put key_5tuple 64 1 9 >-> inc 1) >-> flow_inc key_5tuple 64 1",
    "shift (flow_inc key_3tuple 8 5 >-> when (flow_get key_3tuple 8 5 .== 2) (inc 2))",
)


def frames() -> list[bytes]:
    """Packets of more flows than the small tables hold, both ways, some through tunnels."""
    found = []
    for host in range(40):
        near, far = bytes((10, 0, 0, host)), bytes((10, 0, 1, 1))
        for source, dest, ports in ((near, far, (4000 + host, 80)), (far, near, (80, 4000 + host))):
            found.append(ethernet(ip4(tcp(*ports), 6, source, dest), 0x0800))
            found.append(ethernet(ip4(udp(*ports), 17, source, dest), 0x0800))
    found.append(ethernet(ip6(tcp(), 6, ADDRESSES6[0], ADDRESSES6[1]), 0x86DD))
    found.append(ethernet(ip6(tcp(80, 1024), 6, ADDRESSES6[1], ADDRESSES6[0]), 0x86DD))
    return found + [frame for name, frame in shapes().items() if "GRE" in name or "VXLAN" in name]


@pytest.mark.parametrize("hook", [Hook.XDP, Hook.TC_INGRESS], ids=lambda hook: hook.value)
@pytest.mark.parametrize("text", PROGRAMS)
def test_packet_after_packet(text: str, hook: Hook) -> None:
    """The clock sometimes stands still, sometimes goes on, sometimes jumps over every time-out."""
    dice, pool, now, seen = random.Random(7), frames(), WORLD.now_ns, set()
    program = compile_text(text)
    with in_kernel(program, hook) as kernel:
        backends = Backends(program, kernel)
        for _ in range(PACKETS):
            now += dice.choice((0, 1, 10_000_000, 100_000_000, SECOND_NS, 4 * SECOND_NS))
            few = dice.random() < 0.7
            action = backends.compare(dice.choice(pool[:12] if few else pool), replace(WORLD, now_ns=now))
            seen.add((action.fanout, action.mark, tuple(sorted(action.counters.items()))))
    assert len(seen) > 1, "the memory makes a difference"
