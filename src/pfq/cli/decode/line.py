"""The line that is being written, and the tables through which one layer finds the next.

A layer is a function `(line, data, length)`: `data` are the captured bytes of the layer, `length`
is what it was on the wire. A layer that needs a byte that was not captured raises `Truncated`
(through `take`), and the line ends with the name of the last protocol, as in ` [|tcp]`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

MAX_DEPTH = 32
"""Headers inside headers; a frame can hold thousands, a reader cannot."""

Layer = Callable[["Line", bytes, int], None]
Payload = Callable[["Line", bytes, int, "Ip"], None]


class Truncated(Exception):
    """The layer goes on after the last captured byte."""


def take(data: bytes, offset: int, size: int) -> bytes:
    """`size` bytes at `offset`; raises Truncated when they were not all captured."""
    part = data[offset : offset + size]
    if len(part) < size:
        raise Truncated
    return part


def number(data: bytes, offset: int, size: int) -> int:
    """The same as an unsigned big-endian number."""
    return int.from_bytes(take(data, offset, size), "big")


@dataclass(frozen=True, slots=True)
class Style:
    """What a line shows; the names of tcpdump's options in brackets.

    link      the link-level header [-e]
    quiet     fewer details of TCP and UDP [-q]
    verbose   0 to 3 [-v, -vv, -vvv]
    absolute  TCP sequence numbers as they are, not relative to the first one seen [-S]
    dump      bytes of frames of unknown type are shown below the line (not with -q, -x, -X, -A)
    """

    link: bool = False
    quiet: bool = False
    verbose: int = 0
    absolute: bool = False
    dump: bool = True


@dataclass(slots=True)
class Ip:
    """What the layers above need to know of the IP header.

    source, destination   packed addresses; the pseudo header of checksums has them
    protocol              of the IP header itself: not of the extension headers behind it
    fragment              there are more fragments of this datagram
    """

    version: int
    source: bytes
    destination: bytes
    src: str
    dst: str
    protocol: int
    fragment: bool = False


class Line:
    """The text of one packet so far, and what was noticed about it on the way."""

    __slots__ = ("depth", "fields", "flows", "link_bytes", "parts", "protocol", "style")

    def __init__(self, style: Style, flows: dict[bytes, tuple[int, int]]) -> None:
        self.style = style
        self.flows = flows
        self.parts: list[str] = []
        self.fields: dict[str, object] = {}
        self.protocol = ""
        self.depth = 0
        self.link_bytes = 0

    def add(self, text: str) -> None:
        self.parts.append(text)

    def note(self, name: str, value: object) -> None:
        """Keeps a header field for the JSON form. The outermost header wins."""
        self.fields.setdefault(name, value)

    def enter(self, protocol: str) -> None:
        """Begins a layer; raises Truncated when there are too many inside each other."""
        self.protocol = protocol
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise Truncated


ETHERTYPES: dict[int, Layer] = {}
IP_PROTOCOLS: dict[int, Payload] = {}


def ethertype(*numbers: int) -> Callable[[Layer], Layer]:
    """Registers the layer behind these Ethernet types."""

    def register(layer: Layer) -> Layer:
        ETHERTYPES.update(dict.fromkeys(numbers, layer))
        return layer

    return register


def ip_protocol(*numbers: int) -> Callable[[Payload], Payload]:
    """Registers the layer behind these IP protocol numbers."""

    def register(layer: Payload) -> Payload:
        IP_PROTOCOLS.update(dict.fromkeys(numbers, layer))
        return layer

    return register


def payload_of_ip(line: Line, protocol: int, data: bytes, length: int, ip: Ip) -> None:
    """Whatever an IP datagram carries."""
    layer = IP_PROTOCOLS.get(protocol)
    if layer is None:
        line.add(f" ip-proto-{protocol} {length}")
    else:
        layer(line, data, length, ip)
