"""Where a program goes: the ways to attach, best first."""

from __future__ import annotations

import pytest

from pfq.codegen.spec import Hook
from pfq.engine.hooks import (
    BINDINGS,
    DIRECTIONS,
    HOOK_CHOICES,
    XDP_GENERIC,
    XDP_NATIVE,
    HookChoice,
    Way,
    incoming_ways,
    outgoing_way,
)
from pfq.errors import UsageError
from pfq.kernel import features
from pfq.kernel.devices import ARPHRD_ETHER, ARPHRD_LOOPBACK, Device

TCX_IN, TCX_OUT = Way(Hook.TC_INGRESS, "tcx"), Way(Hook.TC_EGRESS, "tcx")
CLSACT_IN, CLSACT_OUT = Way(Hook.TC_INGRESS, "clsact"), Way(Hook.TC_EGRESS, "clsact")


def device(kind: str = "", link_type: int = ARPHRD_ETHER) -> Device:
    return Device(3, "eth0", kind, bytes(6), 1500, True, True, False, link_type, 1, None)


CARD, VETH, LOOPBACK = device(), device("veth"), device(link_type=ARPHRD_LOOPBACK)


@pytest.fixture
def has_tcx(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    found: bool = getattr(request, "param", True)
    monkeypatch.setattr(features, "available", lambda name: found and name == "tcx")
    return found


@pytest.mark.usefixtures("has_tcx")
@pytest.mark.parametrize("binding", BINDINGS)
def test_a_network_card_gets_xdp_first(binding: str) -> None:
    assert incoming_ways(CARD, "auto", binding) == (XDP_NATIVE, TCX_IN, XDP_GENERIC)  # type: ignore[arg-type]


@pytest.mark.usefixtures("has_tcx")
@pytest.mark.parametrize("found", [VETH, LOOPBACK], ids=["veth", "loopback"])
def test_a_tap_on_a_device_of_software_goes_to_tc(found: Device) -> None:
    assert incoming_ways(found, "auto", "tap") == (TCX_IN, XDP_NATIVE, XDP_GENERIC)
    assert incoming_ways(found, "auto", "inline") == (XDP_NATIVE, TCX_IN, XDP_GENERIC)


@pytest.mark.parametrize("has_tcx", [False], indirect=True)
def test_an_older_kernel_has_clsact(has_tcx: bool) -> None:
    """Last for incoming packets: the filter would outlive a process that is killed."""
    assert incoming_ways(VETH, "auto", "tap") == (XDP_NATIVE, XDP_GENERIC, CLSACT_IN)
    assert outgoing_way("auto") == CLSACT_OUT


@pytest.mark.parametrize(
    ("choice", "way"), [("xdp", XDP_NATIVE), ("xdp-generic", XDP_GENERIC), ("tcx", TCX_IN), ("clsact", CLSACT_IN)]
)
def test_a_hook_asked_for_is_the_only_one_tried(choice: HookChoice, way: Way) -> None:
    assert incoming_ways(CARD, choice, "tap") == (way,)
    assert incoming_ways(VETH, choice, "tap") == (way,)


@pytest.mark.usefixtures("has_tcx")
@pytest.mark.parametrize(("choice", "way"), [("auto", TCX_OUT), ("tcx", TCX_OUT), ("clsact", CLSACT_OUT)])
def test_outgoing_packets_are_seen_by_tc(choice: HookChoice, way: Way) -> None:
    assert outgoing_way(choice) == way


@pytest.mark.parametrize("choice", ["xdp", "xdp-generic"])
def test_xdp_sees_no_outgoing_packets(choice: HookChoice) -> None:
    with pytest.raises(UsageError, match=f"the hook `{choice}` sees incoming packets only") as caught:
        outgoing_way(choice)
    assert caught.value.hint == "capture outgoing packets with the hook `auto`, `tcx` or `clsact`"


def test_an_unknown_hook() -> None:
    with pytest.raises(UsageError, match="there is no hook `tc`") as caught:
        incoming_ways(CARD, "tc", "tap")  # type: ignore[arg-type]
    assert caught.value.hint == "hooks are auto, xdp, xdp-generic, tcx, clsact"


def test_names_of_ways() -> None:
    assert [str(way) for way in (XDP_NATIVE, XDP_GENERIC, TCX_IN, CLSACT_OUT)] == [
        "XDP (native)",
        "XDP (generic)",
        "TC ingress (tcx)",
        "TC egress (clsact)",
    ]


def test_the_words_of_the_interface() -> None:
    assert HOOK_CHOICES == ("auto", "xdp", "xdp-generic", "tcx", "clsact")
    assert DIRECTIONS == ("in", "out", "inout")
    assert BINDINGS == ("tap", "inline")
