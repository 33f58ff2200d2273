"""The interpreter: what a program means, in plain Python.

Compiled code, for the host and for the kernel, must agree with it on every packet.
"""

from __future__ import annotations

from typing import Any

from pfq.lang.action import Action, Fanout
from pfq.lang.packet import Packet, Tag
from pfq.lang.program import Call, Chain, Program


class Machine:
    """One packet on its way through one group; the reference functions of the table work on it."""

    def __init__(self, packet: Packet, mark: int = 0) -> None:
        self.packet = packet
        self.action = Action(mark=mark)

    def run(self, chain: Chain) -> bool:
        """Runs a chain; False when the packet was dropped, and then the rest was not run."""
        for call in chain.calls:
            if not call.prim.run(self, *call.args):
                self.action.fanout = Fanout.DROP
                return False
        return True

    def test(self, predicate: Call) -> bool:
        return bool(predicate.prim.run(self, *predicate.args))

    def value(self, prop: Call) -> int | None:
        """The property's value, None when the packet does not have it."""
        result: Any = prop.prim.run(self, *prop.args)
        return None if result is None else int(result)


def decide(program: Program, frame: bytes, *, mark: int = 0, tag: Tag | None = None) -> Action:
    """The action of a program for one frame.

    mark  what earlier groups left
    tag   the VLAN tag that the device took off the frame
    """
    machine = Machine(Packet(frame, tag), mark)
    machine.run(program.main)
    return machine.action
