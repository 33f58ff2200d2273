"""Frames made by hand, one for each thing a line can say, well-formed and not."""

from __future__ import annotations

import struct
from ipaddress import ip_address

MACS = bytes.fromhex("0102030405060a0b0c0d0e0f")
A4, B4 = bytes((10, 0, 0, 1)), bytes((10, 0, 0, 2))
A6, B6, C6 = (ip_address(text).packed for text in ("fe80::1", "ff02::1:ff00:2", "fe80::2"))


def ether(kind: int, payload: bytes) -> bytes:
    return MACS + struct.pack(">H", kind) + payload


def llc(payload: bytes) -> bytes:
    return ether(len(payload), payload)


def vlan(tci: int, kind: int, payload: bytes) -> bytes:
    return struct.pack(">HH", tci, kind) + payload


def ip4(protocol: int, payload: bytes, position: int = 0, options: bytes = b"", ttl: int = 64, tos: int = 0,
        total: int | None = None) -> bytes:  # fmt: skip
    words = 5 + len(options) // 4
    total = words * 4 + len(payload) if total is None else total
    head = struct.pack(">BBHHHBBH4s4s", 0x40 | words, tos, total, 1, position, ttl, protocol, 0, A4, B4)
    return head + options + payload


def ip6(following: int, payload: bytes, length: int | None = None, flow: int = 0) -> bytes:
    length = len(payload) if length is None else length
    return struct.pack(">IHBB", 6 << 28 | flow, length, following, 64) + A6 + B6 + payload


def udp(length: int = 12, payload: bytes = b"abcd", destination: int = 2) -> bytes:
    return struct.pack(">HHHH", 1, destination, length, 0x1111) + payload


def tcp(flags: int, options: bytes = b"", payload: bytes = b"", words: int | None = None, seq: int = 100,
        ack: int = 200, urgent: int = 0) -> bytes:  # fmt: skip
    words = 5 + len(options) // 4 if words is None else words
    return struct.pack(">HHIIBBHHH", 1000, 2000, seq, ack, words << 4, flags, 512, 0, urgent) + options + payload


Case = tuple[bytes, int]
"""captured bytes and length on the wire"""


def whole(frame: bytes) -> Case:
    return frame, len(frame)


def cut(frame: bytes, size: int) -> Case:
    return frame[:size], len(frame)


def link_layer() -> list[Case]:
    stp = bytes.fromhex("8000001122334455000000008000001122334455800100001400020 00f00".replace(" ", ""))
    tagged_udp = vlan(0x1006, 0x0800, ip4(17, udp()))
    frames = [
        ether(0x8100, vlan(10, 0x0800, ip4(253, b"abcd"))),
        ether(0x88A8, vlan(0x7005, 0x8100, tagged_udp)),
        ether(0x8100, vlan(0x2001, 0x1234, b"hello")),
        ether(0x1234, b"hello" * 5),
        ether(0x0800, b""),
        MACS,
        b"abc",
        ether(0x8847, bytes.fromhex("0006400100064140") + ip4(17, udp())),
        ether(0x8847, bytes.fromhex("000641ff") + ip4(1, bytes.fromhex("0800000000010002"))),
        ether(0x8864, bytes.fromhex("110018e500240021") + ip4(17, udp())),
        llc(b"\x42\x42\x03" + bytes.fromhex("0000000001") + stp),
        llc(b"\x42\x42\x03" + bytes.fromhex("000002023e") + stp + b"\0"),
        llc(b"\x42\x42\x03" + bytes.fromhex("00000080")),
        llc(bytes.fromhex("aaaa030000000800") + ip4(17, udp())),
        llc(bytes.fromhex("aaaa03000000123401020304")),
        llc(bytes.fromhex("aaaa0300000c01040102030405")),
        llc(bytes.fromhex("0001bf81020304")),
        llc(bytes.fromhex("f0f0e30102")),
        llc(bytes.fromhex("02030100aabb")),
        llc(bytes.fromhex("0406110100aa")),
        llc(bytes.fromhex("aabb0c0e11")),
        llc(b"\x06\x06\x03" + ip4(17, udp())),
        llc(b"\x01"),
    ]
    return [whole(frame) for frame in frames]


def arp() -> list[Case]:
    def packet(operation: int, target: bytes = bytes(6), hardware: int = 1, protocol: int = 0x0800) -> bytes:
        sender = bytes.fromhex("020000000001")
        return struct.pack(">HHBBH", hardware, protocol, 6, 4, operation) + sender + A4 + target + B4

    frames = [ether(0x0806, packet(operation)) for operation in range(12)]
    frames += [ether(0x0806, packet(1, bytes(range(6)), hardware)) for hardware in (1, 6, 32, 99)]
    frames += [ether(0x0806, packet(1, protocol=0x86DD)), ether(0x8035, packet(3)), ether(0x0806, packet(2)[:20])]
    return [whole(frame) for frame in frames]


def ipv4() -> list[Case]:
    options = ("0707040000000000", "8307040a0000ff00", "8907080a0000ff00", "94040000", "94040001", "9402ffff",
               "440c0d000000000100000002", "440c0d010a00000100000002", "440c0d2200000001000000ff", "82040000",
               "01010100", "0701ffff", "070bffff01010101", "99040000")  # fmt: skip
    frames = [ether(0x0800, ip4(17, udp(), options=bytes.fromhex(text))) for text in options]
    frames += [ether(0x0800, ip4(17, udp(), position)) for position in (0x2000, 0x2001, 0x0001, 0x4000, 0x8000)]
    frames += [ether(0x0800, ip4(17, udp(), total=total)) for total in (10, 0, 30, 100)]
    frames += [ether(0x0800, ip4(17, udp(), ttl=0, tos=tos)) for tos in (0xB9, 0xBA, 0xBB)]
    frames += [ether(0x0800, first + ip4(17, udp())[1:]) for first in (b"\x44", b"\x4f", b"\x65", b"\x15")]
    frames += [ether(0x0800, ip4(protocol, b"abcd")) for protocol in (253, 255, 0, 115)]
    frames += [ether(0x0800, ip4(4, ip4(17, udp()))), ether(0x0800, ip4(41, ip6(17, udp())))]
    cut_frames = [cut(ether(0x0800, ip4(17, udp(108, bytes(100)))), size) for size in (20, 33, 36, 40, 44, 60)]
    return [whole(frame) for frame in frames] + cut_frames


def transport() -> list[Case]:
    flags = (0, 1, 2, 4, 8, 16, 32, 64, 128, 0x11, 0x12, 0x14, 0x18, 0xC2, 0xFF)
    options = ("020405b40402080a00000001000000020103030a", "050a00000001000000020101",
               "0512000000010000000200000003000000040000", "0507000000000000", "0b06000000010101", "0606000000010101",
               "22020101220601020304 0101", "fd08010203040506", "fe08f98901020304", "03030a00", "03040aaa01010101",
               "04010101", "05000101", "020a05b4", "1d10010211223344556677889900aabb", "1404aabb", "6306010203040101",
               "000000ff", "080aff00", "13120102030405060708090a0b0c0d0e0f100101")  # fmt: skip
    segments = [tcp(flag) for flag in flags]
    segments += [tcp(0x18, payload=bytes(10)), tcp(0x38, payload=bytes(10), urgent=5)]
    segments += [tcp(0x10, seq=110, ack=250), tcp(0x10, seq=90, ack=150), tcp(0x04, payload=b"reset cause")]
    segments += [tcp(0x12, bytes.fromhex(text)) for text in options]
    segments += [tcp(2, words=words) for words in (3, 8, 15)] + [tcp(2)[:size] for size in (0, 3, 10, 19)]
    frames = [ether(0x0800, ip4(6, segment)) for segment in segments]
    frames += [ether(0x0800, ip4(17, udp(length))) for length in (12, 4, 20, 10, 0, 8)]
    frames += [ether(0x0800, ip4(17, udp()[:size])) for size in (0, 3, 6)]
    long = ether(0x0800, ip4(6, tcp(0x10, b"\x02\x04\x05\xb4" * 5, bytes(100))))
    return [whole(frame) for frame in frames] + [cut(long, size) for size in (37, 50, 60, 80)]


def icmp() -> list[Case]:
    inner = {6: ip4(6, tcp(2)), 17: ip4(17, udp(destination=2222)), 253: ip4(253, bytes(8))}
    messages = [struct.pack(">BBHHH", kind, 0, 0, 0x1234, 0x0578) + inner[17]
                for kind in (0, 4, 8, 10, 13, 14, 15, 16, 17, 18, 19, 40)]  # fmt: skip
    messages += [struct.pack(">BBHHH", 3, code, 0, 0, 0x0578) + inner[17] for code in range(17)]
    messages += [struct.pack(">BBHHH", 3, 3, 0, 0, 0) + inner[protocol] for protocol in (6, 253)]
    messages += [struct.pack(">BBHHH", 5, code, 0, 0x0102, 0x0304) + inner[17] for code in range(5)]
    messages += [struct.pack(">BBHHH", 11, code, 0, 0, 0) + inner[17] for code in range(3)]
    messages += [struct.pack(">BBHHH", 12, code, 0, 0x1400, 0) + inner[17] for code in range(2)]
    routers = bytes((1, 2, 3, 4, 0, 0, 0, 5)) * 2
    messages += [struct.pack(">BBHBBH", 9, 0, 0, 2, words, life) + routers
                 for words, life in ((2, 59), (2, 1800), (2, 7000), (3, 1))]  # fmt: skip
    messages += [b"\x08\0\0"]
    unreachable = ether(0x0800, ip4(1, struct.pack(">BBHHH", 3, 3, 0, 0, 0) + inner[17]))
    return [whole(ether(0x0800, ip4(1, message))) for message in messages] + [cut(unreachable, 50)]


def ipv6() -> list[Case]:
    atomic, later = bytes.fromhex("1100000000000005"), bytes.fromhex("1100000900000005")
    route = bytes.fromhex("3b02")
    chains = [
        (59, b""), (59, b"abc"), (253, b"abc"),
        (0, bytes.fromhex("3b00010400000000")), (0, bytes.fromhex("3b00050200000000")),
        (44, bytes.fromhex("1100000100000005") + udp()), (44, later + udp()), (44, atomic + udp()),
        (60, bytes.fromhex("1100010400000000") + udp()),
        (43, route + bytes.fromhex("000100000000") + C6), (43, route + bytes.fromhex("020100000000") + C6),
        (43, route + bytes.fromhex("030100000000") + C6), (43, route + bytes.fromhex("040100050007") + C6),
        (51, bytes.fromhex("1104000000000100 00000002") + bytes(12) + udp()),
        (50, bytes.fromhex("0000010000000002") + bytes(20)), (41, ip6(17, udp())), (4, ip4(17, udp())),
        (47, bytes.fromhex("000086dd") + ip6(17, udp())), (6, tcp(2)), (17, udp()), (1, b"abcdefgh"),
    ]  # fmt: skip
    frames = [ether(0x86DD, ip6(*chain)) for chain in chains]
    frames += [ether(0x86DD, ip6(6, tcp(2), flow=0x0AB12345)), ether(0x86DD, b"\x40" + ip6(6, tcp(2))[1:])]
    frames += [ether(0x86DD, ip6(17, udp(), length=100)), ether(0x86DD, b"\x60\0\0"), ether(0x86DD, ip6(0, b"\x06\0"))]
    return [whole(frame) for frame in frames]


def icmp6() -> list[Case]:
    inner, zero = ip6(17, udp(destination=2222)), bytes(4)
    prefix = bytes.fromhex("030440c0000151800000384000000000") + C6
    servers, names = bytes.fromhex("1903000000000e10") + C6, b"\x1f\x03\0\0\0\0\x0e\x10\7example\3com\0\0\0\0"
    options = bytes.fromhex("010102030405060705010000000005dc") + prefix + servers + names
    more = bytes.fromhex("1801000000000e10") + bytes.fromhex("0701000000000064")
    link = bytes.fromhex("0201020304050607")
    messages = [(1, code, zero + inner) for code in range(6)] + [(1, 4, zero + ip6(6, tcp(2)))]
    messages += [(2, 0, bytes.fromhex("00000500") + inner)] + [(3, code, zero + inner) for code in range(3)]
    messages += [(4, code, bytes.fromhex("00000007") + inner) for code in range(4)]
    messages += [(128, 0, bytes.fromhex("00010002") + b"abcd"), (129, 0, bytes.fromhex("00010002") + b"abcd")]
    messages += [(kind, 0, bytes.fromhex("27100000") + C6) for kind in (130, 131, 132)]
    messages += [(130, 0, bytes.fromhex("27100000") + C6 + bytes.fromhex("02050001") + C6)]
    messages += [(130, 0, bytes.fromhex("27100000") + bytes(16) + bytes.fromhex("02050000"))]
    messages += [(133, 0, zero + bytes.fromhex("0101020304050607"))]
    messages += [(134, 0, bytes.fromhex("40c007080000000000000000") + options + more)]
    messages += [(135, 0, zero + C6), (136, 0, bytes.fromhex("e0000000") + C6 + link), (137, 0, zero + C6 + B6)]
    records = bytes.fromhex("00000002") + bytes.fromhex("04000000") + C6 + bytes.fromhex("03000001") + C6 + C6
    messages += [(143, 0, records), (144, 0, bytes(20)), (100, 0, bytes(20)), (141, 0, bytes(20))]
    return [whole(ether(0x86DD, ip6(58, struct.pack(">BBH", kind, code, 0) + rest))) for kind, code, rest in messages]


def others() -> list[Case]:
    igmp = ("1164000000000000", "11640000e0000005", "1100000000000000", "114f0000e0000005", "16000000e0000005",
            "12000000e0000005", "17000000e0000005", "11640000e0000005027d00010a000001", "11ff0000e0000005027d0000",
            "220000000000000104000001e00000050a000001", "220000000000000203000000e000000501000000e0000006",
            "9900000000000000", "2200000000000005", "11")  # fmt: skip
    gre = ("00000800", "b000080000000000000000070000000 9", "80000800ffff0000", "2000080000000007")
    inner = ip4(17, udp())
    frames = [ether(0x0800, ip4(2, bytes.fromhex(text))) for text in igmp]
    frames += [ether(0x0800, ip4(47, bytes.fromhex(text.replace(" ", "")) + inner)) for text in gre]
    frames += [ether(0x0800, ip4(47, bytes.fromhex("1000655800000001") + ether(0x0800, inner)))]
    frames += [ether(0x0800, ip4(47, rest)) for rest in (b"\0\0\x12\x34abc", b"\0\2\x08\0", b"\0")]
    frames += [ether(0x0800, ip4(47, bytes.fromhex("2001880b00040001")))]
    frames += [ether(0x0800, ip4(50, bytes.fromhex("0000010000000002") + bytes(20))), ether(0x0800, ip4(50, bytes(3)))]
    header = bytes.fromhex("0000000001000000 0002")
    frames += [ether(0x0800, ip4(51, b"\x11\x04" + header + bytes(12) + udp()))]
    frames += [ether(0x0800, ip4(51, b"\x06\x01" + header + tcp(2))), ether(0x0800, ip4(108, b"\x11\0\0\5abcdefgh"))]
    return [whole(frame) for frame in frames]


FAMILIES = {
    "link layer": link_layer,
    "arp": arp,
    "ipv4": ipv4,
    "transport": transport,
    "icmp": icmp,
    "ipv6": ipv6,
    "icmp6": icmp6,
    "others": others,
}
