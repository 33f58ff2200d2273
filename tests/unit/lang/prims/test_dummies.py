"""The dummies take an argument of every kind, in each of the three forms of a program, and pass every packet."""

from __future__ import annotations

import pytest
from support.handmade import FRAMES

import pfq.lang
from pfq.errors import ProgramError
from pfq.lang import from_json, to_json, to_program
from pfq.lang.action import Action
from pfq.lang.compile import compile_text
from pfq.lang.interp import decide
from pfq.lang.program import Prefix, Value

NET4, NET6 = "10.0.0.0/8", "2001:db8::/32"

CALLS: dict[str, tuple[str, object, Value]] = {
    "dummy_int": ("(-5)", -5, -5),
    "dummy_ints": ("[1, -2, 2147483647]", [1, -2, 2147483647], (1, -2, 2147483647)),
    "dummy_ip": ("10.0.0.1", "10.0.0.1", 0x0A000001),
    "dummy_ips": ("[10.0.0.1, 255.255.255.255]", ["10.0.0.1", "255.255.255.255"], (0x0A000001, 0xFFFFFFFF)),
    "dummy_cidr": (NET4, NET4, Prefix.parse(NET4)),
    "dummy_cidrs": (f"[{NET4}, {NET6}]", [NET4, NET6], (Prefix.parse(NET4), Prefix.parse(NET6))),
    "dummy_string": ('"eth0"', "eth0", "eth0"),
    "dummy_strings": ('["a", "", "b\\""]', ["a", "", 'b"'], ("a", "", 'b"')),
}


@pytest.mark.parametrize("name", CALLS)
def test_text_python_and_json_give_the_same_argument(name: str) -> None:
    text, python, value = CALLS[name]
    program = compile_text(f"{name} {text}")
    assert program.main.calls[0].args == (value,)
    assert to_program(getattr(pfq.lang, name)(python)) == program
    assert from_json(to_json(program)) == program


@pytest.mark.parametrize("name", [name for name in CALLS if name.endswith("s")])
def test_a_list_may_be_empty(name: str) -> None:
    assert compile_text(f"{name} []").main.calls[0].args == ((),)


@pytest.mark.parametrize("name", CALLS)
def test_every_packet_passes(name: str) -> None:
    program = compile_text(f"{name} {CALLS[name][0]}")
    for frame in FRAMES.values():
        assert decide(program, frame) == Action()


@pytest.mark.parametrize(
    "text",
    [
        "dummy_int 2147483648",
        'dummy_int "1"',
        "dummy_ints 1",
        'dummy_ints ["1"]',
        "dummy_ip 10.0.0.0/8",
        "dummy_ips [1]",
        'dummy_cidr "x"',
        "dummy_string 1",
        'dummy_strings ["a", 1]',
        "dummy_int",
    ],
)
def test_arguments_of_other_types_are_refused(text: str) -> None:
    with pytest.raises(ProgramError):
        compile_text(text)
