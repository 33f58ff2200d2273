"""The JSON form: what is written, what is read, what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.canonical import programs

from pfq.errors import (
    ArityError,
    JsonFormError,
    LiteralError,
    ProgramError,
    ProgramErrors,
    RangeError,
    TooBigError,
    TypeMismatchError,
    UnknownNameError,
)
from pfq.lang.compile import compile_text
from pfq.lang.jsonform import from_json, to_json
from pfq.lang.prims import PRIMS
from pfq.lang.prims.table import Table

from .conftest import small_table

SMALL = small_table()


def descriptor(index: int, symbol: str, *arguments: Any, link: int = -1) -> dict[str, Any]:
    entries = [{"argType": kind, "argValue": value} for kind, value in arguments]
    return {"funIndex": index, "funSymbol": symbol, "funArgs": entries + [None] * (8 - len(entries)), "funLink": link}


def read(*descriptors: dict[str, Any], table: Table = PRIMS) -> str:
    return str(from_json(json.dumps(descriptors), table))


@pytest.mark.parametrize("table", [PRIMS, SMALL], ids=["all", "small"])
@given(data=st.data())
def test_round_trip(table: Table, data: st.DataObject) -> None:
    program = data.draw(programs(table))
    text = to_json(program)
    assert from_json(text, table) == program
    assert to_json(from_json(text, table)) == text


def test_order_and_links() -> None:
    written = json.loads(to_json(compile_text("ip >-> when is_tcp (drop >-> unit >-> kernel) >-> port 80")))
    assert written == [
        descriptor(0, "ip", link=1),
        descriptor(1, "when", ("Fun", 2), ("Fun", 3), link=5),
        descriptor(2, "is_tcp"),
        descriptor(3, "drop", link=4),
        descriptor(4, "kernel"),
        descriptor(5, "port", ("Word16", 80), link=6),
    ]


def test_unit() -> None:
    assert json.loads(to_json(compile_text("unit"))) == [descriptor(0, "unit", link=1)]
    nested = to_json(compile_text("when is_tcp unit"))
    assert [each["funSymbol"] for each in json.loads(nested)] == ["when", "is_tcp", "unit"]
    assert read(descriptor(0, "unit", link=1), descriptor(1, "ip", link=2)) == "ip"


def test_arguments() -> None:
    text = 'addr 192.168.0.0/16 >-> addr ::1 >-> host 10.0.0.1 >-> forward "eth0" >-> link ["a"] >-> flag True'
    text += " >-> filter (vlan_id [-1, 5]) >-> nets [10.0.0.0/8] (-5) >-> steer_key 56 >-> hosts []"
    written = json.loads(to_json(compile_text(text, table=SMALL)))
    arguments = [[(entry["argType"], entry["argValue"]) for entry in each["funArgs"] if entry] for each in written]
    assert arguments == [
        [("CIDR", {"getNetworkPair": [{"getHostAddress": 0x0000A8C0}, 16]})],
        [("CIDR", "::1/128")],
        [("IPv4", {"getHostAddress": 0x0100000A})],
        [("String", "eth0")],
        [("[String]", ["a"])],
        [("Bool", True)],
        [("Fun", 7)],
        [("[Int]", [-1, 5])],
        [("[CIDR]", [{"getNetworkPair": [{"getHostAddress": 10}, 8]}]), ("Int8", -5)],
        [("Word64", 56)],
        [("[IPv4]", [])],
    ]


@pytest.mark.parametrize(
    ("argument", "core"),
    [
        (("CIDR", {"getNetworkPair": [{"getHostAddress": 10}, 8]}), "addr 10.0.0.0/8"),
        (("cidr", "10.0.0.0/8"), "addr 10.0.0.0/8"),
        (("String", "::/0"), "addr ::/0"),
        (("IPv4", {"getHostAddress": 10}), "addr 10.0.0.0/32"),
    ],
)
def test_prefixes_are_read_in_several_forms(argument: tuple[str, Any], core: str) -> None:
    assert read(descriptor(0, "addr", argument, link=1)) == core


@pytest.mark.parametrize("name", ["Int", "Word", "Word16", "int32", "WORD8"])
def test_numbers_of_any_type_are_read(name: str) -> None:
    assert read(descriptor(0, "port", (name, 80), link=1)) == "port 80"


def test_ends_of_chains() -> None:
    for end in (-1, 4):
        text = read(
            descriptor(0, "when", ("Fun", 1), ("Fun", 2), link=end),
            descriptor(1, "is_tcp", link=end),
            descriptor(2, "ip", link=3),
            descriptor(3, "tcp", link=end),
        )
        assert text == "when is_tcp (ip >-> tcp)"


WHEN = descriptor(0, "when", ("Fun", 1), ("Fun", 2), link=3)


@pytest.mark.parametrize(
    ("descriptors", "error", "message"),
    [
        ([1], JsonFormError, "descriptor 0: it must be an object"),
        ([{"funSymbol": "ip"}], JsonFormError, "descriptor 0: its funArgs"),
        ([descriptor(1, "ip")], JsonFormError, "descriptor 0: its funIndex is 1"),
        ([descriptor(0, "ip", link=0)], JsonFormError, "descriptor 0: its funLink is 0"),
        ([descriptor(0, "ip", link=2)], JsonFormError, "descriptor 0: its funLink is 2"),
        ([descriptor(0, "ip") | {"funLink": True}], JsonFormError, "its funLink is true"),
        ([descriptor(0, "ip") | {"funLink": None}], JsonFormError, "its funLink is null"),
        ([descriptor(0, "ip", link=2), descriptor(1, "tcp")], JsonFormError, "descriptor 1: nothing leads here"),
        ([descriptor(0, "stear_flow")], UnknownNameError, "descriptor 0: unknown function `stear_flow`"),
        ([descriptor(0, "is_tcp")], TypeMismatchError, "descriptor 0: an action is needed here"),
        ([descriptor(0, "port")], ArityError, "descriptor 0: `port` needs 1 argument, but none is given"),
        ([descriptor(0, "ip", ("Int", 1))], ArityError, "descriptor 0: `ip` needs no arguments, but 1 is given"),
        ([descriptor(0, "port", ("Int", 70000))], RangeError, "descriptor 0: 70000 is out of range"),
        ([descriptor(0, "port", ("Int", 1.0))], JsonFormError, "the value 1.0 does not have the argType `int`"),
        ([descriptor(0, "port", ("Int", True))], JsonFormError, "the value true"),
        ([descriptor(0, "port", ("Double", 1))], JsonFormError, "argType `double`"),
        ([descriptor(0, "port", ("String", "80"))], TypeMismatchError, "must be a number"),
        ([descriptor(0, "port", ("[Int]", [80]))], TypeMismatchError, "is a list"),
        ([descriptor(0, "port", ("Fun", 0))], JsonFormError, "refers to descriptor 0"),
        ([descriptor(0, "inc", ("Int", 64))], RangeError, "descriptor 0: there is no counter 64"),
        ([descriptor(0, "addr", ("CIDR", "10.0.0.0/33"))], LiteralError, "0 to 32"),
        ([descriptor(0, "addr", ("CIDR", {"getNetworkPair": [{"getHostAddress": -1}, 8]}))], JsonFormError, "cidr"),
        ([WHEN, descriptor(1, "tcp"), descriptor(2, "drop")], TypeMismatchError, "descriptor 0: argument 1"),
        ([WHEN, descriptor(1, "is_tcp", link=2), descriptor(2, "drop")], JsonFormError, "is a predicate, which has no"),
        ([descriptor(0, "ip") | {"funArgs": [{}]}], ArityError, "needs no arguments"),
        ([descriptor(0, "port") | {"funArgs": [{}]}], JsonFormError, "argType and argValue"),
    ],
)
def test_refused(descriptors: list[Any], error: type[ProgramError], message: str) -> None:
    with pytest.raises(ProgramError) as caught:
        from_json(json.dumps(descriptors))
    assert type(caught.value) is error
    assert message in caught.value.message


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", "[", "[" * 100_000, "[1e999]", "[" + "9" * 5000 + "]"])
def test_V7_no_array_of_descriptors(text: str) -> None:
    with pytest.raises(JsonFormError):
        from_json(text)


def test_mistakes_are_reported_together_in_order() -> None:
    wrong = [descriptor(0, "port", ("Int", -1), link=1), descriptor(1, "ipp", link=2), descriptor(2, "drop", link=9)]
    with pytest.raises(ProgramErrors) as caught:
        from_json(json.dumps(wrong))
    assert [fault.message.split(":")[0] for fault in caught.value] == ["descriptor 0", "descriptor 1", "descriptor 2"]


def test_V7_shared_descriptors_do_not_explode() -> None:
    count = 60
    shared = [descriptor(i, "par", ("Fun", i + 1), ("Fun", i + 1)) for i in range(count)] + [descriptor(count, "ip")]
    with pytest.raises(TooBigError):
        from_json(json.dumps(shared))


def test_V7_long_and_deep_forms() -> None:
    long = [descriptor(i, "ip", link=i + 1) for i in range(9_000)]
    assert len(from_json(json.dumps(long)).main.calls) == 9_000
    deep = [descriptor(i, "inv", ("Fun", i + 1)) for i in range(9_000)] + [descriptor(9_000, "ip")]
    with pytest.raises(TooBigError):
        from_json(json.dumps(deep))
    with pytest.raises(JsonFormError, match="at most 10000"):
        from_json(json.dumps([1] * 10_001))
