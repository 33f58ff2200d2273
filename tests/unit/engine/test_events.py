"""What programs told: records of the kernel's program decoded, and put into words."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import pytest

from pfq.codegen import layouts
from pfq.codegen.spec import MapSpec, MapType
from pfq.engine import events
from pfq.engine.events import EventReader, ProgramEvent, Site, traced
from pfq.kernel.maps import Map
from pfq.lang.action import ANY_CLASSES, Action, Event, EventKind, Fanout

MACS = bytes(range(12))
LONGEST = layouts.EVENT_SNAPLEN
SITES = (Event(EventKind.TRACE), Event(EventKind.MESSAGE, "seen"), Event(EventKind.BUFFER), Event(EventKind.PACKET))


def record(
    site: int = 0,
    data: bytes = b"",
    *,
    time: int = 0,
    length: int = 0,
    tag: int = 0,
    tag_type: int = 0,
    ingress: int = 0,
    action: tuple[int, int, int, int, int, int, int] = (1, 1, 0, 0, 0, 0, 0),
) -> bytes:
    """What the program writes: the head, the action, then 192 bytes of which the first are the packet's."""
    head = struct.pack("<QIIIIII", time, site, length, len(data), tag, tag_type, ingress)
    return head + struct.pack("<QIIIIII", *action) + data.ljust(LONGEST, b"\xee")


class Records:
    """A ring buffer that holds some records."""

    def __init__(self, *held: bytes) -> None:
        self.held = list(held)
        self.closed = False

    def records(self) -> Iterator[bytes]:
        while self.held:
            yield self.held.pop(0)

    def close(self) -> None:
        self.closed = True


def decoded(monkeypatch: pytest.MonkeyPatch, *held: bytes, offset: int = 0) -> list[ProgramEvent]:
    records = Records(*held)
    monkeypatch.setattr(events, "RingBuffer", lambda table: records)
    reader = EventReader(Map.__new__(Map))
    reader.know(0, [Site(0, site) for site in SITES])
    found = list(reader.events(offset))
    assert list(reader.events(offset)) == [], "each once"
    reader.close()
    assert records.closed
    return found


def test_a_record_has_the_size_that_the_program_writes() -> None:
    assert len(record()) == layouts.EVENT_BYTES == 256


def test_every_field(monkeypatch: pytest.MonkeyPatch) -> None:
    action = (1 << 63 | 5, 3, 0x11223344, 0x55667788, 0xFFFFFFFF, 7, 1)
    held = record(2, b"abc", time=1000, length=1514, ingress=12, action=action)
    assert decoded(monkeypatch, held, offset=-300) == [
        ProgramEvent(
            kind=EventKind.BUFFER,
            text="",
            ts_ns=700,
            len=1514,
            data=b"abc",
            ifindex=12,
            action=Action(Fanout.DOUBLE, 1 << 63 | 5, 0x11223344, 0x55667788, True, 0xFFFFFFFF, 7),
        )
    ]


def test_in_order_and_each_with_its_call(monkeypatch: pytest.MonkeyPatch) -> None:
    found = decoded(monkeypatch, *(record(site, time=10 - site) for site in (1, 0, 3, 2, 1)))
    kinds = ["MESSAGE", "TRACE", "PACKET", "BUFFER", "MESSAGE"]
    assert [event.kind.name for event in found] == kinds
    assert [event.text for event in found] == ["seen", "", "", "", "seen"]
    assert [event.ts_ns for event in found] == [9, 10, 7, 8, 9]


@pytest.mark.parametrize(
    ("data", "wanted"),
    [
        (MACS + b"\x08\x00" + b"payload", MACS + b"\x88\xa8\x20\x64" + b"\x08\x00" + b"payload"),
        (MACS, MACS + b"\x88\xa8\x20\x64"),
        (MACS.ljust(LONGEST, b"x"), MACS + b"\x88\xa8\x20\x64" + b"x" * (LONGEST - 16)),
    ],
    ids=["whole", "addresses alone", "longest"],
)
def test_a_tag_that_the_device_took_off_is_put_back(
    monkeypatch: pytest.MonkeyPatch, data: bytes, wanted: bytes
) -> None:
    """Its type comes as it lies in memory, big endian."""
    (event,) = decoded(monkeypatch, record(0, data, tag=0x12064, tag_type=0xA888))
    assert event.data == wanted


def test_a_tag_of_zeros_is_one_too(monkeypatch: pytest.MonkeyPatch) -> None:
    (event,) = decoded(monkeypatch, record(0, MACS, tag=0x10000, tag_type=0x0081))
    assert event.data == MACS + b"\x81\x00\0\0"


def told(kind: EventKind, text: str = "", data: bytes = b"\xff" * 40, action: Action | None = None) -> str:
    return str(ProgramEvent(kind, text, 0, 60, data, 1, action or Action()))


def test_in_words() -> None:
    assert told(EventKind.MESSAGE, "from the edge") == "from the edge"
    assert told(EventKind.PACKET) == "[60 bytes]"
    assert told(EventKind.BUFFER, data=b"\x01\x02") == "[60 bytes] 01 02"
    assert told(EventKind.BUFFER) == "[60 bytes] " + " ".join(["ff"] * 34)
    assert told(EventKind.TRACE) == "[60 bytes] fan-out copy, mark 0, state 0"


@pytest.mark.parametrize(
    ("action", "line"),
    [
        (Action(Fanout.STEER, hash=0x1F), "fan-out steer, hash 0x0000001f, mark 0, state 0"),
        (
            Action(Fanout.DOUBLE, hash=1, hash2=0xFFFFFFFF),
            "fan-out double, hash 0x00000001, hash2 0xffffffff, mark 0, state 0",
        ),
        (Action(Fanout.MEMBER, hash=7, hash2=3), "fan-out member, number 7, mark 0, state 0"),
        (Action(Fanout.ROBIN, hash=7), "fan-out robin, mark 0, state 0"),
        (Action(Fanout.DROP, mark=5, state=6), "fan-out drop, mark 5, state 6"),
        (Action(classes=1 << 3), "fan-out copy, classes 0x8, mark 0, state 0"),
        (
            Action(classes=ANY_CLASSES, kernel=True),
            "fan-out copy, classes 0x7fffffffffffffff, mark 0, state 0, to Linux",
        ),
    ],
)
def test_what_was_decided_so_far(action: Action, line: str) -> None:
    assert traced(action) == line


def test_the_map_of_events_is_a_ring_buffer() -> None:
    """The reader maps it as one."""
    from pfq.codegen.memory import DeviceMemory, RingShape

    shape = RingShape(slots=64, slot_bytes=128, snaplen=96)
    without, with_events = (DeviceMemory(2, 1, (shape,), events=events).maps() for events in (False, True))
    assert [spec for spec in with_events if spec not in without] == [
        MapSpec(layouts.EVENTS_MAP, MapType.RINGBUF, 0, 0, 1 << 18)
    ]
