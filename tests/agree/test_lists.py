"""A packet is forwarded at most 16 times and reported at most 16 times, in every back end."""

from __future__ import annotations

import pytest
from support.backends import Backends, in_kernel
from support.frames import ethernet, ip4, tcp

from pfq.codegen.spec import Hook
from pfq.lang.action import MAX_EVENTS, MAX_FORWARDS
from pfq.lang.compile import compile_text

pytestmark = pytest.mark.agree

FRAME = ethernet(ip4(tcp()), 0x0800)


@pytest.mark.parametrize("hook", [Hook.XDP, Hook.TC_INGRESS], ids=lambda hook: hook.value)
@pytest.mark.parametrize("calls", [15, 16, 17, 20])
def test_no_more_than_16(calls: int, hook: Hook) -> None:
    text = " >-> ".join(f'forward "eth{n}" >-> log_msg "{n}"' for n in range(calls)) + " >-> mark 7 >-> drop"
    program = compile_text(text)
    with in_kernel(program, hook) as kernel:
        action = Backends(program, kernel).compare(FRAME)
    assert action.forwards == [f"eth{n}" for n in range(min(calls, MAX_FORWARDS))]
    assert [event.text for event in action.events] == [str(n) for n in range(min(calls, MAX_EVENTS))]
    assert action.mark == 7


def test_one_device_may_be_listed_often() -> None:
    program = compile_text('forward "eth0" >-> forward "eth0" >-> link ["eth0", "lo", "eth1"]')
    with in_kernel(program, Hook.TC_INGRESS) as kernel:
        assert Backends(program, kernel).compare(FRAME).forwards == ["eth0", "eth0", "eth0", "eth1"]
