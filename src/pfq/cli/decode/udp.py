"""UDP."""

from __future__ import annotations

from .line import Ip, Line, ip_protocol, number
from .text import checksum, pseudo_header, right_checksum

HEADER_BYTES = 8


@ip_protocol(17)
def udp(line: Line, data: bytes, length: int, ip: Ip) -> None:
    line.enter("udp")
    if len(data) < 4:
        line.add(f"{ip.src} > {ip.dst}: " if ip.protocol == 17 else "")
    source, destination = number(data, 0, 2), number(data, 2, 2)
    line.note("src_port", source)
    line.note("dst_port", destination)
    if ip.protocol == 17:
        line.add(f"{ip.src}.{source} > {ip.dst}.{destination}: ")
    else:
        line.add(f"{source} > {destination}: ")
    if length < HEADER_BYTES:
        line.add(f"truncated-udp {length}")
        return
    size = number(data, 4, 2)
    if size == 0 and length > 0xFFFF:
        size = length
    if size < HEADER_BYTES:
        line.add(f"truncated-udplength {size}")
        return
    found = number(data, 6, 2)
    payload = size - HEADER_BYTES
    if not line.style.quiet and line.style.verbose and not ip.fragment:
        line.add(checksum_text(line, data, min(size, length), found, ip))
    if size > length and not ip.fragment:
        line.add(f"UDP, bad length {payload} > {length - HEADER_BYTES}")
    else:
        line.add(f"UDP, length {payload}")


def checksum_text(line: Line, data: bytes, length: int, found: int, ip: Ip) -> str:
    if ip.version == 4 and line.style.verbose < 2:
        return ""
    if ip.version == 4 and found == 0:
        return "[no cksum] "
    if len(data) < length:
        return ""
    wrong = checksum(pseudo_header(ip, 17, length), data[:length])
    if not wrong:
        return "[udp sum ok] "
    return f"[bad udp cksum 0x{found:04x} -> 0x{right_checksum(found, wrong):04x}!] "
