"""802.2 LLC and SNAP: what follows an 802.3 length."""

from __future__ import annotations

from .line import ETHERTYPES, Line, number, take
from .numbers import ETHERTYPE_NAMES
from .stp import stp
from .text import hex_ascii_dump

NULL, IP, STP, SNAP, IPX, GLOBAL = 0x00, 0x06, 0x42, 0xAA, 0xE0, 0xFF
UNNUMBERED_INFORMATION, XID = 0x03, 0xAF
POLL = 0x10
XID_BASIC = 0x81
LLC_SNAP_BYTES = 8

SAP_NAMES = {
    0x00: "Null", 0x02: "802.1B I", 0x03: "802.1B G", 0x04: "SNA", 0x06: "IP", 0x0E: "ProWay NM", 0x42: "STP",
    0x4E: "RS511", 0x7E: "8208", 0x8E: "ProWay", 0xAA: "SNAP", 0xE0: "IPX", 0xF0: "NetBeui", 0xFE: "OSI",
    0xFF: "Global",
}  # fmt: skip
COMMANDS = {0x03: "ui", 0x0F: "dm", 0x43: "disc", 0x63: "ua", 0x6F: "sabme", 0x87: "frmr", 0xAF: "xid", 0xE3: "test"}
SUPERVISORY = ("Receiver Ready", "Receiver not Ready", "Reject", "0x03")
FLAGS = ("Command", "Response", "Poll", "Final")
OUI_NAMES = {
    0x000000: "Ethernet", 0x00000C: "Cisco", 0x0000F8: "Cisco bridged", 0x0080C2: "Ethernet bridged",
    0x080007: "Appletalk", 0x009069: "Juniper",
}  # fmt: skip
ENCAPSULATED_ETHERNET, CISCO_BRIDGED = 0x000000, 0x0000F8


def llc(line: Line, data: bytes, length: int, source: str, destination: str) -> int:
    """Writes an LLC frame; returns the bytes of its header."""
    line.enter("llc")
    if min(len(data), length) < 3:
        line.add(" [|llc]" + hex_ascii_dump(data))
        return min(len(data), length)
    dsap, ssap, control, size = data[0], data[1], data[2], 3
    unnumbered = control & 3 == 3
    if not unnumbered:
        control, size = int.from_bytes(take(data, 2, 2), "little"), 4
    if dsap == ssap == GLOBAL:
        line.add("IPX 802.3: " if line.style.link else "IPX ")
        return 0
    if line.style.link:
        line.add(header(dsap, ssap, f"0x{control:0{2 if unnumbered else 4}x}"))
    if (dsap & ~1, ssap & ~1, control) == (SNAP, SNAP, UNNUMBERED_INFORMATION):
        return size + snap(line, data, length, source, destination)
    if carried(line, dsap, ssap, control, data[size:], length - size):
        return size
    if not line.style.link:
        line.add(sap_pair(dsap, ssap, source, destination))
    line.add(control_text(unnumbered, control, ssap, length))
    if unnumbered and control & ~POLL == XID:
        line.add(xid(data[size:]))
    elif (unnumbered or not control & 1) and line.style.dump:
        line.add(hex_ascii_dump(data))
    return size


def header(dsap: int, ssap: int, control: str) -> str:
    return (
        f"LLC, dsap {sap_name(dsap)} (0x{dsap & ~1:02x}) {'Group' if dsap & 1 else 'Individual'}, "
        f"ssap {sap_name(ssap)} (0x{ssap & ~1:02x}) {'Response' if ssap & 1 else 'Command'}, ctrl {control}: "
    )


def sap_name(sap: int) -> str:
    return SAP_NAMES.get(sap & ~1, "Unknown")


def carried(line: Line, dsap: int, ssap: int, control: int, data: bytes, length: int) -> bool:
    """Writes the protocols that have a service access point of their own."""
    if (dsap, ssap, control) == (STP, STP, UNNUMBERED_INFORMATION):
        stp(line, data, length)
    elif (dsap, ssap, control) == (IP, IP, UNNUMBERED_INFORMATION):
        ETHERTYPES[0x0800](line, data, length)
    else:
        return False
    return True


def sap_pair(dsap: int, ssap: int, source: str, destination: str) -> str:
    to = SAP_NAMES.get(dsap & ~1, f"Unknown DSAP 0x{dsap & ~1:02x}")
    if dsap & ~1 == ssap & ~1:
        return f"{source} > {destination} {to} "
    return f"{source} {SAP_NAMES.get(ssap & ~1, f'Unknown SSAP 0x{ssap & ~1:02x}')} > {destination} {to} "


def control_text(unnumbered: bool, control: int, ssap: int, length: int) -> str:
    if unnumbered:
        flag = FLAGS[(ssap & 1) | (2 if control & POLL else 0)]
        command = COMMANDS.get(control & ~POLL, f"{control & ~POLL:02x}")
        return f"Unnumbered, {command}, Flags [{flag}], length {length}"
    flag = FLAGS[(ssap & 1) | (2 if control & 0x100 else 0)]
    receive = control >> 9
    if control & 1:
        name = SUPERVISORY[control >> 2 & 3]
        return f"Supervisory, {name}, rcv seq {receive}, Flags [{flag}], length {length}"
    return f"Information, send seq {control >> 1 & 0x7F}, rcv seq {receive}, Flags [{flag}], length {length}"


def xid(data: bytes) -> str:
    if data[:1] != bytes((XID_BASIC,)):
        return ""
    return f": {number(data, 1, 1):02x} {number(data, 2, 1):02x}"


def snap(line: Line, data: bytes, length: int, source: str, destination: str) -> int:
    """Writes a SNAP frame, from its LLC header on; returns the bytes of the SNAP header."""
    line.protocol = "snap"
    oui, kind, rest = number(data, 3, 3), number(data, 6, 2), length - LLC_SNAP_BYTES
    by_ethertype = oui in (ENCAPSULATED_ETHERNET, CISCO_BRIDGED)
    name = ETHERTYPE_NAMES.get(kind, "Unknown") if by_ethertype else "Unknown"
    what = f"{'ethertype' if oui == ENCAPSULATED_ETHERNET else 'pid'} {name} (0x{kind:04x}), length {rest}: "
    with_oui = f"oui {OUI_NAMES.get(oui, 'Unknown')} (0x{oui:06x}), {what}"
    layer = ETHERTYPES.get(kind) if by_ethertype else None
    if line.style.link:
        line.add(with_oui)
    if layer:
        layer(line, data[LLC_SNAP_BYTES:], rest)
        return LLC_SNAP_BYTES - 3
    if not line.style.link:
        line.add(f"{source} > {destination} SNAP, {what if oui == ENCAPSULATED_ETHERNET else with_oui}")
    if line.style.dump:
        line.add(hex_ascii_dump(data))
    return LLC_SNAP_BYTES - 3
