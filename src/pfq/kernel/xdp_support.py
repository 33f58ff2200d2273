"""What each device's driver can do for XDP, by the kernel's own account (Linux 6.3 and newer)."""

from __future__ import annotations

import socket
from enum import IntFlag
from typing import Final

from pfq.errors import KernelRefusedError
from pfq.kernel.netlink import Netlink, attr, attributes, number

_NETLINK_GENERIC: Final = 16
_GENL_CTRL, _CTRL_GETFAMILY = 16, 3
_CTRL_FAMILY_ID, _CTRL_FAMILY_NAME = 1, 2
_NETDEV_GET = 1
_NETDEV_IFINDEX, _NETDEV_XDP_FEATURES = 1, 3
_HEADER_BYTES = 4


class XdpSupport(IntFlag):
    """Bits of `enum netdev_xdp_act`."""

    BASIC = 1
    REDIRECT = 2
    TRANSMIT = 4
    ZERO_COPY = 8
    OFFLOAD = 16
    FRAGS = 32
    TRANSMIT_FRAGS = 64


class _GenericNetlink(Netlink):
    def __init__(self) -> None:
        super().__init__()
        self.socket.close()
        self.socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_GENERIC)
        self.socket.bind((0, 0))

    def family(self, name: str) -> int | None:
        """The number of a family, None when the kernel does not have it."""
        request = bytes((_CTRL_GETFAMILY, 1, 0, 0)) + attr(_CTRL_FAMILY_NAME, name.encode() + b"\0")
        try:
            reply = next(self._exchange(_GENL_CTRL, 0, request, f"looking for the netlink family {name}"), None)
        except KernelRefusedError:
            return None
        return number(attributes(reply.body[_HEADER_BYTES:]).get(_CTRL_FAMILY_ID)) if reply else None


def xdp_support() -> dict[int, XdpSupport] | None:
    """Interface index -> what its driver does natively; None when this kernel does not tell."""
    with _GenericNetlink() as link:
        family = link.family("netdev")
        if family is None:
            return None
        found = {}
        for message in link.dump(family, bytes((_NETDEV_GET, 1, 0, 0)), "asking what devices do for XDP"):
            told = attributes(message.body[_HEADER_BYTES:])
            found[number(told.get(_NETDEV_IFINDEX))] = XdpSupport(number(told.get(_NETDEV_XDP_FEATURES)))
        return found
