"""Capture files kept for tests, and what fuzzing begins with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from support.brokenfiles import SHAPES

CAPTURES = Path(__file__).parents[1] / "captures"
"""Real captures."""

CORPUS = Path(__file__).parents[1] / "corpus"
GOPACKET = CORPUS / "gopacket"
"""Conformance files of pcapng: the folders `le` and `be`."""

READER = CORPUS / "reader"
"""What fuzzing found: any bytes, files or not."""

FLOW = CORPUS / "flow"
"""What fuzzing the table of flows found: sizes and packets, as native/fuzz/flow.c reads them."""

MESSAGE = CORPUS / "message"
"""What fuzzing the messages of pfqd found."""

SEED_BYTES = 4096
"""Longer captures are cut here: fuzzing wants many short inputs."""

MESSAGES = (
    '{"id": 0, "result": {"version": 1, "token": "00ff", "resumed": true, "endpoints": [{"endpoint": 3}]}}',
    '{"id":7,"error":{"code":"PFQ204","message":"no","hint":"ask","errno":1,"file":"a","line":1,"column":2}}',
    '{"id":null,"error":{"faults":[{"message":"a"},{"message":"\\u00e9\\ud83e\\udd80\\n"}]}}',
    '{"id":7,"more":true}',
    '{"event":"failed","endpoint":3,"error":{"message":"gone"}}',
    '{"event":"stopping","x":[1,-2,3.5e-6,null,false,{"y":[[]]}]}',
)
"""One message of each kind."""


def kept() -> dict[str, bytes]:
    """Every small input by name: conformance files, hand-made shapes, finds of fuzzing."""
    found = {f"{path.parent.name}-{path.name}": path.read_bytes() for path in sorted(GOPACKET.glob("*/*.pcapng"))}
    found |= {f"shape-{name}": shape.data for name, shape in SHAPES.items() if len(shape.data) <= SEED_BYTES}
    return found | {path.name: path.read_bytes() for path in sorted(READER.iterdir())}


def seeds() -> Iterator[tuple[str, bytes]]:
    """What fuzzing the reader begins with: what is kept, and the beginnings of real captures."""
    yield from kept().items()
    for path in sorted(CAPTURES.glob("*.pcap*")):
        yield path.name, path.read_bytes()[:SEED_BYTES]


def flow_seeds() -> Iterator[tuple[str, bytes]]:
    """What fuzzing the table of flows begins with."""
    yield "both-ways", bytes((40, 60, 3, 0)) + b"".join(bytes((9, 0, 8, 0x20 | i, 1, 0x21, i, 0)) for i in range(16))
    yield from ((path.name, path.read_bytes()) for path in sorted(FLOW.iterdir()))


def message_seeds() -> Iterator[tuple[str, bytes]]:
    """What fuzzing the messages of pfqd begins with."""
    for number, text in enumerate(MESSAGES):
        yield f"message-{number}", text.encode()
    yield from ((path.name, path.read_bytes()) for path in sorted(MESSAGE.iterdir()))
