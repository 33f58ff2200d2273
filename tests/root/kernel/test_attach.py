"""Attaching to real devices: XDP native and generic, tcx; conflicts, swaps, devices that go away."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from root.kernel.counted import TC_NEXT, TC_SHOT, XDP_DROP, XDP_PASS, Counted
from root.network import Pair, eventually, numbered, traffic

from pfq.codegen.spec import Hook
from pfq.errors import AttachConflictError, DeviceGoneError, DeviceMissingError, KernelRefusedError
from pfq.kernel import devices, sys
from pfq.kernel.attach import AttachInfo, Attachment, TcxLink, XdpLink
from pfq.kernel.clsact import Clsact
from pfq.kernel.devices import XdpMode

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("nothing_left")]

NEEDS_TCX = pytest.mark.feature("tcx")
MODES = [XdpMode.NATIVE, XdpMode.GENERIC]


class Way:
    """One way to attach to `dev_b`, as the tests are run for all of them."""

    def __init__(self, hook: Hook, code: int, attach: Callable[[Pair, Counted], Attachment], tcx: bool = True):
        self.hook, self.code, self.tcx = hook, code, tcx
        self.attach = attach

    def counted(self, name: str = "counted") -> Counted:
        return Counted(self.code, self.hook, name=name, tcx=self.tcx)


def xdp(mode: XdpMode) -> Callable[[Pair, Counted], Attachment]:
    return lambda pair, counted: pair.b.call(XdpLink.attach, counted.program, pair.ifindex_b, mode)


def tcx(pair: Pair, counted: Counted) -> Attachment:
    return pair.b.call(TcxLink.attach, counted.program, pair.ifindex_b)


def clsact(pair: Pair, counted: Counted) -> Attachment:
    return pair.b.call(Clsact.attach, counted.program, pair.ifindex_b)


INCOMING = [
    pytest.param(Way(Hook.XDP, XDP_DROP, xdp(XdpMode.NATIVE)), id="native"),
    pytest.param(Way(Hook.XDP, XDP_DROP, xdp(XdpMode.GENERIC)), id="generic"),
    pytest.param(Way(Hook.TC_INGRESS, TC_NEXT, tcx), id="tcx", marks=NEEDS_TCX),
    pytest.param(Way(Hook.TC_INGRESS, TC_NEXT, clsact, tcx=False), id="clsact"),
]
OUTGOING = [
    pytest.param(Way(Hook.TC_EGRESS, TC_NEXT, tcx), id="tcx", marks=NEEDS_TCX),
    pytest.param(Way(Hook.TC_EGRESS, TC_NEXT, clsact, tcx=False), id="clsact"),
]
LINKED = INCOMING[:3]


def send(pair: Pair, count: int) -> None:
    with pair.sender() as sender:
        assert sender.send(numbered(n) for n in range(count)) == count


def send_back(pair: Pair, count: int) -> None:
    with Pair(pair.b, pair.a, pair.dev_b, pair.dev_a).sender() as sender:
        assert sender.send(numbered(n) for n in range(count)) == count


# Packets meet the program


@pytest.mark.parametrize("way", INCOMING)
def test_incoming_packets_meet_the_program(netns_pair: Pair, way: Way) -> None:
    with way.counted() as counted:
        attached = way.attach(netns_pair, counted)
        send(netns_pair, 500)
        assert counted.seen == 500
        assert attached.info() == AttachInfo(True, netns_pair.ifindex_b, counted.program.id)
        attached.detach()
        attached.detach()
        send(netns_pair, 10)
        assert counted.seen == 500
        assert not attached.info().alive


@pytest.mark.parametrize("way", OUTGOING)
def test_outgoing_packets_meet_the_program(netns_pair: Pair, way: Way) -> None:
    with way.counted() as counted:
        attached = way.attach(netns_pair, counted)
        send(netns_pair, 7)
        send_back(netns_pair, 500)
        assert counted.seen == 500
        attached.detach()


@NEEDS_TCX
def test_tcx_runs_before_what_was_there(netns_pair: Pair) -> None:
    with Counted(TC_SHOT, Hook.TC_INGRESS) as first, Counted(TC_NEXT, Hook.TC_INGRESS) as second:
        links = [tcx(netns_pair, first), tcx(netns_pair, second)]
        send(netns_pair, 20)
        assert (second.seen, first.seen) == (20, 20)
        for link in links:
            link.detach()


def test_the_mode_is_the_one_asked_for(netns_pair: Pair) -> None:
    for mode in MODES:
        with Counted(XDP_PASS) as counted:
            link = xdp(mode)(netns_pair, counted)
            assert netns_pair.b.call(devices.device, netns_pair.dev_b).xdp == devices.XdpProgram(
                counted.program.id, mode
            )
            link.detach()
    assert netns_pair.b.call(devices.device, netns_pair.dev_b).xdp is None


# Swapping


@pytest.mark.parametrize("way", INCOMING)
def test_C7_fifty_swaps_under_traffic_lose_nothing(netns_pair: Pair, way: Way) -> None:
    """Every frame is counted by exactly one of the two programs that alternate."""
    with way.counted("even") as even, way.counted("odd") as odd:
        attached = way.attach(netns_pair, even)
        with traffic(netns_pair, rate_pps=20_000) as sender:
            for turn in range(50):
                attached.swap((odd, even)[turn % 2].program)
                time.sleep(0.002)  # tcx swaps within microseconds: let both programs see some packets
        assert sender.sent > 0
        assert even.seen + odd.seen == sender.sent
        assert min(even.seen, odd.seen) > 0
        attached.detach()


@pytest.mark.parametrize("way", LINKED)
def test_C8_a_program_for_another_hook_is_refused_and_the_old_one_stays(netns_pair: Pair, way: Way) -> None:
    other = Hook.TC_EGRESS if way.hook is not Hook.TC_EGRESS else Hook.XDP
    with way.counted() as counted, Counted(TC_NEXT, other, name="wrong") as wrong:
        attached = way.attach(netns_pair, counted)
        with pytest.raises(KernelRefusedError, match=r"`wrong` was loaded for another attach type \(TCX_EGRESS\)"):
            attached.swap(wrong.program)
        assert attached.info() == AttachInfo(True, netns_pair.ifindex_b, counted.program.id)
        send(netns_pair, 100)
        assert (counted.seen, wrong.seen) == (100, 0)
        attached.detach()


@NEEDS_TCX
def test_V6_a_program_for_clsact_does_not_fit_a_tcx_link(netns_pair: Pair) -> None:
    expected = pytest.raises(KernelRefusedError, match=r"another attach type \(NONE\).*needed here \(TCX_INGRESS\)")
    with Counted(TC_NEXT, Hook.TC_INGRESS, tcx=False) as counted, expected:
        tcx(netns_pair, counted)


def test_C8_a_filter_keeps_its_side(netns_pair: Pair) -> None:
    with Counted(TC_NEXT, Hook.TC_INGRESS, tcx=False) as ours, Counted(TC_NEXT, Hook.TC_EGRESS, tcx=False) as other:
        attached = clsact(netns_pair, ours)
        with pytest.raises(KernelRefusedError, match="made for tc-egress, not tc-ingress"):
            attached.swap(other.program)
        send(netns_pair, 10)
        assert (ours.seen, other.seen) == (10, 0)
        attached.detach()


# Programs of others


@pytest.mark.parametrize("theirs", MODES, ids=lambda mode: mode.value)
@pytest.mark.parametrize("ours", MODES, ids=lambda mode: mode.value)
def test_D5_another_link(netns_pair: Pair, theirs: XdpMode, ours: XdpMode) -> None:
    with Counted(XDP_PASS, name="theirs") as first, Counted(XDP_PASS, name="ours") as second:
        link = xdp(theirs)(netns_pair, first)
        with pytest.raises(AttachConflictError) as caught:
            xdp(ours)(netns_pair, second)
        assert caught.value.message == (
            f"`{netns_pair.dev_b}` already has an XDP program: `theirs`, id {first.program.id}, "
            f"loaded by {Path('/proc/self/comm').read_text().strip()} (process {os.getpid()}), "
            f"{theirs.value}"
        )
        send(netns_pair, 30)
        assert (first.seen, second.seen) == (30, 0), "the other program is untouched"
        link.detach()


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.value)
def test_D5_a_program_attached_through_netlink(netns_pair: Pair, mode: XdpMode) -> None:
    from pfq.kernel.attach import _XDP_FLAGS, _set_xdp
    from pfq.kernel.netlink import Netlink

    with (
        Counted(XDP_PASS, name="theirs") as first,
        Counted(XDP_PASS, name="ours") as second,
        netns_pair.b.call(Netlink) as link,
    ):
        _set_xdp(link, netns_pair.ifindex_b, first.program.fd, _XDP_FLAGS[mode], None)
        with pytest.raises(AttachConflictError, match=rf"`theirs`, id {first.program.id}.*{mode.value}"):
            xdp(XdpMode.NATIVE)(netns_pair, second)
        assert netns_pair.b.call(devices.device, netns_pair.dev_b).xdp is not None
        _set_xdp(link, netns_pair.ifindex_b, -1, _XDP_FLAGS[mode], None)


def test_D5_ours_cannot_be_overwritten_through_netlink(netns_pair: Pair) -> None:
    from pfq.kernel.attach import _XDP_FLAGS, _set_xdp
    from pfq.kernel.netlink import Netlink

    with Counted(XDP_PASS) as ours, Counted(XDP_PASS) as theirs, netns_pair.b.call(Netlink) as link:
        attached = xdp(XdpMode.NATIVE)(netns_pair, ours)
        with pytest.raises(KernelRefusedError, match="EBUSY"):
            _set_xdp(link, netns_pair.ifindex_b, theirs.program.fd, _XDP_FLAGS[XdpMode.NATIVE], None)
        assert attached.info().alive
        attached.detach()


# Devices


@pytest.mark.parametrize("way", INCOMING)
def test_an_unknown_device(netns_pair: Pair, way: Way) -> None:
    nowhere = Pair(netns_pair.a, netns_pair.b, ifindex_b=4711)
    with way.counted() as counted, pytest.raises(DeviceMissingError, match="number 4711") as caught:
        way.attach(nowhere, counted)
    assert netns_pair.dev_b in str(caught.value.hint)


@pytest.mark.parametrize("way", INCOMING)
def test_a_deleted_device_severs_the_attachment(netns_pair: Pair, way: Way) -> None:
    with way.counted() as counted, way.counted() as other:
        attached = way.attach(netns_pair, counted)
        netns_pair.b.run("ip", "link", "del", netns_pair.dev_b)
        assert eventually(lambda: not attached.info().alive)
        with pytest.raises(DeviceGoneError):
            attached.swap(other.program)
        attached.detach()


@pytest.mark.parametrize("way", INCOMING)
def test_D4_a_deleted_namespace_takes_the_program_with_it(netns_pair: Pair, way: Way) -> None:
    with way.counted() as counted:
        attached = way.attach(netns_pair, counted)
        netns_pair.b.remove()
        if way.tcx:  # the netlink socket of a clsact attachment keeps the namespace alive
            assert eventually(lambda: not attached.info().alive)
        attached.detach()


@pytest.mark.parametrize(
    ("mtu", "frags", "mode", "accepted"),
    [
        (68, False, XdpMode.NATIVE, True),
        (1280, False, XdpMode.NATIVE, True),
        (1500, False, XdpMode.NATIVE, True),
        (3506, False, XdpMode.NATIVE, True),
        (3507, False, XdpMode.NATIVE, False),
        (9000, False, XdpMode.NATIVE, False),
        (3507, True, XdpMode.NATIVE, True),
        (9000, True, XdpMode.NATIVE, True),
        (9000, False, XdpMode.GENERIC, True),
    ],
)
def test_S5_mtu(netns_pair: Pair, mtu: int, frags: bool, mode: XdpMode, accepted: bool) -> None:
    """The numbers are those of veth on pages of 4 KiB."""
    netns_pair.a.run("ip", "link", "set", netns_pair.dev_a, "mtu", str(mtu))
    netns_pair.b.run("ip", "link", "set", netns_pair.dev_b, "mtu", str(mtu))
    with Counted(XDP_PASS, frags=frags) as counted:
        if accepted:
            xdp(mode)(netns_pair, counted).detach()
            return
        with pytest.raises(KernelRefusedError) as caught:
            xdp(mode)(netns_pair, counted)
    message = caught.value.message
    assert message.startswith(f"`{netns_pair.dev_b}` refused the XDP program (native): ")
    assert "MTU is too large" in message, "the driver's own words"
    assert "over 3506 bytes" in message
    assert "frags" in str(caught.value.hint)


def test_S5_the_peers_mtu_cannot_be_raised_under_a_program_for_one_buffer(netns_pair: Pair) -> None:
    raised = ("ip", "link", "set", netns_pair.dev_a, "mtu", "3507")
    with Counted(XDP_PASS, frags=False) as counted:
        link = xdp(XdpMode.NATIVE)(netns_pair, counted)
        with pytest.raises(subprocess.CalledProcessError):
            netns_pair.a.run(*raised)
        link.detach()
        netns_pair.a.run(*raised)


def test_S7_native_xdp_where_the_driver_has_none(netns_pair: Pair) -> None:
    with Counted(XDP_PASS) as counted:
        with pytest.raises(KernelRefusedError, match=r"`lo` refused the XDP program \(native\): .*driver") as caught:
            netns_pair.b.call(XdpLink.attach, counted.program, 1)
        assert "generic" in str(caught.value.hint)
        netns_pair.b.call(XdpLink.attach, counted.program, 1, XdpMode.GENERIC).detach()


# Ways out


CHILD = """
import signal
from root.kernel.counted import *
from pfq.kernel import abi, sys
from pfq.kernel.attach import *
counted = Counted({code}, {hook})
link = {way}.attach(counted.program, {ifindex})
print(sys.info(link._fd.fileno(), abi.LinkInfo).id, flush=True)
signal.pause()
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize(
    ("way", "hook", "code"),
    [("XdpLink", Hook.XDP, XDP_PASS), pytest.param("TcxLink", Hook.TC_EGRESS, TC_NEXT, marks=NEEDS_TCX)],
)
def test_C4_a_killed_process_leaves_nothing(
    netns_pair: Pair, way: str, hook: Hook, code: int, number: signal.Signals
) -> None:
    """`nothing_left` looks for what is left; that it was there is looked at here."""
    text = CHILD.format(ifindex=netns_pair.ifindex_b, way=way, hook=hook, code=code)
    with netns_pair.b.python(text) as child:
        assert child.stdout is not None
        assert int(child.stdout.readline()) in sys.ids(sys.Kind.LINK)
        child.send_signal(number)
        child.wait(10)


def test_R2_attaching_and_detaching_fifty_times_leaves_no_descriptor(netns_pair: Pair) -> None:
    with Counted(XDP_PASS) as counted, Counted(TC_NEXT, Hook.TC_INGRESS, tcx=False) as filtered:

        def once() -> None:
            xdp(XdpMode.NATIVE)(netns_pair, counted).detach()
            clsact(netns_pair, filtered).detach()

        once()
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(50):
            once()
        assert len(os.listdir("/proc/self/fd")) == before


def test_a_forgotten_link_is_collected(netns_pair: Pair) -> None:
    with Counted(XDP_PASS) as counted:
        link = xdp(XdpMode.NATIVE)(netns_pair, counted)
        del link
        assert netns_pair.b.call(devices.device, netns_pair.dev_b).xdp is None
