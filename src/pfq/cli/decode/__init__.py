"""Packets as text, one line each, in the form that tcpdump made familiar.

Layers 2 to 4 are decoded; what TCP and UDP carry is not looked at. Any bytes give a line:
a packet that ends early or contradicts itself is shown as far as it goes.
"""

from __future__ import annotations

from . import arp, icmp, icmp6, igmp, ipv4, ipv6, lldp, tcp, tunnel, udp  # each registers its layers
from .ethernet import ethernet
from .line import Line, Style, Truncated

__all__ = ["Decoder", "Decoded", "Style"]

LAYERS = (arp, icmp, icmp6, igmp, ipv4, ipv6, lldp, tcp, tunnel, udp)


class Decoded:
    """One packet: its line, its header fields, and how many bytes its link-level header has."""

    __slots__ = ("fields", "link_bytes", "text")

    def __init__(self, text: str, fields: dict[str, object], link_bytes: int) -> None:
        self.text = text
        self.fields = fields
        self.link_bytes = link_bytes


class Decoder:
    """Turns frames into lines. It remembers the first sequence numbers of TCP connections."""

    def __init__(self, style: Style | None = None) -> None:
        self.style = style or Style()
        self._flows: dict[bytes, tuple[int, int]] = {}

    def decode(self, frame: bytes, length: int | None = None) -> Decoded:
        """Decodes a frame of which `length` bytes were on the wire and `frame` were captured."""
        length = len(frame) if length is None else length
        line = Line(self.style, self._flows)
        try:
            line.link_bytes = ethernet(line, frame, length)
        except Truncated:
            line.add(f" [|{line.protocol}]")
        return Decoded("".join(line.parts), line.fields, line.link_bytes)
