"""pcapng files that others made to try readers: each in both byte orders, with what is in them."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.corpora import GOPACKET

from pfq.errors import FileFormatError
from pfq.files import Frame, read_frames

ORDERS = ("le", "be")
T, MS = 1340954905_298858000, 1_000_000

# A packet: its time, which of the generator's five inputs it is, bytes captured, interface in the file.
Packet = tuple[int, int, int, int]
WITHOUT_TIME: list[Packet] = [(0, 1, 314, 0), (0, 2, 342, 0), (0, 3, 314, 0), (0, 4, 342, 0)]
TWO_INTERFACES: list[Packet] = [(T + i * MS, i + 1, (96, 128)[i % 2], i % 2) for i in range(4)]
SIMPLE_AND_ENHANCED: list[Packet] = [
    (0, 1, 314, 0),
    (T, 2, 342, 0),
    (0, 3, 314, 0),
    (T + 2 * MS, 4, 342, 0),
]
PACKETS: dict[str, list[Packet]] = {
    "test001": WITHOUT_TIME,
    "test002": [],
    "test003": [],
    "test004": TWO_INTERFACES,
    "test005": TWO_INTERFACES,
    "test006": [
        (T, 1, 96, 0),
        (T + MS, 5, 168, 1),
        (T + 2 * MS, 2, 96, 0),
        (T + 3 * MS, 3, 96, 0),
        (T + 4 * MS, 4, 96, 0),
    ],
    "test007": [(T, 1, 96, 0)],
    "test008": [(ts_ns // 1000, *rest) for ts_ns, *rest in TWO_INTERFACES],  # the same numbers as ns
    "test009": [(T, 1, 314, 0), (T + MS, 2, 342, 0)],
    "test010": WITHOUT_TIME,
    "test011": SIMPLE_AND_ENHANCED,
    "test012": [(0, 1, 314, 0), (0, 2, 315, 0), (0, 3, 314, 0), (0, 4, 315, 0)],  # snap length 315
    "test013": [],
    "test014": [],
    "test015": [],
    "test016": SIMPLE_AND_ENHANCED,
    "test017": [],
    "test018": SIMPLE_AND_ENHANCED,
    "test100": [*SIMPLE_AND_ENHANCED, (T + 3 * MS, 5, 168, 1)],
    "test101": [(T, 1, 96, 0), (T, 2, 128, 2), (0, 3, 96, 0), (T + 3 * MS, 5, 168, 1)],
    "test102": [(T, 1, 96, 0), (T, 2, 342, 2), (0, 3, 96, 0), (T + 2 * MS, 4, 96, 0), (T + 3 * MS, 5, 168, 1)],
    "test200": [],
    "test201": [(T, 1, 96, 0), (T, 2, 128, 2), (0, 3, 128, 2), (T + 3 * MS, 5, 168, 4)],  # three sections
    "test202": [  # three sections in different byte orders
        (T, 1, 96, 0),
        (T, 2, 96, 0),
        (T + 3 * MS, 5, 168, 1),
        (0, 1, 128, 2),
        (T, 2, 128, 2),
        (0, 3, 128, 2),
        (T, 4, 128, 2),
        (T + 3 * MS, 5, 168, 4),
    ],
    "test902": [(1519128000_195312500, 1, 314, 0)],  # a clock of 256 units per second
}
SECTION_OF_VERSION_2 = 480
"""Where the second section of test901 begins."""


def inputs() -> list[Frame]:
    """The five packets that all files are made of."""
    return [*read_frames(GOPACKET / "le" / "test001.pcapng"), list(read_frames(GOPACKET / "le" / "test006.pcapng"))[1]]


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("name", PACKETS)
def test_M5_conformance(name: str, order: str) -> None:
    whole = inputs()
    assert [frame.len for frame in whole] == [314, 342, 314, 342, 168]
    expected = [
        Frame(ts_ns, whole[number - 1].len, whole[number - 1].data[:caplen], whole[number - 1].link_type, interface)
        for ts_ns, number, caplen, interface in PACKETS[name]
    ]
    assert list(read_frames(GOPACKET / order / f"{name}.pcapng")) == expected


@pytest.mark.parametrize("order", ORDERS)
def test_M5_section_of_an_unknown_version(order: str) -> None:
    frames = read_frames(GOPACKET / order / "test901.pcapng")
    first = next(frames)
    assert (first.ts_ns, first.data) == (T, inputs()[0].data)
    with pytest.raises(FileFormatError, match=f"test901.pcapng: at offset {SECTION_OF_VERSION_2}: version 2.0"):
        next(frames)


def test_M5_every_file_has_its_packets() -> None:
    for order in ORDERS:
        assert {Path(path).stem for path in (GOPACKET / order).iterdir()} == {*PACKETS, "test901"}
