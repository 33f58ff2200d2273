"""Spanning tree: what bridges tell each other."""

from __future__ import annotations

from .line import Line, number, take
from .text import flag_names, mac

VERSIONS = {0: "802.1d", 2: "802.1w", 3: "802.1s", 4: "802.1aq"}
CONFIGURATION, RAPID, TOPOLOGY_CHANGE = 0x00, 0x02, 0x80
MIN_BYTES, CONFIGURATION_BYTES, RAPID_BYTES = 4, 35, 36
FLAGS = {0x01: "Topology change", 0x02: "Proposal", 0x10: "Learn", 0x20: "Forward", 0x40: "Agreement",
         0x80: "Topology change ACK"}  # fmt: skip
ROLES = ("Unknown", "Alternate", "Root", "Designated")


def stp(line: Line, data: bytes, length: int) -> None:
    line.enter("stp")
    if length < MIN_BYTES:
        line.add(" [|stp]")
        return
    protocol, version, kind = number(data, 0, 2), number(data, 2, 1), number(data, 3, 1)
    line.add(f"STP {VERSIONS.get(version, f'Unknown STP protocol (0x{version:02x})')}")
    if protocol != 0 or version not in VERSIONS:
        return
    if kind == TOPOLOGY_CHANGE:
        line.add(", Topology Change")
    elif kind in (CONFIGURATION, RAPID):
        rapid = kind == RAPID
        line.add(", Rapid STP" if rapid else ", Config")
        if length < (RAPID_BYTES if rapid else CONFIGURATION_BYTES):
            line.add(" (invalid)")
        else:
            configuration(line, data, length, rapid)


def configuration(line: Line, data: bytes, length: int, rapid: bool) -> None:
    bits = number(data, 4, 1)
    line.add(f", Flags [{flag_names(FLAGS, bits)}], bridge-id {bridge(data, 17)}.{number(data, 25, 2):04x}")
    line.add(f", length {length}")
    if not line.style.verbose:
        return
    names = ("message-age", "max-age", "hello-time", "forwarding-delay")
    times = ", ".join(f"{name} {number(data, 27 + 2 * i, 2) / 256:.2f}s" for i, name in enumerate(names))
    line.add(f"\n\t{times}\n\troot-id {bridge(data, 5)}, root-pathcost {number(data, 13, 4)}")
    if rapid:
        line.add(f", port-role {ROLES[bits >> 2 & 3]}")


def bridge(data: bytes, offset: int) -> str:
    return f"{number(data, offset, 2):04x}.{mac(take(data, offset + 2, 6))}"
