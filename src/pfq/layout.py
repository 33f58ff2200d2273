"""The shared memory of a ring, written down once.

Generated code writes it, libpfq and NumPy read it; the C header is checked against this table
by the tests. All numbers are little endian. Version 1.

A ring belongs to one (end-point, CPU) pair. It is an mmap-able BPF array map of `slots + 1`
elements of `slot_bytes` each, frozen for user space (readers map it read-only):

    element 0            the producer's line (`PRODUCER`)
    element 1 + i        slot i: a header (`SLOT`), then the bytes of the frame

The packet with running number n lies in slot `n % slots`, `slots` being a power of two.
The reader's own page is another mmap-able array map, one per end-point, with one element
(`CONSUMER`) of 128 bytes for each possible CPU; it is the only memory a reader can write.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

VERSION: Final = 1

SLOT_SIZES: Final = (128, 256, 512, 1024, 2048, 4096, 9344, 65600)
"""Bytes of a slot, header included; a snap length gets the smallest that holds it."""


@dataclass(frozen=True, slots=True)
class Member:
    """One field of a shared structure. `bits` is 8, 16, 32 or 64, or 128 for an address, which is bytes."""

    name: str
    offset: int
    bits: int
    doc: str


SLOT: Final = (
    Member("ts_ns", 0, 64, "arrival, ns since 1970 (CLOCK_REALTIME); 0 when the clock is `none`"),
    Member("len", 8, 32, "length on the wire, bytes"),
    Member("ifindex", 12, 32, "receiving device"),
    Member("mark", 16, 32, "mark after the last group"),
    Member("state", 20, 32, "state of the highest group that selected the end-point"),
    Member("caplen", 24, 16, "bytes that follow, at most the snap length"),
    Member("queue", 26, 16, "receive queue"),
    Member("vlan_tci", 28, 16, "outer VLAN tag, 0 when untagged"),
    Member("group", 30, 16, "highest group that selected the end-point"),
)
SLOT_HEADER_BYTES: Final = 32

PRODUCER: Final = (
    Member("head", 0, 64, "packets ever published in this ring; written after the bytes"),
    Member("tail_seen", 8, 64, "the producer's copy of the reader's `tail`"),
    Member("lost", 16, 64, "packets selected for this ring and lost because it was full"),
)
PRODUCER_BYTES: Final = 64

CONSUMER: Final = (
    Member("tail", 0, 64, "packets the reader has released"),
    Member("sleeping", 64, 32, "the reader sleeps: ring the doorbell once, then clear this"),
)
CONSUMER_BYTES: Final = 128

RECORD: Final = (
    Member("ts_ns", 0, 64, "arrival, ns since 1970; 0 when the source has no time for it"),
    Member("data", 8, 64, "address of the first byte, in this process"),
    Member("len", 16, 32, "length on the wire, bytes"),
    Member("caplen", 20, 32, "bytes that are there"),
    Member("interface", 24, 32, "of a file: number of the interface in it, from 0; of a ring: index of the device"),
    Member("link_type", 28, 16, "what the bytes begin with, a LINKTYPE number; 1 is Ethernet"),
    Member("vlan_tci", 30, 16, "tag that the device took off and that is not among the bytes, 0: none"),
)
"""A packet wherever it lies; not part of the shared memory, but of what libpfq and generated code agree on."""
RECORD_BYTES: Final = 32

VERDICT: Final = (
    Member("endpoints", 0, 64, "mask of the end-points that get the packet"),
    Member("mark", 8, 32, "mark that the program left"),
    Member("state", 12, 32, "state that the program left"),
    Member("outcome", 16, 16, "0: a filter of the group rejected it, 1: the program dropped it, 2: selected"),
    Member("kernel", 18, 16, "1 when the program passed it up to Linux"),
    Member("reserved", 20, 32, "0"),
)
"""What a group decided about one packet of a run. Native code leaves an array of them."""
VERDICT_BYTES: Final = 24

HEADERS: Final = (
    Member("src", 0, 128, "source address: IPv6, or IPv4 as ::ffff:a.b.c.d"),
    Member("dst", 16, 128, "destination address, likewise"),
    Member("flow_hash", 32, 32, "the hash that `steer_flow` steers by, the same for both directions"),
    Member("payload_len", 36, 32, "bytes behind the TCP or UDP header, by the word of the IP header"),
    Member("src_port", 40, 16, "source port of TCP or UDP"),
    Member("dst_port", 42, 16, "destination port of TCP or UDP"),
    Member("ether_type", 44, 16, "EtherType behind at most two VLAN tags"),
    Member("vlan_tci", 46, 16, "outer VLAN tag: its control information"),
    Member("vlan", 48, 16, "outer VLAN tag: its id"),
    Member("l3_offset", 50, 16, "where the IP header begins in the captured bytes"),
    Member("l4_offset", 52, 16, "where the header behind it begins, extension headers skipped"),
    Member("payload_offset", 54, 16, "where the bytes behind the TCP or UDP header begin, or would if they were there"),
    Member("ip_version", 56, 8, "4 or 6 when there is a whole IP header"),
    Member("proto", 57, 8, "IP protocol behind any extension headers"),
    Member("ttl", 58, 8, "IPv4 time to live or IPv6 hop limit"),
    Member("tos", 59, 8, "IPv4 type of service or IPv6 traffic class"),
    Member("tcp_flags", 60, 8, "TCP flags from CWR (0x80) down to FIN (0x01)"),
    Member("is_fragment", 61, 8, "1 in each fragment of a datagram, the first included"),
    Member("has", 62, 8, "which of the others there are: `HAS_...`"),
)
"""What was read of one packet's headers; what is absent is 0. Native code leaves an array of them."""
HEADERS_BYTES: Final = 64
HAS_ETHER_TYPE: Final = 1
HAS_TAG: Final = 2
HAS_PROTO: Final = 4
HAS_PORTS: Final = 8
HAS_FLOW_HASH: Final = 16


def slot_bytes(snaplen: int) -> int:
    """Bytes of the slot for a snap length in bytes; raises ValueError when none is large enough."""
    for size in SLOT_SIZES:
        if snaplen + SLOT_HEADER_BYTES <= size:
            return size
    raise ValueError(f"snap length {snaplen} is over {SLOT_SIZES[-1] - SLOT_HEADER_BYTES} bytes")
