"""What `pfq run` selects from a file is what tcpdump selects, byte for byte.

tcpdump writes what it takes from all captures into one file; so does `pfq run`. The packets follow each other as the
captures do, so the two files differ in the first packet about which the two disagree.
"""

from __future__ import annotations

import struct
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner
from support import berkeley, tcpdump
from support.frames import ethernet_captures

from pfq.cli import commands

SEVERAL_LINK_TYPES = "pcapplusplus-many_interfaces-1.pcapng"
"""tcpdump reads no files of this kind."""

CAPTURES = tuple(path for path in ethernet_captures() if path.name != SEVERAL_LINK_TYPES)

ACCEPTING = (
    *("host 10.0.0.6", "src host 10.0.0.6", "dst host 10.0.0.6", "host 10.0.0.6 and not port 80", "ip src 10.0.0.6"),
    *("src or dst host 212.199.202.9", "net 212.199.202.0/24", "net 212.199.202.0 mask 255.255.255.0", "net 212"),
    *("src net 10.0.0.0/8 and not dst net 10", "not src net 10.0.0.0/8", "ip6 net fe80::/10", "dst net ff00::/8"),
    *("ip6 host ff02::1", "len >= 1514", "port 5060", "udp port 4342", "tcp port 443 or tcp port 80"),
    *("portrange 2000-3000", "udp dst portrange 53-4342", "tcp[tcpflags] == tcp-syn", "tcp[tcpflags] & tcp-rst != 0"),
    *("tcp[13] & (tcp-syn|tcp-ack) == (tcp-syn|tcp-ack)", "tcp[((tcp[12] & 0xf0) >> 2):4] = 0x47455420"),
    *("tcp[((tcp[12] & 0xf0) >> 2):4] = 0x48545450", "udp[10] & 0x80 = 0", "ip[8] = 64", "ip[2:2] != len - 14"),
    *("ip[6:2] & 0x3fff != 0", "ip and not (tcp or udp or icmp)", "vlan 118 or vlan 200", "vlan and vlan and ip"),
    *("vlan 118", "vlan 30 and vlan 100", "ether proto 0x8100", "ether proto 0x88a8", "ether[14:2] & 0xfff = 118"),
    *("vlan and llc", "ip proto 41", "ip proto gre", "ip proto \\udp and len > 500", "ip6 proto 43", "ip6 proto 44"),
    *("ip6[6] = 0", "icmp6 and ip6[40] = 134", "ether proto \\ip", "geneve 0xa", "geneve and icmp", "llc u"),
    *("ether[600] = 0", "ip[511:4] >= 0x40000000", "ip[((ip[0] & 0xf) << 2) + 600] & 1 = 1"),
    *("udp port 4789 and udp[8] = 8", "udp port 2152 and udp[20] = 0x45", "not (not (tcp))"),
    *("(port 53 and (udp or tcp)) or ((host 10.0.0.6 and tcp) and not (port 80 or port 443))",),
    *("ip and (src port 80 and dst host 10.0.0.6 or src net 31.13 and tcp[tcpflags] & tcp-push != 0)",),
)
"""What some packets of the captures are accepted by, but not all."""

KEYWORDS = (
    *("vlan and arp", "vlan and ip and icmp", "not vlan and ip", "ether src host 00:0c:29:c6:03:1c", "llc test"),
    *("ether host ff:ff:ff:ff:ff:ff and arp", "ip[6:2] & 0x1fff > 0 and not udp", "icmp[icmptype] = icmp-unreach"),
    *("llc s", "llc i", "llc xid", "iso", "clnp", "esis", "netbeui", "moprc", "mopdl", "sca", "icmp[0:2] = 0x0303"),
)
"""What is left of libpcap's words for Ethernet."""

EXPRESSIONS = tuple(dict.fromkeys((*ACCEPTING, *KEYWORDS, *berkeley.EXPRESSIONS)))

MICRO, NANO = 0xA1B2C3D4, 0xA1B23C4D


@dataclass(frozen=True)
class Written:
    """A classic capture file: of its head what tells how to read it, and the records, each with its own head."""

    magic: int
    link_type: int
    records: list[bytes]

    @classmethod
    def of(cls, path: Path) -> Written:
        data = path.read_bytes()
        magic, link_type = struct.unpack_from("<I16xI", data)
        records, at = [], 24
        while at < len(data):
            end = at + 16 + int.from_bytes(data[at + 8 : at + 12], "little")
            records.append(data[at:end])
            at = end
        return cls(magic, link_type & 0xFFFF, records)

    def in_micros(self) -> Written:
        """The same with times in microseconds."""
        if self.magic == MICRO:
            return self
        fractions = [int.from_bytes(record[4:8], "little") // 1000 for record in self.records]
        cut = [r[:4] + micros.to_bytes(4, "little") + r[8:] for r, micros in zip(self.records, fractions, strict=True)]
        return Written(MICRO, self.link_type, cut)


def ours(paths: Sequence[Path], expression: str, out: Path) -> Written:
    """What `pfq run` writes."""
    files = [word for path in paths for word in ("-r", str(path))]
    words = ["run", *files, "--pcap", "-w", str(out), "--", expression]
    result = CliRunner().invoke(commands, words, prog_name="pfq")
    assert result.exit_code == 0, result.output
    return Written.of(out)


def theirs(paths: Sequence[Path], expression: str, out: Path, precision: str = "micro") -> Written:
    """What tcpdump writes. Of several files it reads all but the first in microseconds."""
    source = ["-r", str(paths[0])]
    if len(paths) > 1:
        listed = out.with_suffix(".list")
        listed.write_text("".join(f"{path}\n" for path in paths))
        source = ["-V", str(listed)]
    command = ["tcpdump", *source, "-w", str(out), f"--time-stamp-precision={precision}", "--", expression]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return Written.of(out)


def check(expression: str, wanted: Written, found: Written) -> None:
    assert (found.magic, found.link_type) == (wanted.magic, wanted.link_type)
    if found.records != wanted.records:
        pytest.fail(f"`{expression}`: {difference(wanted.records, found.records)}")


def difference(wanted: list[bytes], found: list[bytes]) -> str:
    """The first packet in which the files differ."""
    for number, (a, b) in enumerate(zip(wanted, found, strict=False)):
        if a != b:
            return f"packet {number} of tcpdump is {a.hex()}, and of pfq {b.hex()}"
    longer, name = (wanted, "tcpdump") if len(wanted) > len(found) else (found, "pfq")
    shorter = min(len(wanted), len(found))
    return f"only {name} has packet {shorter} and {len(longer) - shorter - 1} more: {longer[shorter].hex()}"


@pytest.fixture(autouse=True)
def _judge() -> None:
    if (why := tcpdump.missing()) is not None:
        pytest.skip(why)


def test_there_is_enough_to_compare() -> None:
    assert len(CAPTURES) >= 30
    assert len(EXPRESSIONS) >= 180


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_what_is_selected_of_all_captures(expression: str, tmp_path: Path) -> None:
    found = ours(CAPTURES, expression, tmp_path / "ours.pcap")
    check(expression, theirs(CAPTURES, expression, tmp_path / "theirs.pcap"), found.in_micros())


@pytest.mark.parametrize("path", CAPTURES, ids=lambda path: path.name)
@pytest.mark.parametrize("expression", ["", "ip and not tcp or vlan"])
def test_what_is_selected_of_each_capture(path: Path, expression: str, tmp_path: Path) -> None:
    """With times as exact as `pfq run` writes them."""
    found = ours([path], expression, tmp_path / "ours.pcap")
    precision = "nano" if found.magic == NANO else "micro"
    check(expression, theirs([path], expression, tmp_path / "theirs.pcap", precision), found)


def test_some_are_accepted_but_not_all(tmp_path: Path) -> None:
    every = theirs(CAPTURES, "", tmp_path / "every.pcap").records
    assert len(every) > 6000
    for expression in ACCEPTING:
        some = theirs(CAPTURES, expression, tmp_path / "some.pcap").records
        assert 0 < len(some) < len(every), expression
