"""Fewer packets: one in so many by chance, or so many in a second."""

from __future__ import annotations

from pfq.lang.interp import Machine
from pfq.lang.prims.emitter import Code, Emitter
from pfq.lang.prims.table import Prim

STATE_BYTES = 8
WORD64 = (1 << 64) - 1
MULTIPLIER, INCREMENT = 6364136223846793005, 1442695040888963407
"""Of the linear congruential generator modulo 2**64, those of D. Knuth's MMIX."""

SECOND_NS = MAX_RATE = 10**9
TRIES = 8


def sample(m: Machine, n: int) -> bool:
    state: int = m.memory.get(m.site, 0) * MULTIPLIER + INCREMENT & WORD64
    m.memory[m.site] = state
    return state <= WORD64 // n


def lower_sample(e: Emitter, n: int) -> None:
    memory, start = e.per_cpu(STATE_BYTES), e.number(0)
    state = e.add(e.mul(e.read(memory, start, STATE_BYTES), e.number(MULTIPLIER)), e.number(INCREMENT))
    e.write(memory, start, STATE_BYTES, state)
    e.branch(e.compare("<=", state, e.number(WORD64 // n)), lambda: None, e.drop)


def interval_ns(rate: int) -> int:
    """Rounded up, so that never more than the rate passes."""
    return -(-SECOND_NS // rate)


def limit(m: Machine, rate: int, burst: int) -> bool:
    """The state is the time at which the bucket will be full again.

    It is at most `burst * interval` ahead of the clock, which is below 2**62.
    """
    interval = interval_ns(rate)
    full_at = max(m.memory.get(m.site, 0), m.world.now_ns)
    if full_at - m.world.now_ns > (burst - 1) * interval:
        return False
    m.memory[m.site] = full_at + interval
    return True


def lower_limit(e: Emitter, rate: int, burst: int) -> None:
    """When other CPUs were faster at every try, the packet is over the limit."""
    interval = interval_ns(rate)
    memory, start, now = e.shared(STATE_BYTES), e.number(0), e.now()

    def take() -> Code:
        before = e.read(memory, start, STATE_BYTES)
        full_at = e.select(e.compare(">", before, now), before, now)
        over = e.compare(">", e.sub(full_at, now), e.number((burst - 1) * interval))
        e.branch(over, e.drop, lambda: None)
        return e.exchange(memory, start, before, e.add(full_at, e.number(interval)))

    e.branch(e.until(TRIES, take), lambda: None, e.drop)


def check_limit(rate: int, burst: int) -> str | None:
    if not 1 <= rate <= MAX_RATE:
        return f"a limit of {rate} packets per second cannot be kept: it is 1 to {MAX_RATE}"
    return None if burst >= 1 else "a burst of 0 packets lets nothing pass: it is at least 1"


ROWS: tuple[Prim, ...] = (
    Prim(
        name="sample",
        type="Word32 -> Packet -> Action Packet",
        doc="Passes one packet in `n` on average, by a pseudo-random sequence of each CPU, and drops the others.",
        run=sample,
        lower=lower_sample,
        example="sample 100 >-> steer_flow",
        family="control",
        check=lambda n: None if n >= 1 else "one packet in 0 cannot be chosen: the number is at least 1",
    ),
    Prim(
        name="limit",
        type="Word32 -> Word32 -> Packet -> Action Packet",
        doc="Passes at most `rate` packets per second, over all CPUs, and up to `burst` of them at once, and drops the "
        "others.",
        run=limit,
        lower=lower_limit,
        example="when is_icmp (limit 1000 50)",
        family="control",
        check=check_limit,
    ),
)
