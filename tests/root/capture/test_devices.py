"""S7: where a capture attaches by itself on devices of different kinds. It always says so."""

from __future__ import annotations

import pytest
from root.capture.harness import opened, packets, send, settled
from root.network import Namespace, Pair, numbered

import pfq
from pfq.engine.hooks import Binding
from pfq.errors import KernelRefusedError
from pfq.kernel import features

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("nothing_left")]


def ingress() -> str:
    """The newest way of TC that this kernel has, as an attachment says it."""
    return f"TC ingress ({'tcx' if features.available('tcx') else 'clsact'})"


def test_S7_a_tap_on_veth_does_not_break_up_big_segments(netns_pair: Pair) -> None:
    with opened(netns_pair) as capture:
        assert capture.attachment == f"{ingress()} on pfqt-b"
        assert repr(capture) == f"<Capture {ingress()} on pfqt-b, 1 end-points>"


def test_S7_an_inline_capture_is_in_the_driver(netns_pair: Pair) -> None:
    with opened(netns_pair, binding="inline") as capture:
        assert capture.attachment == "XDP (native) on pfqt-b"


@pytest.mark.parametrize("kind", ["lo", "bridge", "ifb"])
@pytest.mark.parametrize("binding", ["tap", "inline"])
def test_S7_devices_without_native_xdp(netns: Namespace, kind: str, binding: Binding) -> None:
    if kind != "lo":
        netns.run("ip", "link", "add", kind, "type", kind)
    with netns.call(pfq.capture, kind, binding=binding) as capture:
        assert capture.attachment == f"{ingress()} on {kind}"
    with pytest.raises(KernelRefusedError, match=rf"`{kind}` refused the XDP program \(native\)") as caught:
        netns.call(pfq.capture, kind, hook="xdp", binding=binding)
    assert "TC hook" in str(caught.value.hint)
    with netns.call(pfq.capture, kind, hook="xdp-generic", binding=binding) as capture:
        assert capture.attachment == f"XDP (generic) on {kind}"


def test_a_bridge_and_its_port(netns_pair: Pair) -> None:
    """Packets pass both; each has its own number and its own counters."""
    pair = netns_pair
    pair.b.run("ip", "link", "add", "bridge0", "index", "30", "type", "bridge")
    pair.b.run("ip", "link", "set", pair.dev_b, "master", "bridge0")
    pair.b.run("ip", "link", "set", "bridge0", "up")
    with opened(pair) as port, pair.b.call(pfq.capture, "bridge0") as bridge, pair.sender() as sender:
        send(sender, map(numbered, range(50)))
        for capture, index in ((port, pair.ifindex_b), (bridge, 30)):
            settled(capture, 50)
            capture.stop()
            got = packets(capture[0])
            assert [packet.data for packet in got] == list(map(numbered, range(50)))
            assert {packet.ifindex for packet in got} == {index}
