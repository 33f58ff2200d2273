"""Lines without a judge: exact ones for the common packets, and some line for any bytes at all."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import packets
from support.packets import ether, ip4, ip6, llc, tcp, udp, vlan

from pfq.cli.decode import Decoder, Style
from pfq.cli.decode.line import MAX_DEPTH

LINK = "0a:0b:0c:0d:0e:0f > 01:02:03:04:05:06, "

LINES = {
    "tcp": (ether(0x0800, ip4(6, tcp(2, bytes.fromhex("020405b4")))),
            "IP 10.0.0.1.1000 > 10.0.0.2.2000: Flags [S], seq 100, win 512, options [mss 1460], length 0"),
    "udp": (ether(0x0800, ip4(17, udp())), "IP 10.0.0.1.1 > 10.0.0.2.2: UDP, length 4"),
    "udp6": (ether(0x86DD, ip6(17, udp())), "IP6 fe80::1.1 > ff02::1:ff00:2.2: UDP, length 4"),
    "later fragment": (ether(0x0800, ip4(17, bytes(8), 0x2001)), "IP 10.0.0.1 > 10.0.0.2: ip-proto-17"),
    "echo": (ether(0x0800, ip4(1, bytes.fromhex("0800000000010002"))),
             "IP 10.0.0.1 > 10.0.0.2: ICMP echo request, id 1, seq 2, length 8"),
    "unknown protocol": (ether(0x0800, ip4(253, b"abcd")), "IP 10.0.0.1 > 10.0.0.2:  ip-proto-253 4"),
    "untagged text of a tagged frame": (ether(0x8100, vlan(10, 0x0800, ip4(17, udp()))),
                                        "IP 10.0.0.1.1 > 10.0.0.2.2: UDP, length 4"),
    "lldp": (ether(0x88CC, bytes.fromhex("0a05") + b"host1" + bytes(2)), "LLDP, length 9: host1"),
    "runt": (b"abc", " [|ether]"),
    "empty": (b"", " [|ether]"),
    "llc": (llc(b"\x02\x03\x01\x00"), "0a:0b:0c:0d:0e:0f > 01:02:03:04:05:06 802.1B I Supervisory, "
            "Receiver Ready, rcv seq 0, Flags [Response], length 4"),
}  # fmt: skip


@pytest.mark.parametrize(("frame", "line"), LINES.values(), ids=LINES)
def test_line(frame: bytes, line: str) -> None:
    assert Decoder().decode(frame).text == line


def test_link_level_header() -> None:
    decoder = Decoder(Style(link=True))
    tagged = ether(0x88A8, vlan(0x7005, 0x8100, vlan(6, 0x0800, ip4(17, udp()))))
    assert decoder.decode(tagged).text == (
        f"{LINK}ethertype 802.1Q-QinQ (0x88a8), length 54: vlan 5, p 3, DEI, ethertype 802.1Q (0x8100), "
        "vlan 6, p 0, ethertype IPv4 (0x0800), 10.0.0.1.1 > 10.0.0.2.2: UDP, length 4"
    )


def test_link_bytes() -> None:
    """Where the bytes of -x begin: behind the link-level header, tags included."""
    assert Decoder().decode(ether(0x0800, ip4(17, udp()))).link_bytes == 14
    assert Decoder().decode(ether(0x8100, vlan(1, 0x0800, ip4(17, udp())))).link_bytes == 18
    assert Decoder().decode(llc(b"\x42\x42\x03" + bytes(4))).link_bytes == 17
    assert Decoder().decode(b"abc").link_bytes == 3


def test_length_on_the_wire_counts() -> None:
    frame = ether(0x0800, ip4(17, udp(108, bytes(100))))
    assert Decoder().decode(frame[:42], len(frame)).text == "IP 10.0.0.1.1 > 10.0.0.2.2: UDP, length 100"
    assert Decoder().decode(frame[:40], len(frame)).text == "IP 10.0.0.1.1 > 10.0.0.2.2:  [|udp]"


def test_fields() -> None:
    frame = ether(0x8100, vlan(10, 0x0800, ip4(6, tcp(0x12))))
    assert Decoder().decode(frame).fields == {
        "eth_src": "0a:0b:0c:0d:0e:0f",
        "eth_dst": "01:02:03:04:05:06",
        "vlan": 10,
        "ethertype": 0x0800,
        "src": "10.0.0.1",
        "dst": "10.0.0.2",
        "proto": 6,
        "src_port": 1000,
        "dst_port": 2000,
        "tcp_flags": "S.",
    }


def test_fields_are_those_of_the_outermost_header() -> None:
    inner = ip4(6, tcp(2)).replace(packets.A4, bytes((9, 9, 9, 9)))
    fields = Decoder().decode(ether(0x0800, ip4(4, inner))).fields
    assert (fields["src"], fields["proto"]) == ("10.0.0.1", 4)


class TestSequenceNumbers:
    def conversation(self, decoder: Decoder, *numbers: tuple[int, int]) -> list[str]:
        frames = (ether(0x0800, ip4(6, tcp(0x18, payload=b"x" * 10, seq=seq, ack=ack))) for seq, ack in numbers)
        return [decoder.decode(frame).text.partition("[P.], ")[2].partition(", win")[0] for frame in frames]

    def test_relative_to_the_first(self) -> None:
        shown = self.conversation(Decoder(), (1000, 500), (1010, 500), (1020, 600))
        assert shown == ["seq 1000:1010, ack 500", "seq 10:20, ack 1", "seq 20:30, ack 101"]

    def test_absolute(self) -> None:
        shown = self.conversation(Decoder(Style(absolute=True)), (1000, 500), (1010, 500))
        assert shown == ["seq 1000:1010, ack 500", "seq 1010:1020, ack 500"]

    def test_over_the_end_of_32_bits(self) -> None:
        shown = self.conversation(Decoder(), (0xFFFFFFFA, 500), (4, 500))
        assert shown == ["seq 4294967290:4, ack 500", "seq 10:20, ack 1"]

    def test_the_table_is_bounded(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("pfq.cli.decode.tcp.MAX_FLOWS", 50)
        decoder = Decoder()
        for i in range(60):
            head = ip4(6, tcp(0x10))
            decoder.decode(ether(0x0800, head[:12] + i.to_bytes(4, "big") + head[16:]))
        assert len(decoder._flows) == 50


def test_deep_nesting_ends() -> None:
    frame = b""
    for _ in range(1000):
        frame = ip4(4, frame)
    line = Decoder().decode(ether(0x0800, frame)).text
    assert line.endswith(" [|ip]")
    assert line.count("IP ") == MAX_DEPTH - 1


STYLES = [Style(), Style(link=True, verbose=3), Style(quiet=True, dump=False), Style(verbose=1)]
CASES = [frame for family in packets.FAMILIES.values() for frame, _ in family()]


@given(st.binary(max_size=120), st.sampled_from(STYLES), st.integers(0, 2000))
def test_any_bytes_give_a_line(data: bytes, style: Style, missing: int) -> None:
    assert isinstance(Decoder(style).decode(data, len(data) + missing).text, str)


@given(st.sampled_from(CASES), st.integers(0, 200), st.binary(min_size=1, max_size=4), st.integers(0, 200),
       st.sampled_from(STYLES))  # fmt: skip
def test_damaged_frames_give_a_line(frame: bytes, at: int, damage: bytes, size: int, style: Style) -> None:
    damaged = (frame[:at] + damage + frame[at + len(damage) :])[:size]
    assert isinstance(Decoder(style).decode(damaged, len(frame)).text, str)


@pytest.mark.parametrize("family", packets.FAMILIES)
def test_every_truncation_gives_a_line(family: str) -> None:
    decoder = Decoder(Style(link=True, verbose=2))
    for frame, length in packets.FAMILIES[family]():
        for size in range(len(frame)):
            assert "\n\n" not in decoder.decode(frame[:size], length).text
