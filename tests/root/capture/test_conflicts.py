"""D5: programs of others on the device. Ours never takes the place of one, and says whose it is."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import pytest
from root.capture.harness import NEEDS_TCX, flow_frame, opened, send, settled
from root.kernel.counted import TC_NEXT, XDP_PASS, Counted
from root.left import left_since, snapshot
from root.network import Pair, eventually

from pfq.codegen.spec import Hook
from pfq.engine.hooks import HookChoice
from pfq.errors import AttachConflictError
from pfq.kernel.attach import TcxLink, XdpLink, _set_xdp
from pfq.kernel.devices import XdpMode
from pfq.kernel.netlink import Netlink

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("nothing_left")]


@contextmanager
def foreign_xdp(pair: Pair, how: str) -> Iterator[Counted]:
    """An XDP program of somebody else: `native` or `generic` by a link, `netlink` without."""
    with Counted(XDP_PASS, name="theirs") as counted, pair.b.call(Netlink) as link:
        if how == "netlink":
            _set_xdp(link, pair.ifindex_b, counted.program.fd, 0, None)
            yield counted
            _set_xdp(link, pair.ifindex_b, -1, 0, None)
        else:
            attached = pair.b.call(XdpLink.attach, counted.program, pair.ifindex_b, XdpMode(how))
            yield counted
            attached.detach()


@pytest.mark.parametrize("theirs", ["native", "generic", "netlink"])
@pytest.mark.parametrize("ours", ["xdp", "xdp-generic", "auto"])
def test_D5_foreign_xdp_program(netns_pair: Pair, theirs: str, ours: HookChoice) -> None:
    """Refused with its name; it stays and runs, and nothing of ours is left. `auto` here is an inline capture."""
    with foreign_xdp(netns_pair, theirs) as counted, netns_pair.sender() as sender:
        before = snapshot()
        with pytest.raises(AttachConflictError) as caught:
            opened(netns_pair, hook=ours, binding="inline" if ours == "auto" else "tap")
        assert f"`pfqt-b` already has an XDP program: `theirs`, id {counted.program.id}, " in caught.value.message
        assert "TC hook" in str(caught.value.hint)
        assert not left_since(before)
        send(sender, map(flow_frame, range(100)))
        assert eventually(lambda: counted.seen == 100)


@pytest.mark.parametrize("theirs", ["native", "generic", "netlink"])
def test_D5_tc_beside_a_foreign_xdp_program(netns_pair: Pair, theirs: str) -> None:
    """A tap that may choose goes where there is no conflict, and both see every packet."""
    with foreign_xdp(netns_pair, theirs) as counted, opened(netns_pair) as capture, netns_pair.sender() as sender:
        assert capture.attachment.startswith("TC ingress")
        send(sender, map(flow_frame, range(100)))
        settled(capture, 100)
        assert counted.seen == 100


@NEEDS_TCX
def test_D5_foreign_tcx_programs_coexist(netns_pair: Pair) -> None:
    """One that was there before, one that comes later: all three see every packet."""
    attach = partial(netns_pair.b.call, TcxLink.attach)
    with Counted(TC_NEXT, Hook.TC_INGRESS) as old, Counted(TC_NEXT, Hook.TC_INGRESS) as new:
        first = attach(old.program, netns_pair.ifindex_b)
        with opened(netns_pair, hook="tcx") as capture, netns_pair.sender() as sender:
            second = attach(new.program, netns_pair.ifindex_b)
            send(sender, map(flow_frame, range(100)))
            settled(capture, 100)
            assert (old.seen, new.seen) == (100, 100)
        with netns_pair.sender() as sender:
            send(sender, map(flow_frame, range(100)))
        assert eventually(lambda: (old.seen, new.seen) == (200, 200)), "they go on without us"
        first.detach()
        second.detach()


@pytest.mark.parametrize(
    ("first", "second"), [("xdp", "auto"), ("auto", "auto"), ("clsact", "clsact"), ("auto", "clsact")]
)
def test_two_captures_of_one_device(netns_pair: Pair, first: HookChoice, second: HookChoice) -> None:
    with opened(netns_pair, hook=first) as one, netns_pair.sender() as sender:
        with opened(netns_pair, "drop", hook=second) as other:
            send(sender, map(flow_frame, range(100)))
            settled(other, 100)
        send(sender, map(flow_frame, range(100)))
        settled(one, 200)
        assert other.statistics().arrived == 100


def test_D5_two_captures_on_xdp_exclude_each_other(netns_pair: Pair) -> None:
    with opened(netns_pair, hook="xdp") as capture, netns_pair.sender() as sender:
        before = snapshot()
        with pytest.raises(AttachConflictError, match=f"`pfq`, id [0-9]+, loaded by .*process {os.getpid()}"):
            opened(netns_pair, hook="xdp")
        assert not left_since(before)
        send(sender, map(flow_frame, range(100)))
        settled(capture, 100)
