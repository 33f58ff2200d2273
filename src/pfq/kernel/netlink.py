"""A minimal rtnetlink: requests with the kernel's own words on failure, dumps, events.

pyroute2 would do as well, but takes 0.16 s to import, which every capture would pay, and does not
show the program of a BPF filter.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Iterator
from types import TracebackType
from typing import Final, NamedTuple, Self

from pfq.kernel.sys import refusal

RTM_NEWLINK: Final = 16
RTM_DELLINK: Final = 17
RTM_GETLINK: Final = 18
RTM_SETLINK: Final = 19
RTM_GETADDR: Final = 22
RTM_NEWQDISC: Final = 36
RTM_DELQDISC: Final = 37
RTM_GETQDISC: Final = 38
RTM_NEWTFILTER: Final = 44
RTM_DELTFILTER: Final = 45
RTM_GETTFILTER: Final = 46

GROUP_LINK: Final = 1

NLM_F_REQUEST: Final = 0x001
NLM_F_ACK: Final = 0x004
NLM_F_DUMP_INTERRUPTED: Final = 0x010
NLM_F_DUMP: Final = 0x300
NLM_F_EXCL: Final = 0x200
NLM_F_CREATE: Final = 0x400
_NLM_F_CAPPED, _NLM_F_ACK_TLVS = 0x100, 0x200

_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_NLMSGERR_ATTR_MSG = 1
_SOL_NETLINK, _NETLINK_EXT_ACK = 270, 11
_ATTR_TYPE_MASK = 0x3FFF
_NESTED = 0x8000
_HEADER = struct.Struct("=IHHII")
_ATTR = struct.Struct("=HH")
_BUFFER_BYTES = 1 << 20


class Message(NamedTuple):
    """type is one of the RTM_ numbers; body starts with the family's own header."""

    type: int
    flags: int
    body: bytes


def attr(type: int, value: bytes) -> bytes:
    """One attribute, padded."""
    return _ATTR.pack(_ATTR.size + len(value), type) + value + bytes(-len(value) % 4)


def nested(type: int, *attributes: bytes) -> bytes:
    """An attribute made of attributes."""
    return attr(type | _NESTED, b"".join(attributes))


def attributes(data: bytes) -> dict[int, bytes]:
    """Type -> value of all attributes in `data`."""
    found = {}
    at = 0
    while at + _ATTR.size <= len(data):
        length, type = _ATTR.unpack_from(data, at)
        if length < _ATTR.size:
            break
        found[type & _ATTR_TYPE_MASK] = data[at + _ATTR.size : at + length]
        at += (length + 3) & ~3
    return found


def number(value: bytes | None) -> int:
    """An attribute as a number; 0 when it is absent."""
    return int.from_bytes(value or b"", "little")


def text(value: bytes | None) -> str:
    """An attribute as text; empty when it is absent."""
    return (value or b"").rstrip(b"\0").decode(errors="replace")


class Netlink:
    """An rtnetlink socket of the current network namespace, and of that one for ever."""

    def __init__(self, groups: int = 0) -> None:
        try:
            self.socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
        except OSError as error:
            raise refusal("asking for devices", error.errno or 0) from error
        self.socket.setsockopt(_SOL_NETLINK, _NETLINK_EXT_ACK, 1)
        self.socket.bind((0, groups))
        self._sequence = 0

    def request(self, type: int, flags: int, body: bytes, what: str) -> None:
        """Carries out a change; the error says `what` failed and has the kernel's own words."""
        for _ in self._exchange(type, NLM_F_ACK | flags, body, what):
            pass

    def dump(self, type: int, body: bytes, what: str) -> list[Message]:
        """All objects of a kind, taken again when they changed meanwhile."""
        while True:
            found = list(self._exchange(type, NLM_F_DUMP, body, what))
            if not any(message.flags & NLM_F_DUMP_INTERRUPTED for message in found):
                return found

    def receive(self) -> Iterator[Message]:
        """The messages of the next datagram; blocks."""
        for _, message in _split(self.socket.recv(_BUFFER_BYTES)):
            yield message

    def discard(self) -> None:
        """Throws away what has been received and not read."""
        while True:
            try:
                self.socket.recv(_BUFFER_BYTES, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno != errno.ENOBUFS:  # some was lost before: no matter
                    raise

    def close(self) -> None:
        self.socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _exchange(self, type: int, flags: int, body: bytes, what: str) -> Iterator[Message]:
        self._sequence += 1
        length = _HEADER.size + len(body)
        self.socket.send(_HEADER.pack(length, type, NLM_F_REQUEST | flags, self._sequence, 0) + body)
        while True:
            for sequence, message in _split(self.socket.recv(_BUFFER_BYTES)):
                if sequence != self._sequence:
                    continue
                if message.type in (_NLMSG_ERROR, _NLMSG_DONE):
                    _raise_for(message, what)
                    return
                yield message


def _split(datagram: bytes) -> Iterator[tuple[int, Message]]:
    at = 0
    while at + _HEADER.size <= len(datagram):
        length, type, flags, sequence, _ = _HEADER.unpack_from(datagram, at)
        yield sequence, Message(type, flags, datagram[at + _HEADER.size : at + length])
        at += max(_HEADER.size, (length + 3) & ~3)


def _raise_for(message: Message, what: str) -> None:
    """An NLMSG_ERROR is an errno, the header of our request (with its body unless CAPPED), and attributes."""
    code = struct.unpack_from("=i", message.body)[0] if len(message.body) >= 4 else 0
    if code >= 0:
        return
    said = ""
    if message.type == _NLMSG_ERROR and message.flags & _NLM_F_ACK_TLVS:
        (echoed,) = struct.unpack_from("=I", message.body, 4)
        skip = 4 + (_HEADER.size if message.flags & _NLM_F_CAPPED else (echoed + 3) & ~3)
        said = text(attributes(message.body[skip:]).get(_NLMSGERR_ATTR_MSG))
    raise refusal(what, -code, said=said)
