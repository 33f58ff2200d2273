"""Berkeley packet filters to test with, and libpcap as the judge of what they accept."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from ctypes.util import find_library

from hypothesis import strategies as st

from pfq.lang.berkeley import BerkeleyFilter
from pfq.lang.bytecode import CELLS, OPERATIONS, Instruction, targets
from pfq.lang.packet import HEADER_WINDOW

EXPRESSIONS = (
    *("ip", "ip6", "arp", "rarp", "tcp", "udp", "icmp", "icmp6", "igmp", "sctp", "ah", "esp", "vrrp", "pim"),
    *("ip proto 6", "ip6 proto 17", "proto 47", "ip proto 1 or ip6 proto 58", "atalk", "llc"),
    *("ether proto 0x0800", "ether proto \\arp", "ether proto \\ip6", "ether[12:2] <= 1500", "stp", "isis", "ipx"),
    *("host 10.0.0.1", "src host 10.0.0.1", "dst host 10.0.0.2", "host 2001:db8::1", "ip host 192.168.1.1"),
    *("src or dst host 10.0.0.2", "src and dst host 10.0.0.1", "not host 10.0.0.1", "arp host 10.0.0.1"),
    *("net 10", "net 10.0.0.0/8", "src net 192.168", "dst net 10.0.0.0 mask 255.255.255.0", "net 2001:db8::/32"),
    *("port 80", "tcp port 80", "udp port 53", "src port 80", "dst port 443", "tcp src port 1024"),
    *("portrange 1-1024", "portrange 80", "tcp dst portrange 80-443", "udp src portrange 50-60", "sctp port 80"),
    *("ether host ff:ff:ff:ff:ff:ff", "ether src 02:00:00:00:00:01", "ether dst ff:ff:ff:ff:ff:ff"),
    *("broadcast", "ether broadcast", "multicast", "ether multicast", "ip multicast", "ip6 multicast"),
    *("vlan", "vlan 5", "vlan and tcp", "vlan 5 and ip host 10.0.0.1", "vlan and vlan", "vlan 9 and vlan 5 and tcp"),
    *("not vlan", "tcp or vlan 5 and tcp", "ip and (vlan or udp)", "mpls", "mpls 100", "mpls and ip", "mpls and mpls"),
    *("pppoed", "pppoes", "pppoes and ip", "geneve", "geneve and ip", "geneve 0 and host 10.0.0.1"),
    *("len = 60", "len > 100", "less 100", "greater 1000", "len & 1 != 0", "len - 14 >= 20 and ip", "len / 100 = 5"),
    *("tcp[tcpflags] & (tcp-syn|tcp-fin) != 0", "tcp[tcpflags] = tcp-ack", "tcp[13] & 2 != 0", "tcp[0:2] > 1023"),
    *("icmp[icmptype] = icmp-echo", "icmp[icmpcode] = 0", "icmp6[icmp6type] = icmp6-echo", "icmp6[0] >= 128"),
    *("ip[0] & 0xf > 5", "ip[6:2] & 0x1fff = 0", "ip[8] < 64", "ip[2:2] - ((ip[0] & 0xf) << 2) > 20", "ip6[6] = 6"),
    *("ether[0] & 1 = 1", "ether[-1] = 0", "ip[-2:2] = 0x0800", "tcp[-1] != 255", "ether[600] = 0", "ether[510:4] = 0"),
    *("ip[ip[0] & 0xf] = 0", "ip[(ip[0] & 0xf) << 2 : 4] != 0", "udp[4:2] = ip[2:2] - 20", "ip[1] * 3 + 7 = 7"),
    *("ip[9] ^ 6 = 0", "ip[3] | 1 = 41", "ip[2:2] >> 3 = 5", "ip[8] / 16 = 4", "ip[8] % 16 = 0", "-ip[9] = -6"),
    *("ip and not tcp and not udp", "(tcp or udp) and (port 53 or port 80)", "tcp && !(src net 10 || port 443)"),
    *("ip and tcp[2:2] = 80 and ip[2:2] > 40", "link[0] = 255", "ether proto 0x88cc", "lat", "decnet", "aarp", ""),
    "ip broadcast",
)
"""Accepted by every libpcap since 1.9, and without names that must be looked up in a network."""

REFUSED = (
    *(
        "tcp prt 80",
        "host",
        "port",
        "port 65536",
        "port -1",
        "net",
        "net 10.1.2.3/8",
        "net 10.0.0.0/33",
        "net 2001::/129",
    ),
    *(
        "host 10.0.0.256",
        "host 2001:db8::1::2",
        "tcp port",
        "and",
        "ip and",
        "or tcp",
        "(tcp",
        "tcp)",
        "not",
        "tcp udp",
    ),
    *("port 80 81", "portrange 80-65536", "portrange a-b", "ether host 1:2:3", "ether proto nothing"),
    *(
        "vlan 4096",
        "mpls 1048576",
        "geneve 16777216",
        "ip[0:3] = 1",
        "ip[0:5] = 1",
        "ip[0",
        "ip[] = 0",
        "ip[0] =",
        "1 + 2",
    ),
    *("len / 0 = 1", "len % 0 = 1", "ip[0] << 32 = 1", "ip[0] >> 40 = 1", "ip6 host 10.0.0.1", "arp port 80"),
    *("gateway 10.0.0.1", "type mgt", "ifname eth0", "radio[0] = 1", "wlan addr4 1:2:3:4:5:6"),
    *(
        "net 10.0.0.0 mask 255.0.0.0.0",
        "tcp port http-no-such-service",
        "#",
        "tcp; udp",
        "é",
        "host [",
        "proto 6 port 80 udp",
    ),
)
"""Refused by libpcap."""


class _Program(ctypes.Structure):
    _fields_ = (("count", ctypes.c_uint), ("instructions", ctypes.c_char_p))


class _Header(ctypes.Structure):
    _fields_ = (("time", ctypes.c_long * 2), ("captured", ctypes.c_uint32), ("length", ctypes.c_uint32))


_libpcap = ctypes.CDLL(find_library("pcap"))
_libpcap.pcap_offline_filter.argtypes = ctypes.POINTER(_Program), ctypes.POINTER(_Header), ctypes.c_char_p


class Judge:
    """libpcap's own interpreter of a filter."""

    def __init__(self, wanted: BerkeleyFilter) -> None:
        packed = (_Packed * len(wanted.instructions))(*wanted.instructions)
        self._packed = bytes(packed)
        self._program = _Program(len(wanted.instructions), self._packed)

    def accepts(self, frame: bytes, most: int = HEADER_WINDOW) -> bool:
        """Whether the filter accepts a frame of which it sees so many bytes."""
        header = _Header((0, 0), min(len(frame), most), len(frame))
        return bool(_libpcap.pcap_offline_filter(self._program, header, frame))


class _Packed(ctypes.Structure):
    _fields_ = (("code", ctypes.c_uint16), ("jt", ctypes.c_uint8), ("jf", ctypes.c_uint8), ("k", ctypes.c_uint32))


def bytecode(*instructions: Sequence[int]) -> str:
    """As iptables wants it."""
    return ",".join([str(len(instructions)), *(" ".join(map(str, each)) for each in instructions)])


_OFFSETS = st.one_of(st.integers(0, 60), st.sampled_from((500, 508, 509, 510, 511, 512, 0x7FFFFFFF, 0xFFFFFFFF)))
_NUMBERS = st.one_of(st.integers(0, 40), st.sampled_from((255, 0x0800, 0xFFFF, 1 << 31, 0xFFFFFFFF)))


@st.composite
def filters(draw: st.DrawFn) -> BerkeleyFilter:
    """Well-formed bytecode of all kinds: any instruction, jumps anywhere forwards."""
    count = draw(st.integers(1, 24))
    made: list[Instruction] = []
    kept: dict[int, set[int]] = {0: set()}
    for at in range(count):
        left, cells = count - at, kept.get(at, set(range(CELLS)))
        made.append(draw(_instructions(left, cells)))
        new = {made[-1].k} if OPERATIONS[made[-1].code][0] == "keep" else set()
        for target in targets(at, made[-1]):
            kept[target] = (kept[target] if target in kept else cells | new) & (cells | new)
    made.append(Instruction(draw(st.sampled_from((0x06, 0x16))), 0, 0, draw(st.sampled_from((0, 1, 262144)))))
    return BerkeleyFilter.parse(bytecode(*made))


@st.composite
def _instructions(draw: st.DrawFn, left: int, cells: set[int]) -> Instruction:
    """One with so many behind it, where these cells of the memory are known."""
    code = draw(st.sampled_from([code for code, (name, *_) in OPERATIONS.items() if name != "return"]))
    forwards = st.integers(0, min(left - 1, 255))
    match OPERATIONS[code]:
        case (("load" | "load from x" | "load header size"), *_):
            return Instruction(code, 0, 0, draw(_OFFSETS))
        case ("jump",):
            return Instruction(code, 0, 0, draw(forwards))
        case "branch", *_:
            return Instruction(code, draw(forwards), draw(forwards), draw(_NUMBERS))
        case "compute", "div" | "mod", "k":
            return Instruction(code, 0, 0, draw(_NUMBERS) or 1)
        case "compute", "lsh" | "rsh", "k":
            return Instruction(code, 0, 0, draw(st.integers(0, 31)))
        case "keep", _:
            return Instruction(code, 0, 0, draw(st.integers(0, CELLS - 1)))
        case "fetch", register:
            if not cells:
                return Instruction(0x00 if register == "a" else 0x01, 0, 0, draw(_NUMBERS))
            return Instruction(code, 0, 0, draw(st.sampled_from(sorted(cells))))
        case _:
            return Instruction(code, 0, 0, draw(_NUMBERS))
