"""Where a packet goes apart from steering: behaviour statements 3 to 9, 61, 62, 64 and 65."""

from __future__ import annotations

import pytest
from support.handmade import FRAMES, action

from pfq.errors import RangeError
from pfq.lang.action import ANY_CLASSES, CONTROL_CLASS, Action, Fanout
from pfq.lang.compile import compile_text
from pfq.lang.interp import World
from pfq.lang.prims import PRIMS

TCP, UDP = FRAMES["tcp4"], FRAMES["udp4"]


def test_drop() -> None:
    assert action("drop", TCP) == Action(fanout=Fanout.DROP)


def test_s03_what_follows_a_drop_is_not_run() -> None:
    assert action("drop >-> mark 1 >-> put_state 2 >-> inc 3 >-> kernel", TCP) == Action(fanout=Fanout.DROP)


def test_s04_effects_before_a_drop_stay() -> None:
    found = action("mark 1 >-> put_state 2 >-> inc 3 >-> kernel >-> drop", TCP)
    assert found == Action(fanout=Fanout.DROP, mark=1, state=2, counters={3: 1}, kernel=True)


def test_s06_broadcast_after_a_steering_is_a_copy_to_all_but_control() -> None:
    found = action("steer_flow >-> broadcast", TCP)
    assert (found.fanout, found.classes) == (Fanout.COPY, ANY_CLASSES)
    assert not found.classes >> CONTROL_CLASS & 1
    assert found.classes == 2**63 - 1


def test_s07_the_last_steering_wins_and_kernel_leaves_it() -> None:
    found = action("steer_flow >-> steer_to 2 >-> kernel", TCP)
    assert (found.fanout, found.hash, found.kernel) == (Fanout.MEMBER, 2, True)


@pytest.mark.parametrize("number", [1, 2, 62, 63])
def test_s08_classify_sets_the_one_class(number: int) -> None:
    assert action(f"classify {number}", TCP) == Action(classes=1 << number)


def test_s08_classify_0_changes_nothing() -> None:
    assert action("classify 2 >-> classify 0", TCP) == Action(classes=1 << 2)


@pytest.mark.parametrize("number", [64, 1000])
def test_there_is_no_class_above_63(number: int) -> None:
    with pytest.raises(RangeError, match=f"there is no class {number}: classes are 0 to 63"):
        compile_text(f"classify {number}")


def test_s09_broadcast_then_steering_keeps_all_classes() -> None:
    found = action("broadcast >-> steer_rrobin", TCP)
    assert (found.fanout, found.classes) == (Fanout.ROBIN, ANY_CLASSES)


def test_kernel_is_a_note_on_the_packet() -> None:
    assert action("kernel", TCP) == Action(kernel=True)
    assert action("kernel >-> drop", TCP) == Action(fanout=Fanout.DROP, kernel=True)


def test_s62_detour_is_kernel_then_drop() -> None:
    assert action("detour", TCP) == action("kernel >-> drop", TCP) == Action(fanout=Fanout.DROP, kernel=True)
    assert action("detour >-> mark 1", TCP).mark == 0


def test_s62_kernel_if() -> None:
    assert action("kernel_if is_tcp >-> mark 1", TCP) == Action(kernel=True, mark=1)
    assert action("kernel_if is_tcp >-> mark 1", UDP) == Action(mark=1)


def test_s62_detour_if() -> None:
    assert action("detour_if is_tcp >-> mark 1", TCP) == Action(fanout=Fanout.DROP, kernel=True)
    assert action("detour_if is_tcp >-> mark 1", UDP) == Action(mark=1)


@pytest.mark.parametrize("name", ["forward", "forwardIO"])
def test_s61_forward_notes_the_device_and_goes_on(name: str) -> None:
    assert action(f'{name} "eth1" >-> mark 1', TCP) == Action(forwards=["eth1"], mark=1)


def test_s61_one_copy_for_each_occurrence() -> None:
    found = action('forward "eth1" >-> forward "eth2" >-> forward "eth1"', TCP)
    assert found == Action(forwards=["eth1", "eth2", "eth1"])


def test_s61_bridge_is_forward_then_drop() -> None:
    wanted = Action(fanout=Fanout.DROP, forwards=["eth1"])
    assert action('bridge "eth1" >-> mark 1', TCP) == action('forward "eth1" >-> drop', TCP) == wanted


def test_s61_tee_sends_all_and_passes_some() -> None:
    assert action('tee "eth1" is_tcp >-> mark 1', TCP) == Action(forwards=["eth1"], mark=1)
    assert action('tee "eth1" is_tcp >-> mark 1', UDP) == Action(fanout=Fanout.DROP, forwards=["eth1"])


def test_s61_tap_sends_what_it_does_not_pass() -> None:
    assert action('tap "eth1" is_tcp >-> mark 1', TCP) == Action(mark=1)
    assert action('tap "eth1" is_tcp >-> mark 1', UDP) == Action(fanout=Fanout.DROP, forwards=["eth1"])


@pytest.mark.parametrize(
    ("device", "others"),
    [("a", ["b", "c"]), ("b", ["a", "c"]), ("c", ["a", "b"]), ("d", ["a", "b", "c"]), ("", ["a", "b", "c"])],
)
def test_s64_link_leaves_out_the_device_that_the_packet_came_from(device: str, others: list[str]) -> None:
    found = action('link ["a", "b", "c"] >-> mark 1', TCP, world=World(device=device))
    assert found == Action(forwards=others, mark=1)


def test_s65_steering_and_forwarding_are_independent() -> None:
    found = action('forward "eth1" >-> steer_to 3 >-> forward "eth2"', TCP)
    assert (found.fanout, found.hash, found.forwards) == (Fanout.MEMBER, 3, ["eth1", "eth2"])


def test_s65_a_packet_is_forwarded_16_times_at_most() -> None:
    found = action(" >-> ".join(f'forward "eth{number}"' for number in range(17)), TCP)
    assert found.forwards == [f"eth{number}" for number in range(16)]


NAMES = ("e", "eth0", "eth0.100", "br-0123456789ab", "wlp2s0@x", "a\u00e9")
WRONG = (
    "",
    "0123456789abcdef",
    "a" * 14 + "\u00e9",
    "a/b",
    "a b",
    "a\u00a0b",
    "a\tb",
    "a\0b",
    "a:1",
    ".",
    "..",
    "\ud800",
)


@pytest.mark.parametrize("name", ["forward", "bridge", "tee", "tap", "link"])
def test_names_that_devices_can_have(name: str) -> None:
    check = PRIMS[name].check
    assert check is not None

    def verdict(device: str) -> str | None:
        return check(["eth0", device]) if name == "link" else check(device)

    assert [device for device in NAMES if verdict(device)] == []
    assert [device for device in WRONG if not verdict(device)] == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('forward "0123456789abcdef"', "the name of a device has 1 to 15 bytes"),
        ('tap "eth 0" is_tcp', "the name of a device has no `/`, no `:` and no space"),
        ("link []", "the list of devices is empty"),
        ('link ["eth0", ""]', "the name of a device has 1 to 15 bytes"),
        (
            "link [" + ", ".join(['"eth0"'] * 17) + "]",
            "a packet is forwarded at most 16 times, but the list has 17 devices",
        ),
    ],
)
def test_what_cannot_be_a_device_is_refused(text: str, message: str) -> None:
    with pytest.raises(RangeError, match=message):
        compile_text(text)
