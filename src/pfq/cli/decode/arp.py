"""ARP and reverse ARP."""

from __future__ import annotations

from .line import Line, ethertype, number, take
from .numbers import ETHERTYPE_NAMES
from .text import hex_ascii_dump, ipv4, mac

HEADER_BYTES = 8
IPV4_TYPE, TRAILER_TYPE = 0x0800, 0x1000
HARDWARE = {1: "Ethernet", 6: "TokenRing", 7: "ArcNet", 15: "FrameRelay", 19: "ATM", 23: "Strip", 24: "IEEE 1394",
            32: "InfiniBand"}  # fmt: skip
OPERATIONS = {1: "Request", 2: "Reply", 3: "Reverse Request", 4: "Reverse Reply", 8: "Inverse Request",
              9: "Inverse Reply", 10: "NACK Reply"}  # fmt: skip


@ethertype(0x0806, 0x8035)
def arp(line: Line, data: bytes, length: int) -> None:
    line.enter("arp")
    hardware, protocol = number(data, 0, 2), number(data, 2, 2)
    hardware_bytes, protocol_bytes, operation = number(data, 4, 1), number(data, 5, 1), number(data, 6, 2)
    take(data, HEADER_BYTES, 2 * (hardware_bytes + protocol_bytes))
    if not line.style.link:
        line.add("ARP, ")
    known = protocol in (IPV4_TYPE, TRAILER_TYPE) and protocol_bytes == 4 and hardware_bytes
    if not known or line.style.verbose:
        line.add(f"{HARDWARE.get(hardware, f'Unknown Hardware ({hardware})')} (len {hardware_bytes}), ")
        kind = ETHERTYPE_NAMES.get(protocol, f"Unknown Protocol (0x{protocol:04x})")
        line.add(f"{kind} (len {protocol_bytes})")
    if known or line.style.verbose:
        line.add(f"{', ' if line.style.verbose else ''}{OPERATIONS.get(operation, f'Unknown ({operation})')} ")
        text = question_or_answer(line, data, operation, protocol, hardware_bytes, protocol_bytes)
        if text is None:
            line.add(hex_ascii_dump(data))
            return
        line.add(text)
    line.add(f", length {length}")


def question_or_answer(
    line: Line, data: bytes, operation: int, protocol: int, hardware_bytes: int, protocol_bytes: int
) -> str | None:
    """What is asked or said, or None for an operation without a usual form."""

    def address(offset: int) -> str:
        if protocol not in (IPV4_TYPE, TRAILER_TYPE):
            return "<wrong proto type>"
        return ipv4(data[offset : offset + 4]) if protocol_bytes == 4 else "<wrong len>"

    source_at = HEADER_BYTES
    target_at = source_at + hardware_bytes + protocol_bytes
    source, target = data[source_at:][:hardware_bytes], data[target_at:][:hardware_bytes]
    source_ip, target_ip = address(source_at + hardware_bytes), address(target_at + hardware_bytes)
    line.note("arp_op", operation)
    line.note("src", source_ip)
    line.note("dst", target_ip)
    asked = f" ({mac(target)})" if any(target) else ""
    source_text, target_text = mac(source) or "<empty>", mac(target) or "<empty>"
    match operation:
        case 1:
            return f"who-has {target_ip}{asked} tell {source_ip}"
        case 2:
            return f"{source_ip} is-at {source_text}"
        case 3 | 8:
            return f"who-is {target_text} tell {source_text}"
        case 4:
            return f"{target_text} at {target_ip}"
        case 9:
            return f"{source_text} at {source_ip}"
        case _:
            return None
