"""Network devices of the current network namespace, asked through netlink and ethtool.

Not through /sys: a process that entered a namespace by setns(2) still sees the old one's /sys.
"""

from __future__ import annotations

import array
import fcntl
import socket
import struct
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from enum import Enum
from types import TracebackType
from typing import ClassVar, Final, Self

from pfq.errors import DeviceMissingError, NoPrivilegeError
from pfq.kernel import netlink
from pfq.kernel.netlink import Netlink, attributes, number, text
from pfq.kernel.sys import refusal
from pfq.source import did_you_mean

ARPHRD_ETHER: Final = 1
ARPHRD_LOOPBACK: Final = 772

_IFF_UP, _IFF_RUNNING = 1 << 0, 1 << 6
_IFLA_ADDRESS, _IFLA_IFNAME, _IFLA_MTU, _IFLA_LINKINFO = 1, 3, 4, 18
_IFLA_PROMISCUITY, _IFLA_NUM_RX_QUEUES, _IFLA_XDP = 30, 32, 43
_IFLA_INFO_KIND = 1
_IFLA_XDP_ATTACHED, _IFLA_XDP_PROG_ID = 2, 4
_IFINFOMSG = struct.Struct("=BxHiII")

_SIOCETHTOOL: Final = 0x8946
_ETHTOOL_GDRVINFO: Final = 0x03
_ETHTOOL_GCHANNELS: Final = 0x3C
_CHANNELS = struct.Struct("=I16x4I")
"""command, maxima, channels in use for: receiving, sending, neither, both"""

_SOL_PACKET, _PACKET_ADD_MEMBERSHIP, _PACKET_DROP_MEMBERSHIP, _PACKET_MR_PROMISC = 263, 1, 2, 1


class XdpMode(Enum):
    """How an XDP program is attached; MANY is several modes at once (native and offloaded)."""

    NATIVE = "native"
    GENERIC = "generic"
    OFFLOADED = "offloaded"
    MANY = "several modes"


_XDP_MODES = {1: XdpMode.NATIVE, 2: XdpMode.GENERIC, 3: XdpMode.OFFLOADED, 4: XdpMode.MANY}


@dataclass(frozen=True, slots=True)
class XdpProgram:
    """The XDP program of a device, anybody's. id is 0 when there are several."""

    id: int
    mode: XdpMode


@dataclass(frozen=True, slots=True)
class Device:
    """What is known of a device without opening it.

    kind         what `ip -d link` shows for devices made of software ("veth", "bridge"); empty for hardware
    mtu          bytes of a packet, link-layer header not counted
    up           somebody set it up; `running`: and it has a carrier
    promiscuous  it takes in frames for other addresses too, whoever asked for that
    link_type    ARPHRD number; 1 is Ethernet
    queues       receive queues it has room for; `rx_queues` tells how many are in use
    """

    index: int
    name: str
    kind: str
    address: bytes
    mtu: int
    up: bool
    running: bool
    promiscuous: bool
    link_type: int
    queues: int
    xdp: XdpProgram | None

    @property
    def is_virtual(self) -> bool:
        """Made of software alone: packets come from this machine or through another device of it."""
        return bool(self.kind) or self.link_type == ARPHRD_LOOPBACK


def devices() -> tuple[Device, ...]:
    """All devices of the current network namespace, by index."""
    with Netlink() as link:
        return tuple(sorted(dump(link), key=lambda device: device.index))


def device(name: str) -> Device:
    """The device of that name; raises DeviceMissingError, with the nearest name there is."""
    found = {device.name: device for device in devices()}
    if name not in found:
        hint = did_you_mean(name, found) or "there are: " + ", ".join(found)
        raise DeviceMissingError(f"there is no network device `{name}` in this network namespace", hint=hint)
    return found[name]


def device_by_index(index: int) -> Device | None:
    """The device with that number, or None."""
    return next((device for device in devices() if device.index == index), None)


def dump(link: Netlink) -> Iterator[Device]:
    """All devices of the namespace that `link` belongs to."""
    for message in link.dump(netlink.RTM_GETLINK, _IFINFOMSG.pack(0, 0, 0, 0, 0), "listing network devices"):
        yield parse(message.body)


def parse(body: bytes) -> Device:
    """A device from the body of an RTM_NEWLINK or RTM_DELLINK message."""
    _, link_type, index, flags, _ = _IFINFOMSG.unpack_from(body)
    found = attributes(body[_IFINFOMSG.size :])
    xdp = attributes(found.get(_IFLA_XDP, b""))
    mode = _XDP_MODES.get(number(xdp.get(_IFLA_XDP_ATTACHED)))
    return Device(
        index=index,
        name=text(found.get(_IFLA_IFNAME)),
        kind=text(attributes(found.get(_IFLA_LINKINFO, b"")).get(_IFLA_INFO_KIND)),
        address=found.get(_IFLA_ADDRESS, b""),
        mtu=number(found.get(_IFLA_MTU)),
        up=bool(flags & _IFF_UP),
        running=bool(flags & _IFF_UP and flags & _IFF_RUNNING),
        promiscuous=number(found.get(_IFLA_PROMISCUITY)) > 0,
        link_type=link_type,
        queues=number(found.get(_IFLA_NUM_RX_QUEUES)),
        xdp=XdpProgram(number(xdp.get(_IFLA_XDP_PROG_ID)), mode) if mode else None,
    )


def driver(name: str) -> str:
    """The driver's name as ethtool shows it ("veth", "virtio_net"); empty when the device has none to tell."""
    info = _ethtool(name, struct.pack("=I", _ETHTOOL_GDRVINFO).ljust(196, b"\0"))
    return text(info[4:36].partition(b"\0")[0]) if info else ""


def rx_queues(device: Device) -> int:
    """Receive queues in use now; `ethtool -L` changes them."""
    channels = _ethtool(device.name, _CHANNELS.pack(_ETHTOOL_GCHANNELS, 0, 0, 0, 0))
    if channels is None:
        return device.queues
    _, rx, _, _, combined = _CHANNELS.unpack(channels)
    return (rx + combined) or device.queues


def _ethtool(name: str, command: bytes) -> bytes | None:
    """The command's structure filled in by the driver; None when it cannot."""
    buffer = array.array("B", command)
    request = struct.pack("=16sQ", name.encode(), buffer.buffer_info()[0]).ljust(40, b"\0")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        try:
            fcntl.ioctl(any_socket, _SIOCETHTOOL, request)
        except OSError:
            return None
    return buffer.tobytes()


class PromiscuousRequests:
    """Lets devices take in frames for other addresses too, until closed or this process is gone.

    The kernel counts such requests, so others' are not disturbed. The right to make them (CAP_NET_RAW) is needed
    when this is made, or `prepare` was called; without it the first request is refused.
    """

    _prepared: ClassVar[socket.socket | None] = None

    def __init__(self) -> None:
        self._socket, PromiscuousRequests._prepared = self._prepared or _packet_socket(), None

    @classmethod
    def prepare(cls) -> None:
        """The next one made needs no right, in a process that is about to give its rights up."""
        cls._prepared = cls._prepared or _packet_socket()

    def add(self, ifindex: int) -> None:
        """A request for a device; raises NoPrivilegeError, KernelRefusedError."""
        if self._socket is None:
            raise NoPrivilegeError(
                "promiscuous mode is not allowed here: this process lacks CAP_NET_RAW",
                hint="run as root, or capture without promiscuous mode (-p)",
            )
        try:
            self._socket.setsockopt(_SOL_PACKET, _PACKET_ADD_MEMBERSHIP, _promiscuous(ifindex))
        except OSError as error:
            raise refusal(f"promiscuous mode of device {ifindex}", error.errno or 0) from error

    def drop(self, ifindex: int) -> None:
        """Takes one request back; harmless when the device is gone."""
        if self._socket is not None and self._socket.fileno() >= 0:
            with suppress(OSError):
                self._socket.setsockopt(_SOL_PACKET, _PACKET_DROP_MEMBERSHIP, _promiscuous(ifindex))

    def close(self) -> None:
        """Takes all requests back; again is harmless."""
        if self._socket is not None:
            self._socket.close()


class Promiscuous:
    """One request for one device, until closed.

    requests  where it is made; None: on its own
    """

    def __init__(self, ifindex: int, requests: PromiscuousRequests | None = None) -> None:
        with ExitStack() as undo:
            if requests is None:
                requests = undo.enter_context(closing(PromiscuousRequests()))
            requests.add(ifindex)
            undo.callback(requests.drop, ifindex)
            self._undo = undo.pop_all()

    def close(self) -> None:
        """Takes the request back; again is harmless."""
        self._undo.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def _packet_socket() -> socket.socket | None:
    try:
        return socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)
    except PermissionError:
        return None
    except OSError as error:
        raise refusal("preparing for promiscuous mode", error.errno or 0) from error


def _promiscuous(ifindex: int) -> bytes:
    return struct.pack("=iHH8x", ifindex, _PACKET_MR_PROMISC, 0)
