"""Hostile sources (row V7 of the reliability catalogue): refused, with a PFQ error and nothing else."""

from __future__ import annotations

import pytest

from pfq.errors import ProgramError, RangeError, TooBigError
from pfq.lang.compile import compile_text
from pfq.lang.limits import MAX_NESTING

N = 100_000


def nest(step: str, inner: str, count: int = 60, main: str = "{0}") -> str:
    """Definitions a0, a1 … each made from the one before; the program is made from the last."""
    lines = [f"a{i} = {step.format(f'a{i - 1}')}" for i in range(1, count)]
    return f"a0 = {inner}\n" + "\n".join(lines) + "\nmain = " + main.format(f"a{count - 1}")


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
}


@pytest.mark.parametrize("name", HOSTILE)
def test_V7_hostile_source(name: str) -> None:
    with pytest.raises(ProgramError) as caught:
        compile_text(HOSTILE[name])
    assert len(str(caught.value)) < 20_000


@pytest.mark.parametrize("name", ["nested parentheses", "ten megabytes", "nested calls", "doubling tree", "deep tree"])
def test_V7_too_big(name: str) -> None:
    with pytest.raises(TooBigError):
        compile_text(HOSTILE[name])


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
