"""What a lowering function may say: the vocabulary that the code generator understands.

Lowering functions live beside their reference functions in the table, so they must not know LLVM.
They speak to this protocol; `pfq.codegen` implements it for the kernel and for the host.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from pfq.lang.action import Fanout
from pfq.lang.program import Call, Chain, Prefix

Code = Any
"""A value of the code being generated. Opaque here."""

Side = str
"""Which end of an address pair or port pair: "src" or "dst"."""


class Emitter(Protocol):
    """Emits code for one packet in one group.

    Numbers are unsigned 64-bit, truths one bit. A property is a pair (present, value).
    """

    # header fields: absent bytes read as 0, so test presence first
    def is_ip(self, version: int) -> Code:
        """Layer 3 is a whole IPv4 (4) or IPv6 (6) header."""

    def is_fragment(self) -> Code:
        """Layer 3 is a fragment, first one included (IPv6: an atomic fragment is none)."""

    def has_l4(self, size: int) -> Code:
        """There is a layer 4 header: not in a later fragment, `size` bytes of it in the frame."""

    def l4_proto(self) -> tuple[Code, Code]:
        """The protocol behind all extension headers, as a property."""

    def load(self, layer: str, offset: int, size: int) -> Code:
        """Field of `size` bytes at `offset` of layer "frame", "ip4", "ip6" or "l4", as big endian."""

    def load_raw(self, layer: str, offset: int, size: int) -> Code:
        """The same as little endian, as the steering hashes want it."""

    def address_in(self, side: Side, prefix: Prefix) -> Code:
        """The source or destination address is in the prefix; false when the family differs."""

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

    def xor(self, a: Code, b: Code) -> Code: ...
    def bits(self, a: Code, mask: Code) -> Code:
        """Bitwise and."""

    def lazily(self, cond: Code, then: Callable[[], Code], other: Callable[[], Code]) -> Code:
        """The truth `then()` or `other()`; only the chosen one is evaluated."""

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
    def set_mark(self, value: Code) -> None: ...
    def mark(self) -> Code: ...
    def set_state(self, value: Code) -> None: ...
    def state(self) -> Code: ...
    def count(self, index: int, step: int) -> None:
        """Adds `step` to this group's counter `index`, modulo 2**64."""
