"""Hostile sources (row V7 of the reliability catalogue): refused, soon, with little memory, with a PFQ error."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pfq.errors import RangeError
from pfq.lang.compile import compile_text
from pfq.lang.limits import MAX_NESTING

N = 100_000

SECONDS, BYTES = 2.0, 256 << 20
"""What a program may cost at most, until it is refused."""

WORKER = """
import json, resource, sys, time
resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[2]),) * 2)
from pfq.errors import ProgramError
from pfq.lang.compile import compile_file, compile_text
from pfq.lang.jsonform import from_json
from pfq.lang.prims import PRIMS
read = {"text": compile_text, "file": compile_file, "json": from_json}[sys.argv[1]]
given = sys.stdin.buffer.read().decode("utf-8", "surrogatepass")
start = time.process_time()
try:
    result = ["accepted", len(str(read(given)))]
except ProgramError as error:
    result = [type(error).__name__, len(str(error))]
print(json.dumps([*result, time.process_time() - start]))
"""


def refused(way: str, given: str) -> str:
    """The class of the error with which a process of its own refuses it, in time and within its memory.

    way  "text", "file" (its path) or "json"
    """
    command = [sys.executable, "-c", WORKER, way, str(BYTES)]
    data = given.encode("utf-8", "surrogatepass")
    done = subprocess.run(command, input=data, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    name, length, seconds = json.loads(done.stdout)
    assert length < 20_000
    assert seconds < SECONDS
    assert name != "accepted"
    return str(name)


def nest(step: str, inner: str, count: int = 60, main: str = "{0}") -> str:
    """Definitions a0, a1 … each made from the one before; the program is made from the last."""
    lines = [f"a{i} = {step.format(f'a{i - 1}')}" for i in range(1, count)]
    return f"a0 = {inner}\n" + "\n".join(lines) + "\nmain = " + main.format(f"a{count - 1}")


CHOICE = "if is_tcp then 1 else 2"

HOSTILE = {
    "ten megabytes": " " * 10_000_000,
    "nested parentheses": "(" * N + "ip" + ")" * N,
    "brackets never closed": "main = " + "[" * N,
    "brackets on lines": "(\n" * N,
    "blocks": "main = " + "do " * N + "ip",
    "braces": "main = do " + "{" * N,
    "lambdas": "main = " + "\\x -> " * 30_000 + "ip",
    "conditions": "main = " + "if is_tcp then drop else " * 10_000 + "ip",
    "lets": "main = " + "let x = 1 in " * 10_000 + "ip",
    "lets in do": "main = do\n" + "".join(f"  let a{i} = 1\n" for i in range(10_000)) + "  ip",
    "dollars": "main = " + "inv $ " * 10_000 + "ip",
    "backticks": "main = filter (ip_ttl " + "`any_bit` 1 " * 10_000 + ")",
    "arguments": "main = ip" + " ip" * 10_000,
    "parameters": "f " + " ".join(f"p{i}" for i in range(10_000)) + " = ip\nmain = ip",
    "long chain": "main = ip" + " >-> ip" * 20_000,
    "many steps": "main = do\n" + "  ip\n" * 20_000,
    "name": "main = " + "a" * 1_000_000,
    "number": "main = port " + "9" * 1_000_000,
    "text": 'main = addr "' + "f" * 1_000_000 + '"',
    "address": "main = addr " + "1." * 500_000 + "1",
    "operator": "main = ip " + ">" * 1_000_000,
    "comments": "{-" * N,
    "quotes": '"\n' * N,
    "closing": ")" * N,
    "garbage": "".join(chr(0x4E00 + i % 5000) for i in range(N)),
    "nul": "main = ip\0",
    "unknown names": "main = do\n" + "".join(f"  foo{i}\n" for i in range(20_000)),
    "duplicates": "a = ip\n" * 20_000,
    "a long cycle": "".join(f"a{i} = a{(i + 1) % 20_000}\n" for i in range(20_000)),
    "doubling chain": nest("{0} >-> {0}", "ip"),
    "doubling tree": nest("conditional is_tcp {0} {0}", "ip"),
    "doubling predicate": "p = is_tcp\n" + nest("filter p >-> {0} >-> {0}", "ip"),
    "deep tree": nest("not {0}", "is_tcp", 5000, "filter {0}"),
    "deep list": nest("[{0}]", "1", 5000, "ip"),
    "growing chain": nest("{0} >-> tcp", "ip", 9000),
    "growing alternatives": nest("{0} .||. is_tcp", "is_ip", 9000, "filter {0}"),
    "nested calls": "f0 x = x >-> x\n"
    + "".join(f"f{i} x = f{i - 1} (f{i - 1} x)\n" for i in range(1, 60))
    + "main = f59 ip",
    "calls without a result": "f0 x = x\n"
    + "".join(f"f{i} x = f{i - 1} (f{i - 1} x)\n" for i in range(1, 60))
    + "main = f59 ip",
    "deep calls": "f0 x = x\n" + "".join(f"f{i} x = f{i - 1} x\n" for i in range(1, 5000)) + "main = f4999 ip",
    "exponential types": "f0 x = \\z -> z x x\n"
    + "".join(f"f{i} = \\y -> f{i - 1} (f0 y)\n" for i in range(1, 80))
    + "main = ip",
    "self application": "f x = x x\nmain = f f",
    "fixed point": "y f = (\\x -> f (x x)) (\\x -> f (x x))\nmain = y (\\x -> x)",
    "growing number": nest("{0} * {0}", "3", main="mark {0}"),
    "types": "f :: " + "(" * N + "\nf = ip\nmain = f",
    "arrows": "f :: " + "Word8 -> " * 20_000 + "Word8\nf = ip\nmain = f",
    "imports": "".join(f"import A{i}\n" for i in range(20_000)) + "main = ip",
    "lone surrogates": "main = ip -- \ud800\n\udfff",
    "ifs in a list": "main = vlan_id_filter [" + ", ".join([CHOICE] * 5_000) + "]",
    "ifs in a sum": "main = mark (" + " + ".join([f"({CHOICE})"] * 5_000) + ")",
    "ifs in one another": nest("if is_tcp then 1 else {0}", "1", 5_000, "mark {0}"),
    "doubling ifs": nest("if is_tcp then {0} else {0}", CHOICE, 90, "mark {0}"),
    "doubling ifs with types": "a0 = 1\n"
    + "".join(f"a{i} :: Word8\na{i} = if is_tcp then a{i - 1} else a{i - 1}\n" for i in range(1, 90))
    + "main = ip",
    "doubling ifs of functions": nest("if is_tcp then {0} else {0}", "if is_ip then port else src_port", 90, "{0} 80"),
    "doubling ifs of predicates": nest("if {0} then {0} else not {0}", "is_tcp", 90, "filter {0}"),
    "calls and ifs": "f0 x = if is_tcp then x else 1\n"
    + "".join(f"f{i} x = (if is_tcp then f{i - 1} else f{i - 1}) x\n" for i in range(1, 90))
    + "main = mark (f89 1)",
}
TOO_BIG = (
    "ten megabytes",
    "nested parentheses",
    "name",
    "nested calls",
    "doubling tree",
    "deep tree",
    "deep calls",
    "exponential types",
    "ifs in one another",
    "doubling ifs",
    "calls and ifs",
)


@pytest.mark.parametrize("name", HOSTILE)
def test_V7_hostile_source(name: str) -> None:
    error = refused("text", HOSTILE[name])
    assert error == "TooBigError" or name not in TOO_BIG


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"-- " + b"x" * 10_000_000 + b"\nmain = ip", "TooBigError"),
        (b"main = ip\xff", "LexicalError"),
        (b"main = ip" + b"\xc3" * 1_000_000, "LexicalError"),
        (b"\xff\xfem\0a\0i\0n\0", "LexicalError"),
        (b"\0" * 1_000_000, "LexicalError"),
    ],
    ids=["ten megabytes", "a byte", "many bytes", "UTF-16", "zeros"],
)
def test_V7_hostile_file(content: bytes, error: str, tmp_path: Path) -> None:
    path = tmp_path / "hostile.pfq"
    path.write_bytes(content)
    assert refused("file", str(path)) == error


def descriptor(symbol: str, *arguments: Any, link: int = -1) -> dict[str, Any]:
    return {
        "funIndex": 0,
        "funSymbol": symbol,
        "funArgs": [*arguments, *[None] * (8 - len(arguments))],
        "funLink": link,
    }


HOSTILE_JSON = {
    "deep": "[" * N + "]" * N,
    "long": "[" + "0," * 900_000 + "0]",
    "ten megabytes": " " * 10_000_000,
    "a number of many digits": "[" + "9" * 1_000_000 + "]",
    "a call inside itself": json.dumps([descriptor("inv", {"argType": "Fun", "argValue": 0}, link=1)]),
    "a chain that ends in itself": json.dumps([descriptor("ip", link=1), descriptor("ip", link=0)]),
    "doubling": json.dumps(
        [descriptor("par", *[{"argType": "Fun", "argValue": i + 1}] * 2, link=61 if i == 0 else -1) for i in range(60)]
        + [descriptor("ip")]
    ),
    "a deep tree": json.dumps(
        [descriptor("inv", {"argType": "Fun", "argValue": i + 1}) for i in range(9_000)] + [descriptor("ip")]
    ),
    "a long list": json.dumps([descriptor("link", {"argType": "[String]", "argValue": ["a"] * N}, link=1)]),
}


@pytest.mark.parametrize("name", HOSTILE_JSON)
def test_V7_hostile_json(name: str) -> None:
    refused("json", HOSTILE_JSON[name])


def test_V7_numbers_stay_small() -> None:
    with pytest.raises(RangeError, match="64 bits"):
        compile_text(HOSTILE["growing number"])


def test_large_programs_within_the_limits() -> None:
    steps = "main = do\n" + "  ip\n" * 9_000
    assert len(compile_text(steps).main.calls) == 9_000
    ports = " .||. ".join(f"has_port {port}" for port in range(4_000))
    assert sum(1 for _ in compile_text(f"filter ({ports})").calls()) == 1 + 4_000 + 3_999
    deep = "inv (" * (MAX_NESTING - 5) + "ip" + ")" * (MAX_NESTING - 5)
    assert str(compile_text(deep)) == deep.replace("(ip)", "ip")
    numbers = "main = mark (" + " + ".join(["1"] * 20_000) + ")"
    assert str(compile_text(numbers)) == "mark 20000"
    comment = "-- comment\n" * 100_000 + "ip"
    assert str(compile_text(comment)) == "ip"
