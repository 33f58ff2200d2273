"""Why a literal or a character is wrong, in a sentence and a hint."""

from __future__ import annotations

import re
from ipaddress import ip_address

from pfq.errors import LexicalError
from pfq.source import Span

_LOOKALIKES = {
    "\u201c": '"', "\u201d": '"', "\u201e": '"', "\u2018": '"', "\u2019": '"',
    "\u2192": "->", "\u2264": ".<=", "\u2265": ".>=", "\u2260": "./=", "\u2212": "-", "\u00a0": "a space",
}  # fmt: skip


def unknown_character(char: str, span: Span) -> LexicalError:
    shown = char if char.isprintable() and not char.isspace() else ""
    message = f"the character {f'`{shown}` ' if shown else ''}(U+{ord(char):04X}) has no meaning in a program"
    hint = None
    if char in _LOOKALIKES:
        plain = _LOOKALIKES[char]
        hint = f"write {plain}" if plain.startswith("a ") else f"write `{plain}`"
    return LexicalError(message, span, hint)


def address_fault(text: str) -> tuple[str, str | None]:
    """Why a text is not an address or prefix: (sentence, hint)."""
    address, slash, length = text.partition("/")
    longest = 128 if ":" in address else 32
    shown = short(text)
    if ":" in address:
        if re.fullmatch(r"[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){5}", address):
            return f"`{shown}` is a hardware address, not an IP address", f'hardware addresses are text: "{address}"'
        try:
            ip_address(address)
        except ValueError:
            return f"`{shown}` is not an IPv6 address", "an IPv6 address has eight groups, or `::` for a run of zeros"
    else:
        parts = address.split(".")
        if not all(re.fullmatch(r"[0-9]+", part, re.ASCII) for part in parts):
            return f'"{shown}" is not an address', "write an address such as 10.0.0.1 or a prefix such as 10.0.0.0/8"
        if len(parts) != 4:
            return f"`{shown}` has {len(parts)} part{'s' * (len(parts) > 1)}; an IPv4 address has 4", None
        for part in parts:
            if len(part.lstrip("0")) > 3 or int(part) > 255:
                return f"`{shown}` is not an address: {short(part)} is more than 255", None
            if len(part) > 1 and part[0] == "0":
                plain = ".".join(str(int(each)) for each in parts)
                return f"`{shown}` is not an address: {part} begins with 0", f"write {plain}{slash}{length}"
    if slash and (not length.isdecimal() or len(length) > 3 or int(length) > longest):
        return f"`{shown}` is not a prefix: its length must be 0 to {longest}", None
    return f"`{shown}` is not an address", None


def short(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:36]}…"


def printable(text: str, longest: int) -> str:
    """A text from outside for a message: control characters must not reach the terminal."""
    cut = text if len(text) <= longest else f"{text[: longest - 1]}…"
    return "".join(character if character.isprintable() else "\ufffd" for character in cut)
