"""Constants at the edges of what they may be mean the same everywhere (row V9 of the reliability catalogue)."""

from __future__ import annotations

import pytest
from support.backends import Backends, in_kernel
from support.handmade import FRAMES

from pfq.codegen.spec import Hook
from pfq.lang.compile import compile_text

pytestmark = pytest.mark.agree

MAX64 = 2**64 - 1
PREDICATES = (
    "has_addr 1.2.3.4/0",
    "has_addr ffff::/0",
    "has_addr 0.0.0.0/32 .||. has_addr 10.0.0.1/32",
    "has_addr ::/128 .||. has_addr ::/1",
    "has_addr 10.0.0.1/31 .^^. has_addr 2001:db8::1/127",
    "ip_ttl .>= 10 .&&. ip_ttl .<= 5",
    "ip_ttl .>= 5 .&&. ip_ttl .<= 5",
    f"ip_ttl .>= 0 .^^. ip_ttl .> {MAX64}",
    f"ip_ttl .< 0 .||. ip_ttl .<= {MAX64}",
    f"ip_ttl ./= {MAX64} .&&. ip_ttl ./= {2**63}",
    f"ip_ttl .< {2**63} .^^. ip_ttl .< {2**31}",
    "ip_ttl `any_bit` 0 .||. ip_ttl `all_bit` 0",
    f"ip_ttl `any_bit` {MAX64} .^^. ip_ttl `all_bit` {MAX64}",
    "has_port 0 .||. has_port 65535",
    "is_l3_proto 0 .||. is_l3_proto 65535 .||. is_l4_proto 0 .||. is_l4_proto 255",
    "if ip_ttl .== 5 then has_port 80 else has_port 443",
)


@pytest.mark.parametrize("predicate", PREDICATES)
def test_V9_the_same_everywhere(predicate: str) -> None:
    program = compile_text(f"mark (if {predicate} then {2**32 - 1} else 0) >-> filter (not ({predicate}))")
    with in_kernel(program, Hook.XDP) as kernel:
        backends = Backends(program, kernel)
        decided = {backends.compare(frame).mark for frame in FRAMES.values()}
    assert decided <= {0, 2**32 - 1}
    assert backends.compared == len(FRAMES)
