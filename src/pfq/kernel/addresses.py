"""IP addresses of network devices, asked through netlink."""

from __future__ import annotations

import socket
import struct
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from pfq.kernel.netlink import RTM_GETADDR, Netlink, attributes

_IFADDRMSG: Final = struct.Struct("=BBBBI")
_IFA_ADDRESS, _IFA_LOCAL = 1, 2


def addresses(link: Netlink, ifindex: int) -> frozenset[IPv4Address | IPv6Address]:
    """All addresses of a device in the namespace that `link` belongs to."""
    found: set[IPv4Address | IPv6Address] = set()
    for message in link.dump(RTM_GETADDR, _IFADDRMSG.pack(0, 0, 0, 0, 0), "listing addresses"):
        family, _, _, _, index = _IFADDRMSG.unpack_from(message.body)
        values = attributes(message.body[_IFADDRMSG.size :])
        # On a point-to-point link IFA_ADDRESS is the other end.
        own = values.get(_IFA_LOCAL, values.get(_IFA_ADDRESS))
        if index != ifindex or own is None:
            continue
        if family == socket.AF_INET:
            found.add(IPv4Address(own))
        elif family == socket.AF_INET6:
            found.add(IPv6Address(own))
    return frozenset(found)
