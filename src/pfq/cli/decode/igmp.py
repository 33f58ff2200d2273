"""IGMP: multicast groups of IPv4."""

from __future__ import annotations

from .line import Ip, Line, ip_protocol, number, take
from .text import checksum, ipv4

QUERY, REPORT1, REPORT2, LEAVE, REPORT3 = 0x11, 0x12, 0x16, 0x17, 0x22
RECORDS = {1: "is_in", 2: "is_ex", 3: "to_in", 4: "to_ex", 5: "allow", 6: "block"}
QUERY3_BYTES, REPORT3_BYTES, GROUP_BYTES = 12, 16, 8


@ip_protocol(2)
def igmp(line: Line, data: bytes, length: int, ip: Ip) -> None:
    line.enter("igmp")
    if line.style.quiet:
        line.add("igmp")
        return
    kind = number(data, 0, 1)
    if kind == QUERY:
        query(line, data, length)
    elif kind in (REPORT1, REPORT2):
        line.add(f"igmp v{1 if kind == REPORT1 else 2} report {ipv4(take(data, 4, 4))}")
    elif kind == LEAVE:
        line.add(f"igmp leave {ipv4(take(data, 4, 4))}")
    elif kind == REPORT3:
        report(line, data, length)
    else:
        line.add(f"igmp-{kind}")
    if line.style.verbose and len(data) >= length and checksum(data[:length]):
        line.add(f" bad igmp cksum {number(data, 2, 2):x}!")


def query(line: Line, data: bytes, length: int) -> None:
    line.add("igmp query")
    if length >= QUERY3_BYTES:
        query3(line, data, length)
        return
    code = number(data, 1, 1)
    line.add(" v2" if code else " v1")
    if code not in (0, 100):
        line.add(f" [max resp time {code}]")
    if any(group := take(data, 4, 4)):
        line.add(f" [gaddr {ipv4(group)}]")


def query3(line: Line, data: bytes, length: int) -> None:
    line.add(" v3")
    code = number(data, 1, 1)
    tenths = code if code < 128 else ((code & 15) | 16) << ((code >> 4 & 7) + 3)
    if tenths != 100:
        line.add(f" [max resp time {f'{tenths / 10:.1f}s' if tenths < 1000 else long_time(tenths // 10)}]")
    group = take(data, 4, 4)
    if not any(group):
        return
    line.add(f" [gaddr {ipv4(group)}")
    if sources := number(data, 10, 2):
        line.add(source_list(line, data, 12, sources))
    line.add("]")


def long_time(seconds: int) -> str:
    minutes, rest = divmod(seconds, 60)
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"


def source_list(line: Line, data: bytes, offset: int, sources: int) -> str:
    if line.style.verbose < 2:
        return f", {sources} source(s)"
    return " {" + "".join(f" {ipv4(take(data, offset + 4 * i, 4))}" for i in range(sources)) + " }"


def report(line: Line, data: bytes, length: int) -> None:
    line.add("igmp v3 report")
    if length < REPORT3_BYTES or length & 3:
        line.add(f" [invalid len {length}]")
        return
    count = number(data, 6, 2)
    line.add(f", {count} group record(s)")
    offset = 8
    for _ in range(count if line.style.verbose else 0):
        if length < offset + GROUP_BYTES:
            line.add(" [invalid number of groups]")
            return
        kind, words, sources = number(data, offset, 1), number(data, offset + 1, 1), number(data, offset + 2, 2)
        line.add(f" [gaddr {ipv4(take(data, offset + 4, 4))} {RECORDS.get(kind, f'[v3-report-#{kind}]')}")
        if length < offset + GROUP_BYTES + 4 * sources:
            line.add(f" [invalid number of sources {sources}]")
            return
        line.add(source_list(line, data, offset + 8, sources) + "]")
        offset += GROUP_BYTES + 4 * (sources + words)
