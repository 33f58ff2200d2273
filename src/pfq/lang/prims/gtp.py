"""GTP, the tunnels of mobile networks: its control plane and the user plane with the subscribers' packets."""

from __future__ import annotations

from functools import reduce

from pfq.lang.interp import Machine
from pfq.lang.packet import UDP, number
from pfq.lang.prims.emitter import Code, Emitter
from pfq.lang.prims.forward import broadcast, lower_broadcast
from pfq.lang.prims.headers import UDP_BYTES, lower_proto
from pfq.lang.prims.rows import pair
from pfq.lang.prims.steer_ip import by_local, check_network, lower_by_local, network
from pfq.lang.prims.steering import row
from pfq.lang.prims.table import Prim
from pfq.lang.tunnels import GTP_BYTES, GTP_PACKET, GTP_USER_PORT, GTP_VERSION_1, GTP_VERSION_AND_TYPE

CONTROL_PORT = 2123
VERSION, VERSION_2 = 0xE0, 0x40
WHOLE_BYTES = UDP_BYTES + GTP_BYTES
FLAGS, MESSAGE = UDP_BYTES, UDP_BYTES + 1
"""Where the version and the type of the message are, from the UDP header on."""


def header(m: Machine, port: int) -> bytes | None:
    """The UDP header and what follows, when a port is this one and a whole GTP header may follow."""
    found = m.headers.transport(UDP, WHOLE_BYTES)
    return found if found is not None and port in (number(found[0:2]), number(found[2:4])) else None


def user_message(m: Machine) -> int | None:
    """The type of a message of the user plane; None for all other packets."""
    found = header(m, GTP_USER_PORT)
    if found is None or found[FLAGS] & GTP_VERSION_AND_TYPE != GTP_VERSION_1:
        return None
    return found[MESSAGE]


def is_control(m: Machine) -> bool:
    found = header(m, CONTROL_PORT)
    if found is None:
        return False
    return found[FLAGS] & GTP_VERSION_AND_TYPE == GTP_VERSION_1 or found[FLAGS] & VERSION == VERSION_2


def steer_gtp_usr(m: Machine, net: int, length: int) -> bool:
    message = user_message(m)
    if is_control(m) or message not in (None, GTP_PACKET):
        return broadcast(m)
    return message is not None and by_local(m, m.packet.level(m.level + 1).ip, network(net, length))


def lower_header(e: Emitter, port: int) -> Code:
    hits = (e.compare("==", e.load("l4", offset, 2), e.number(port)) for offset in (0, 2))
    return e.both(lower_proto(e, UDP, WHOLE_BYTES), reduce(e.either, hits))


def lower_flags(e: Emitter, mask: int, wanted: int) -> Code:
    return e.compare("==", e.bits(e.load("l4", FLAGS, 1), e.number(mask)), e.number(wanted))


def lower_user(e: Emitter) -> Code:
    return e.both(lower_header(e, GTP_USER_PORT), lower_flags(e, GTP_VERSION_AND_TYPE, GTP_VERSION_1))


def lower_control(e: Emitter) -> Code:
    version = e.either(lower_flags(e, GTP_VERSION_AND_TYPE, GTP_VERSION_1), lower_flags(e, VERSION, VERSION_2))
    return e.both(lower_header(e, CONTROL_PORT), version)


def lower_usr(e: Emitter, net: int, length: int) -> None:
    user = lower_user(e)
    signalling = e.both(user, e.compare("!=", e.load("l4", MESSAGE, 1), e.number(GTP_PACKET)))

    def by_subscriber() -> None:
        lower_by_local(e, network(net, length), e.address_hash)

    e.branch(
        e.either(lower_control(e), signalling),
        lambda: lower_broadcast(e),
        lambda: e.branch(user, lambda: e.deeper(by_subscriber), e.drop),
    )


ROWS: tuple[Prim, ...] = (
    *pair(
        "is_gtp",
        "gtp",
        "",
        "is GTP, of the control plane or of the user plane",
        lambda m: is_control(m) or user_message(m) is not None,
        lambda e: e.either(lower_control(e), lower_user(e)),
    ),
    *pair(
        "is_gtp_cp",
        "gtp_cp",
        "",
        "is GTP of the control plane, version 1 or 2 over UDP port 2123 with 8 bytes of its header",
        is_control,
        lower_control,
    ),
    *pair(
        "is_gtp_up",
        "gtp_up",
        "",
        "is GTP of the user plane, version 1 over UDP port 2152 with 8 bytes of its header",
        lambda m: user_message(m) is not None,
        lower_user,
    ),
    row(
        "steer_gtp_usr",
        "IPv4 -> CInt -> ",
        "Steers the packets in GTP tunnels by the subscriber's IPv4 address, which is the one in the network of "
        "this prefix length, to both end-points when both are, sends the control plane and the user plane's own "
        "messages to all, and drops the rest.",
        steer_gtp_usr,
        lower_usr,
        "steer_gtp_usr 10.0.0.0 8",
        check=check_network,
    ),
)
