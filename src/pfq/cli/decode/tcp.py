"""TCP: flags, relative sequence numbers, options."""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct

from .line import Ip, Line, ip_protocol, number, take
from .text import checksum, flag_names, pseudo_header, right_checksum

HEADER = Struct(">HHIIBBHHH")
FIN, SYN, RST, PUSH, ACK, URG = 1, 2, 4, 8, 16, 32
FLAGS = {FIN: "F", SYN: "S", RST: "R", PUSH: "P", ACK: ".", URG: "U", 64: "E", 128: "W"}
MAX_FLOWS = 65_536
"""Connections whose first sequence numbers are remembered; the oldest is forgotten first."""

END, NOP, SACK, SIGNATURE = 0, 1, 5, 19
WORD32 = 0xFFFFFFFF


@ip_protocol(6)
def tcp(line: Line, data: bytes, length: int, ip: Ip) -> None:
    line.enter("tcp")
    if len(data) < 4:
        line.add(f"{ip.src} > {ip.dst}: [|tcp]" if ip.protocol == 6 else " [|tcp]")
        return
    source, destination = number(data, 0, 2), number(data, 2, 2)
    line.note("src_port", source)
    line.note("dst_port", destination)
    if ip.protocol == 6:
        line.add(f"{ip.src}.{source} > {ip.dst}.{destination}: ")
    else:
        line.add(f"{source} > {destination}: ")
    header = HEADER.unpack(take(data, 0, HEADER.size))
    header_bytes = (header[4] >> 4) * 4
    if header_bytes < HEADER.size:
        line.add(f" tcp {(length - header_bytes) & WORD32}")
        line.add(f" [bad hdr length {header_bytes} - too short, < {HEADER.size}]")
        return
    flags = flag_names(FLAGS, header[5], separator="")
    line.note("tcp_flags", flags)
    if line.style.quiet:
        line.add(f"tcp {(length - header_bytes) & WORD32}")
    else:
        line.add(f"Flags [{flags}]")
    if header_bytes > length:
        line.add(f" [bad hdr length {header_bytes} - too long, > {length}]")
    elif not line.style.quiet:
        segment(line, data, length, ip, header)


def segment(line: Line, data: bytes, length: int, ip: Ip, header: tuple[int, ...]) -> None:
    """Everything after the flags of a segment whose header length makes sense."""
    source, destination, sequence, acknowledged, offset, flags, window, found, urgent = header
    header_bytes = (offset >> 4) * 4
    if line.style.verbose and not ip.fragment and len(data) >= length:
        wrong = checksum(pseudo_header(ip, 6, length), data[:length])
        line.add(f", cksum 0x{found:04x}")
        line.add(f" (incorrect -> 0x{right_checksum(found, wrong):04x})" if wrong else " (correct)")
    base = reverse_base = 0
    if flags & ACK and not line.style.absolute:
        known, base, reverse_base = flow(line, ip, source, destination, sequence, acknowledged, bool(flags & SYN))
        if known:
            sequence, acknowledged = (sequence - base) & WORD32, (acknowledged - reverse_base) & WORD32
    payload = length - header_bytes
    if line.style.verbose > 1 or payload or flags & (SYN | FIN | RST):
        line.add(f", seq {sequence}" + (f":{(sequence + payload) & WORD32}" if payload else ""))
    if flags & ACK:
        line.add(f", ack {acknowledged}")
    line.add(f", win {window}")
    if flags & URG:
        line.add(f", urg {urgent}")
    if header_bytes > HEADER.size:
        line.add(", options [")
        if not options(line, data[HEADER.size : header_bytes], header_bytes - HEADER.size, reverse_base):
            return
        line.add("]")
    line.add(f", length {payload}")
    if flags & RST and payload and line.style.verbose:
        line.add(reset_cause(data[header_bytes:], payload))


def flow(
    line: Line, ip: Ip, source: int, destination: int, sequence: int, acknowledged: int, first: bool
) -> tuple[bool, int, int]:
    """(known before, base of this direction, base of the other), remembering a connection seen first."""
    swapped = (source, ip.source) > (destination, ip.destination)
    ends = (source.to_bytes(2, "big") + ip.source, destination.to_bytes(2, "big") + ip.destination)
    key = ends[1] + ends[0] if swapped else ends[0] + ends[1]
    bases = line.flows.get(key)
    if bases is None or first:
        mine, other = sequence, (acknowledged - 1) & WORD32
        line.flows[key] = (other, mine) if swapped else (mine, other)
        if len(line.flows) > MAX_FLOWS:
            del line.flows[next(iter(line.flows))]
        return False, mine, other
    mine, other = (bases[1], bases[0]) if swapped else bases
    return True, mine, other


def reset_cause(data: bytes, length: int) -> str:
    """What the sender of a reset wrote into it."""
    shown = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in data[:30])
    cut = "+" if length > 30 else "!" if len(data) < length else ""
    return f" [{cut}RST {shown}]"


def word(data: bytes) -> str:
    return f" {number(data, 0, 4)}"


def fast_open(data: bytes) -> str:
    if not data:
        return "  cookiereq"
    if len(data) % 2 or not 4 <= len(data) <= 16:
        return "  [nonexistent cookie size]"
    return f"  cookie {data.hex()}"


def user_timeout(data: bytes) -> str:
    value = number(data, 0, 2)
    return f" 0x{value:x} {(value & 0x7FFF) * (60 if value & 0x8000 else 1)}"


def authentication(data: bytes) -> str:
    return f" keyid {data[0]} rnextkeyid {data[1]} mac 0x{data[2:].hex()}" if len(data) >= 2 else ""


def signature(data: bytes) -> str:
    return f" shared secret not supplied with -M, can't check - {take(data, 0, 16).hex()}"


def experiment(data: bytes) -> str:
    if data[:2] == b"\xf9\x89":
        return "tfo" + fast_open(data[2:]).replace("  ", " ")
    return unknown(data)


def unknown(data: bytes) -> str:
    return f" 0x{data.hex()}" if data else ""


Show = Callable[[bytes], str]
OPTIONS: dict[int, tuple[str, int | None, Show]] = {
    2: ("mss", 2, lambda data: f" {number(data, 0, 2)}"),
    3: ("wscale", 1, lambda data: f" {data[0]}"),
    4: ("sackOK", 0, lambda data: ""),
    6: ("echo", 4, word),
    7: ("echoreply", 4, word),
    8: ("TS", 8, lambda data: f" val {number(data, 0, 4)} ecr {number(data, 4, 4)}"),
    11: ("cc", 4, word),
    12: ("ccnew", 4, word),
    13: ("", 4, word),
    19: ("md5", 16, signature),
    20: ("scps", 2, lambda data: f" cap {data[0]:02x} id {data[1]}"),
    28: ("uto", 2, user_timeout),
    29: ("tcp-ao", None, authentication),
    34: ("tfo", None, fast_open),
    254: ("exp-", None, experiment),
}
"""Name, bytes of data (None: as many as the option says) and how they are shown."""


class BrokenOff(Exception):
    """The options cannot be followed further. `mark` says why; `end` closes a list that has begun."""

    def __init__(self, mark: str, end: str) -> None:
        super().__init__(mark)
        self.mark, self.end = mark, end


def options(line: Line, data: bytes, length: int, reverse_base: int) -> bool:
    """Writes the options; False when they broke off and the line ends there."""
    offset = 0
    try:
        while offset < length:
            if offset:
                line.add(",")
            kind = number(data, offset, 1)
            if kind == END:
                line.add("eol")
                return True
            if kind == NOP:
                line.add("nop")
                offset += 1
                continue
            size = number(data, offset + 1, 1)
            if size < 2 or size > length - offset:
                raise BrokenOff("[bad opt]", "]")
            room = length - offset - 2
            offset += 2 + option(line, kind, data[offset + 2 : offset + size], size, room, reverse_base)
    except BrokenOff as broken:
        line.add(broken.mark + (broken.end if offset else ""))
        return False
    return True


def option(line: Line, kind: int, data: bytes, size: int, room: int, reverse_base: int) -> int:
    """Writes one option and returns the bytes of data it used; raises BrokenOff."""
    name, expected, show = OPTIONS.get(kind, (f"unknown-{kind}", None, unknown))
    line.add("sack" if kind == SACK else name)
    needed = size - 2 if expected is None else expected
    if needed > room:
        raise BrokenOff("[bad opt]", "]")
    if len(data) < min(needed, size - 2):
        raise BrokenOff((unknown(data) if kind not in OPTIONS and kind != SACK else "") + " [|tcp]", ">")
    line.add(sacks(data, reverse_base) if kind == SACK else show(data) if len(data) >= needed else "")
    if needed != size - 2:
        line.add(f"[len {size}]")
    return needed


def sacks(data: bytes, reverse_base: int) -> str:
    """Blocks of a selective acknowledgement, relative to the acknowledged direction."""
    if len(data) % 8:
        return " invalid sack"
    edges = [(number(data, at, 4) - reverse_base) & WORD32 for at in range(0, len(data), 4)]
    blocks = "".join(f"{{{left}:{right}}}" for left, right in zip(edges[::2], edges[1::2], strict=True))
    return f" {len(edges) // 2} {blocks}"
