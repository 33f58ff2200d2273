"""What a lowering function may say: the vocabulary that the code generator understands.

Lowering functions live beside their reference functions in the table, so they must not know LLVM.
They speak to this protocol; `pfq.codegen` implements it for the kernel and for the host.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from pfq.lang.action import EventKind, Fanout
from pfq.lang.berkeley import BerkeleyFilter
from pfq.lang.prefixset import PrefixSet
from pfq.lang.program import Call, Chain, Prefix

Code = Any
"""A value of the code being generated. Opaque here."""

Side = str
"""Which end of an address pair or port pair: "src" or "dst"."""


Memory = Any
"""Memory of a program that stays from packet to packet. Opaque here."""


class Emitter(Protocol):
    """Emits code for one packet in one group.

    Numbers are unsigned 64-bit, truths one bit. A property is a pair (present, value).
    """

    sides: tuple[Side, ...]
    """The ends that two-sided predicates look at: both, or the one that `src` or `dst` chose."""

    def facing(self, sides: tuple[Side, ...], body: Callable[[], None]) -> None:
        """Emits `body` with other `sides`."""

    def deeper(self, body: Callable[[], None]) -> None:
        """Emits `body` looking one tunnel deeper; all that reads layers 3 and 4 follows."""

    # the frame and its Ethernet header, always the outermost
    def frame_length(self) -> Code:
        """Bytes on the wire, VLAN tags included."""

    def ethertype(self) -> tuple[Code, Code]:
        """The EtherType behind at most two VLAN tags, as a property."""

    def tag(self) -> tuple[Code, Code]:
        """Control information of the outer VLAN tag, from the frame or from the device, as a property."""

    def tag_type(self) -> tuple[Code, Code]:
        """EtherType of the outer VLAN tag, as a property."""

    def wire_raw(self, offset: int, size: int) -> tuple[Code, Code]:
        """1 to 4 bytes of the frame as it was on the wire, as a little-endian property."""

    def berkeley(self, wanted: BerkeleyFilter) -> Code:
        """The filter accepts the frame as it was on the wire, of which it sees the header window."""

    def has_frame(self, size: int) -> Code:
        """The frame has `size` bytes, not counting a tag that the device took off."""

    # header fields: absent bytes read as 0, so test presence first
    def is_ip(self, version: int) -> Code:
        """Layer 3 is a whole IPv4 (4) or IPv6 (6) header."""

    def is_fragment(self) -> Code:
        """Layer 3 is a fragment, first one included (IPv6: an atomic fragment is none)."""

    def has_l4(self, size: int) -> Code:
        """There is a layer 4 header: not in a later fragment, `size` bytes of it in the frame."""

    def is_transport(self, proto: int, size: int) -> Code:
        """Layer 4 has this protocol, other than 0, and `size` bytes of its header are in the frame."""

    def is_l4_proto(self, proto: int) -> Code:
        """The protocol behind all extension headers is this one."""

    def l4_proto(self) -> tuple[Code, Code]:
        """The protocol behind all extension headers, as a property."""

    def l4_offset(self) -> Code:
        """Bytes from the start of the IP header to layer 4; 0 in a later fragment."""

    def load(self, layer: str, offset: int, size: int) -> Code:
        """Field of 1, 2, 4 or 8 bytes at `offset` of layer "frame", "ip4", "ip6" or "l4", as big endian."""

    def load_raw(self, layer: str, offset: int, size: int) -> Code:
        """The same as little endian, as the steering hashes want it."""

    def address_in(self, side: Side, prefix: Prefix) -> Code:
        """The source or destination address is in the prefix; false when the family differs."""

    def address_in_set(self, side: Side, addresses: PrefixSet) -> Code:
        """The source or destination address, of either family, is in the set, which the user may change."""

    def address_is_ours(self, side: Side) -> Code:
        """The source or destination address is one of the receiving device."""

    def address_hash(self, side: Side) -> Code:
        """XOR of the address's 32-bit little-endian words; 0 when there is no IP."""

    # numbers and truths
    def number(self, value: int) -> Code: ...
    def truth(self, value: bool) -> Code: ...
    def both(self, a: Code, b: Code) -> Code: ...
    def either(self, a: Code, b: Code) -> Code: ...
    def negated(self, a: Code) -> Code: ...
    def differ(self, a: Code, b: Code) -> Code:
        """Exclusive or of two truths."""

    def compare(self, operator: str, a: Code, b: Code) -> Code:
        """Unsigned comparison; operator is one of < <= == != > >=."""

    def select(self, cond: Code, a: Code, b: Code) -> Code:
        """`a` when the truth holds, `b` otherwise; both are evaluated."""

    def add(self, a: Code, b: Code) -> Code: ...
    def sub(self, a: Code, b: Code) -> Code: ...
    def mul(self, a: Code, b: Code) -> Code: ...
    def xor(self, a: Code, b: Code) -> Code: ...
    def bits(self, a: Code, mask: Code) -> Code:
        """Bitwise and."""

    def or_bits(self, a: Code, b: Code) -> Code: ...
    def shl(self, a: Code, bits: int) -> Code: ...
    def shr(self, a: Code, bits: int) -> Code: ...
    def shr_by(self, a: Code, bits: Code) -> Code:
        """`a` shifted right by `bits` modulo 64."""

    def forget(self, a: Code) -> Code:
        """The same number, about which the verifier knows nothing any more: use it where many branches join."""

    def lazily(self, cond: Code, then: Callable[[], Code], other: Callable[[], Code]) -> Code:
        """The truth `then()` or `other()`; only the chosen one is evaluated."""

    # time, and memory that stays from packet to packet
    def now(self) -> Code:
        """Nanoseconds of a clock that never goes back; one reading for a packet."""

    def constant(self, data: bytes) -> Memory:
        """Memory with this content, which nobody changes."""

    def shared(self, size: int) -> Memory:
        """Memory of all CPUs together, 0 at first; each place that asks gets its own."""

    def shared_under(self, key: object, size: int) -> Memory:
        """The same, but whoever asks with an equal key in the same group gets the same memory."""

    def per_cpu(self, size: int) -> Memory:
        """Memory of at most 64 bytes that each CPU has for itself, 0 at first."""

    def read(self, memory: Memory, offset: Code, size: int) -> Code:
        """1, 2, 4 or 8 bytes, little endian. The offset is taken modulo the memory's size, a power of two."""

    def write(self, memory: Memory, offset: Code, size: int, value: Code) -> None: ...
    def add_to(self, memory: Memory, offset: Code, step: Code) -> None:
        """Adds to 8 bytes, atomically."""

    def exchange(self, memory: Memory, offset: Code, expected: Code, new: Code) -> Code:
        """Stores `new` into 8 bytes that are `expected`, atomically; the truth tells whether they were."""

    def until(self, times: int, body: Callable[[], Code]) -> Code:
        """Emits a loop: `body` until its truth holds, at most so many times; the truth tells whether it did."""

    # arguments that are programs
    def test(self, predicate: Call) -> Code: ...
    def value(self, prop: Call) -> tuple[Code, Code]: ...
    def run(self, chain: Chain) -> None:
        """The chain's code; what follows runs only when it did not drop."""

    # control
    def branch(self, cond: Code, then: Callable[[], None], other: Callable[[], None]) -> None: ...
    def drop(self) -> None:
        """Fan-out becomes DROP and the rest of the enclosing chain is skipped."""

    def attempt(self, body: Callable[[], None]) -> Code:
        """Runs `body`; the truth is false when it dropped. Code goes on in both cases."""

    # the action
    def fanout(self, kind: Fanout, hash: Code | None = None, hash2: Code | None = None) -> None: ...
    def saved_fanout(self) -> Callable[[], None]:
        """Remembers fan-out, classes and hashes; the result restores them."""

    def classes(self, mask: int) -> None: ...
    def to_kernel(self) -> None: ...
    def forward(self, device: str) -> None:
        """Notes a device to send the packet on."""

    def forward_elsewhere(self, device: str) -> None:
        """The same, unless the packet came in on it."""

    def report(self, kind: EventKind, text: str = "") -> None:
        """Tells the user about the packet."""

    def set_mark(self, value: Code) -> None: ...
    def mark(self) -> Code: ...
    def set_state(self, value: Code) -> None: ...
    def state(self) -> Code: ...
    def count(self, index: int, step: int) -> None:
        """Adds `step` to this group's counter `index`, modulo 2**64."""
