"""Sets of prefixes: what is in them, how they are written, and as arguments in each form of a program."""

from __future__ import annotations

import json
from ipaddress import ip_address, ip_network
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pfq.errors import ArityError, LiteralError, ProgramError, TooBigError, TypeMismatchError
from pfq.lang import PrefixSet, addr_in, from_json, keep, port, to_json
from pfq.lang import prefixset as module
from pfq.lang.build import checked
from pfq.lang.compile import compile_file, compile_text
from pfq.lang.prims import PRIMS
from pfq.lang.program import Call, Prefix, Program
from pfq.lang.show import show
from pfq.lang.types import PREFIX_SET, STRING

TEN, ELEVEN = 10 << 24, 11 << 24
DOC6 = 0x2001_0DB8 << 96


def set_of(program: Program) -> PrefixSet:
    """The set of the one `addr_in` of a program."""
    (found,) = {argument for call in program.calls() for argument in call.args if isinstance(argument, PrefixSet)}
    return found


# what is in a set


@pytest.mark.parametrize(
    ("text", "boundaries"),
    [
        ("10.0.0.0/8", (TEN, ELEVEN)),
        ("10.1.2.3/8", (TEN, ELEVEN)),
        ("10.0.0.0/255.0.0.0", (TEN, ELEVEN)),
        ("10.0.0.1", (TEN + 1, TEN + 2)),
        ("10.0.0.1/32", (TEN + 1, TEN + 2)),
        ("10.0.0.1, 10.0.0.3", (TEN + 1, TEN + 2, TEN + 3, TEN + 4)),
        ("10.0.0.3 10.0.0.1", (TEN + 1, TEN + 2, TEN + 3, TEN + 4)),
        ("10.0.0.1,10.0.0.2", (TEN + 1, TEN + 3)),
        ("10.128.0.0/9, 10.0.0.0/9", (TEN, ELEVEN)),
        ("10.0.0.0/8, 10.0.0.0/16, 10.9.9.9, 10.255.255.255", (TEN, ELEVEN)),
        ("10.0.0.0/8, 10.0.0.0/8", (TEN, ELEVEN)),
        ("0.0.0.0", (0, 1)),
        ("0.0.0.0/0", (0,)),
        ("255.255.255.255", (0xFFFF_FFFF,)),
        ("10.0.0.0/8, 255.0.0.0/8", (TEN, ELEVEN, 0xFF00_0000)),
        ("128.0.0.0/1, 0.0.0.0/1", (0,)),
    ],
)
def test_ranges_of_ip4(text: str, boundaries: tuple[int, ...]) -> None:
    made = PrefixSet.parse(text)
    assert (made.boundaries4, made.boundaries6) == (boundaries, ())


@pytest.mark.parametrize(
    ("text", "boundaries"),
    [
        ("2001:db8::/32", (DOC6, DOC6 + (1 << 96))),
        ("2001:db8::1", (DOC6 + 1, DOC6 + 2)),
        ("2001:DB8:0:0:0:0:0:1/128", (DOC6 + 1, DOC6 + 2)),
        ("::/0", (0,)),
        ("ff00::/8", (0xFF << 120,)),
        ("::ffff:1.2.3.4", (0xFFFF_0102_0304, 0xFFFF_0102_0305)),
        ("::2 ::/127", (0, 3)),
    ],
)
def test_ranges_of_ip6(text: str, boundaries: tuple[int, ...]) -> None:
    made = PrefixSet.parse(text)
    assert (made.boundaries4, made.boundaries6) == ((), boundaries)


def test_the_families_are_apart() -> None:
    made = PrefixSet.parse("0.0.0.0/0, 2001:db8::/32")
    assert made == PrefixSet("0.0.0.0/0, 2001:db8::/32", (0,), (DOC6, DOC6 + (1 << 96)))
    assert bytes(4) in made
    assert bytes(16) not in made


def some_prefixes(base: str, bits: int) -> st.SearchStrategy[str]:
    """Prefixes that lie near one another, in the last 6 bits of an address."""
    start = int(ip_address(base))
    return st.builds(
        lambda host, length: f"{ip_address(start + host)}/{length}", st.integers(0, 63), st.integers(bits - 6, bits)
    )


@pytest.mark.parametrize(("base", "bits"), [("10.0.0.0", 32), ("255.255.255.192", 32), ("2001:db8::", 128)])
@given(data=st.data())
def test_membership_is_that_of_one_of_the_prefixes(base: str, bits: int, data: st.DataObject) -> None:
    words = data.draw(st.lists(some_prefixes(base, bits), min_size=1, max_size=12))
    networks = [ip_network(word, strict=False) for word in words]
    made = PrefixSet.of(words)
    for host in range(64):
        address = ip_address(int(ip_address(base)) + host)
        assert (address.packed in made) == any(address in network for network in networks)
    for boundaries in (made.boundaries4, made.boundaries6):
        assert all(a < b for a, b in pairwise(boundaries))


def test_equality_is_that_of_the_content() -> None:
    first, second = PrefixSet.parse("10.0.0.0/8"), PrefixSet.of(["10.0.0.0/8"])
    assert first == second
    assert hash(first) == hash(second)
    assert first != PrefixSet.parse("10.0.0.0/9")
    assert first != PrefixSet.parse("10.0.0.0/8 ")
    assert repr(first) == "PrefixSet(name='10.0.0.0/8')"


# lists and files


@pytest.mark.parametrize(
    "text",
    ["10.0.0.0/8, ::1", "10.0.0.0/8 ::1", " 10.0.0.0/8\t\n::1 ", "10.0.0.0/8,::1,", ",10.0.0.0/8 , ,::1"],
)
def test_lists_are_separated_by_commas_and_blanks(text: str) -> None:
    made = PrefixSet.parse(text)
    assert (made.name, made.boundaries4, made.boundaries6) == (text, (TEN, ELEVEN), (1, 2))


@pytest.mark.parametrize(
    "content",
    [
        b"10.0.0.0/8\n::1\n",
        b"10.0.0.0/8\n::1",
        b"# a comment\n\n10.0.0.0/8  # ten\n   \t\n   ::1#one\n#10.0.0.1 10.0.0.2\n",
        b"10.0.0.0/8\r\n\r\n::1\r\n",
        b"\xef\xbb\xbf10.0.0.0/8\n::1\n",
        b"# caf\xe9\n10.0.0.0/8\n::1\n",
    ],
)
def test_files(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "nets").write_bytes(content)
    assert PrefixSet.parse("nets", tmp_path) == PrefixSet("nets", (TEN, ELEVEN), (1, 2), tmp_path / "nets")


def test_file_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name may have blanks and look like an address when a directory stands before it."""
    for name in ("two words.txt", "10.0.0.1"):
        (tmp_path / name).write_text("::1")
        assert PrefixSet.parse(f"{tmp_path}/{name}").boundaries6 == (1, 2)
        monkeypatch.chdir(tmp_path)
        assert PrefixSet.parse(f"./{name}").boundaries6 == (1, 2)
    assert PrefixSet.parse("10.0.0.1").boundaries4 == (TEN + 1, TEN + 2)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the set has no prefixes"),
        (" , ", "the set has no prefixes"),
        ("nowhere", "cannot read DIR/nowhere: No such file or directory"),
        ("nowhere/nets", "cannot read DIR/nowhere/nets: No such file or directory"),
        ("a\0b", "cannot read DIR/a\ufffdb: no file has such a name"),
        ("folder", "cannot read DIR/folder: Is a directory"),
        ("10.0.0.0/33", "`10.0.0.0/33` is not a prefix: its length must be 0 to 32"),
        ("10.0.0.0/33, 10.0.0.1", "`10.0.0.0/33` is not a prefix: its length must be 0 to 32"),
        ("10.0.0.256 10.0.0.1", "`10.0.0.256` is not an address: 256 is more than 255"),
        ("10/8", "`10/8` has 1 part; an IPv4 address has 4"),
        ("10.0.0.1, x", '"x" is not an address'),
        ("10.0.0.1, ::1/129", "`::1/129` is not a prefix: its length must be 0 to 128"),
        ("10.0.0.1, 10.0.0.2/", "`10.0.0.2/` is not a prefix: its length must be 0 to 32"),
        ("10.0.0.1, 10.0.0.02", "`10.0.0.02` is not an address: 02 begins with 0"),
        ("::1 fe80::1%eth0", "`fe80::1%eth0` is not an address"),
        ("::1 1::2::3", "`1::2::3` is not an IPv6 address"),
        ("::1 \x1b[2J", '"\ufffd[2J" is not an address'),
    ],
)
def test_refused_texts(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(LiteralError) as caught:
        PrefixSet.parse(text, tmp_path)
    assert caught.value.message.replace(str(tmp_path), "DIR") == message


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "FILE has no prefixes"),
        ("# nothing\n\n", "FILE has no prefixes"),
        ("10.0.0.1\n\n# two\n10.0.0.0/33\n", "FILE, line 4: `10.0.0.0/33` is not a prefix: its length must be 0 to 32"),
        ("10.0.0.1 10.0.0.2\n", "FILE, line 1: `10.0.0.1 10.0.0.2` is more than one word"),
        ("example.com\n", 'FILE, line 1: "example.com" is not an address'),
        ("\x7fELF" + "\1" * 100_000, 'FILE, line 1: "\ufffdELF' + "\ufffd" * 32 + '…" is not an address'),
    ],
)
def test_refused_files(content: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "nets"
    file.write_text(content)
    with pytest.raises(LiteralError) as caught:
        PrefixSet.parse(str(file))
    assert caught.value.message.replace(str(file), "FILE") == message


def test_hints(tmp_path: Path) -> None:
    for text, hint in {
        "nowhere": 'write a list such as "10.0.0.0/8, 192.168.0.1, 2001:db8::/32", or the name of a file',
        "::1, 10.0.0.01": "write 10.0.0.1",
    }.items():
        with pytest.raises(LiteralError) as caught:
            PrefixSet.parse(text, tmp_path)
        assert caught.value.hint == hint
    (tmp_path / "nets").write_text("::1\n10.0.0.1,10.0.0.2\n")
    with pytest.raises(LiteralError) as caught:
        PrefixSet.parse("nets", tmp_path)
    assert caught.value.hint == "write one prefix or address on each line, or in each item"


def test_a_name_that_is_too_long_is_cut() -> None:
    with pytest.raises(LiteralError) as caught:
        PrefixSet.parse("x" * 5000)
    assert caught.value.message == "cannot read " + "x" * 199 + "…: File name too long"


@pytest.mark.parametrize("words", [["10.0.0.1"] * 4, ["10.0.0.1"] * 2 + ["::1"] * 2])
def test_too_many_prefixes(words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_PREFIXES", 3)
    (tmp_path / "nets").write_text("\n".join(words))
    with pytest.raises(TooBigError, match="the set has more than 3 prefixes"):
        PrefixSet.of(words)
    with pytest.raises(TooBigError, match="nets has more than 3 prefixes"):
        PrefixSet.parse("nets", tmp_path)
    assert PrefixSet.of(words[:3]).boundaries4 == (TEN + 1, TEN + 2)


def test_too_large_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_FILE_BYTES", 1000)
    with pytest.raises(TooBigError, match="/dev/zero has more than 1000 bytes"):
        PrefixSet.parse("/dev/zero")


@pytest.mark.slow
def test_a_million_prefixes(tmp_path: Path) -> None:
    """Every other address of 10.0.0.0/11, so that nothing merges."""
    lines = "\n".join(f"10.{n >> 15}.{n >> 7 & 255}.{n << 1 & 255}" for n in range(1_000_000))
    (tmp_path / "nets").write_text(lines)
    made = PrefixSet.parse("nets", tmp_path)
    assert len(made.boundaries4) == 2_000_000
    assert made.boundaries4[:3] == (TEN, TEN + 1, TEN + 2)
    assert made.boundaries4[-1] == TEN + 1_999_999
    (tmp_path / "nets").write_text(lines + "\n::1")
    with pytest.raises(TooBigError):
        PrefixSet.parse("nets", tmp_path)


# as an argument


def test_in_text() -> None:
    program = compile_text('filter (addr_in "10.0.0.0/8, ::1")')
    assert set_of(program) == PrefixSet("10.0.0.0/8, ::1", (TEN, ELEVEN), (1, 2))
    assert show(program) == 'filter (addr_in "10.0.0.0/8, ::1")'


@pytest.mark.parametrize(
    "text",
    [
        'nets = "10.0.0.0/8"\nmain = filter (addr_in nets)',
        'nets :: PrefixSet\nnets = "10.0.0.0/8"\nmain = filter (addr_in nets)',
        'near :: PrefixSet -> Packet -> Action Packet\nnear s = filter (addr_in s)\nmain = near "10.0.0.0/8"',
        'main = (\\s -> filter (src_addr_in s .||. dst_addr_in s)) "10.0.0.0/8"',
    ],
)
def test_named_sets(text: str) -> None:
    assert set_of(compile_text(text)) == PrefixSet.parse("10.0.0.0/8")


def test_files_are_looked_for_next_to_the_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "Lib").mkdir()
    (tmp_path / "nets").write_text("10.0.0.1")
    (tmp_path / "Lib" / "nets").write_text("10.0.0.2")
    (tmp_path / "Lib" / "Far.pfq").write_text('far = filter (addr_in "nets")')
    near, both = tmp_path / "near.pfq", tmp_path / "both.pfq"
    near.write_text('filter (addr_in "nets")')
    both.write_text('import Lib.Far\nmain = far >-> filter (addr_in "nets")')
    assert set_of(compile_file(near)).boundaries4 == (TEN + 1, TEN + 2)
    monkeypatch.chdir(tmp_path)
    assert set_of(compile_file("near.pfq")).boundaries4 == (TEN + 1, TEN + 2)
    assert set_of(compile_text('filter (addr_in "Lib/nets")')).boundaries4 == (TEN + 2, TEN + 3)
    far, here = (call.args[0] for call in compile_file(both).calls() if call.prim.name == "addr_in")
    assert isinstance(far, PrefixSet)
    assert isinstance(here, PrefixSet)
    assert (far.boundaries4, here.boundaries4) == ((TEN + 2, TEN + 3), (TEN + 1, TEN + 2))


def test_a_file_is_read_once(tmp_path: Path) -> None:
    (tmp_path / "nets").write_text("10.0.0.1")
    program = tmp_path / "a.pfq"
    program.write_text('s = "nets"\nf x = filter (addr_in x)\nmain = f s >-> f "nets" >-> when (addr_in "nets") drop')
    sets = [call.args[0] for call in compile_file(program).calls() if call.prim.name == "addr_in"]
    assert len(sets) == 3
    assert all(each is sets[0] for each in sets)


def test_mistakes_stand_at_the_literal() -> None:
    with pytest.raises(LiteralError) as caught:
        compile_text('main = do\n  ip\n  filter (addr_in "10.0.0.1, 10.0.0.300")')
    assert caught.value.span is not None
    assert (caught.value.span.line, caught.value.span.text) == (3, '"10.0.0.1, 10.0.0.300"')


def test_in_json() -> None:
    program = compile_text('filter (addr_in "10.0.0.0/8, ::1")')
    form = json.loads(to_json(program))
    assert form[1]["funArgs"][0] == {"argType": "String", "argValue": "10.0.0.0/8, ::1"}
    assert from_json(json.dumps(form)) == program
    form[1]["funArgs"][0]["argValue"] = "10.0.0.1 x"
    with pytest.raises(LiteralError, match='descriptor 1: "x" is not an address'):
        from_json(json.dumps(form))
    form[1]["funArgs"][0] = {"argType": "Int", "argValue": 5}
    with pytest.raises(TypeMismatchError, match="must be a set of prefixes, but 5 is a number"):
        from_json(json.dumps(form))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("10.0.0.0/8 ::1", "10.0.0.0/8 ::1"),
        (["10.0.0.0/8", "::1"], "10.0.0.0/8, ::1"),
        ((ip_network("10.0.0.0/8"), ip_address("::1")), "10.0.0.0/8, ::1"),
        (iter([Prefix.parse("10.0.0.0/8"), ip_network("::1")]), "10.0.0.0/8, ::1/128"),
        (ip_network("10.0.0.0/30"), "10.0.0.0/30"),
        (ip_address("::1"), "::1"),
        (Prefix.parse("10.0.0.1"), "10.0.0.1/32"),
        (PrefixSet.parse("10.0.0.0/8"), "10.0.0.0/8"),
    ],
)
def test_in_python(value: object, text: str) -> None:
    made = addr_in(value)
    assert str(made) == f'addr_in "{text}"'
    assert keep(made).program() == compile_text(f'filter (addr_in "{text}")')


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        (5, TypeMismatchError, "the argument of `addr_in` must be a set of prefixes, but this is 5"),
        (None, TypeMismatchError, "the argument of `addr_in` must be a set of prefixes, but this is None"),
        (port, ArityError, "`port` needs 1 argument"),
        ([5], TypeMismatchError, "an item of the argument of `addr_in` must be an address or prefix, but this is 5"),
        (b"ab", TypeMismatchError, "an item of the argument of `addr_in` must be an address or prefix, but this is 97"),
        ([], LiteralError, "the set has no prefixes"),
        (["10.0.0.0/8, ::1"], LiteralError, "`10.0.0.0/8, ::1` is more than one word"),
        (["10.0.0.1", "x"], LiteralError, '"x" is not an address'),
    ],
)
def test_refused_in_python(value: object, error: type[ProgramError], message: str) -> None:
    with pytest.raises(ProgramError) as caught:
        addr_in(value)
    assert type(caught.value) is error
    assert message in caught.value.message


def test_a_set_is_nothing_else() -> None:
    made = PrefixSet.parse("10.0.0.0/8")
    with pytest.raises(TypeMismatchError, match=r"must be a number .*, but this is a set of prefixes"):
        port(made)
    with pytest.raises(TypeMismatchError, match="it must be a text, but this is a set of prefixes"):
        checked(made, STRING, "it")
    assert checked(made, PREFIX_SET, "it") is made
    assert Call(PRIMS["addr_in"], (made,)) == Call(PRIMS["addr_in"], (PrefixSet.parse("10.0.0.0/8"),))
