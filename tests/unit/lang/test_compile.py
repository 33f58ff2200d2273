"""From text to program: spans, several mistakes at once, and what only the whole front end shows."""

from __future__ import annotations

import pytest

from pfq.errors import ArityError, MainError, ProgramErrors, RangeError, TypeMismatchError, UnknownNameError
from pfq.lang.compile import compile_text
from pfq.lang.prims import PRIMS
from pfq.lang.prims.table import Table
from pfq.lang.program import Chain


def test_program_keeps_its_text() -> None:
    assert compile_text("ip  -- comment").source == "ip  -- comment"


def test_equality_ignores_places() -> None:
    assert compile_text("ip") == compile_text("main =\n   ip")
    assert compile_text("ip") != compile_text("tcp")


def test_spans_point_at_the_users_text() -> None:
    program = compile_text("web n = when (has_port n) drop\nmain = ip >-> web 80 >-> filter (ip_ttl .< 5)")
    texts = [(call.prim.name, call.span.line, call.span.text) for call in program.calls()]
    assert texts == [
        ("ip", 2, "ip"),
        ("when", 1, "when (has_port n) drop"),
        ("has_port", 1, "has_port n"),
        ("drop", 1, "drop"),
        ("filter", 2, "filter (ip_ttl .< 5)"),
        ("less", 2, "ip_ttl .< 5"),
        ("ip_ttl", 2, "ip_ttl"),
    ]


def test_place_of_a_partial_application_is_that_of_its_last_argument() -> None:
    program = compile_text("main = f drop where f = when is_tcp")
    assert [call.span.text for call in program.calls()] == ["f drop", "is_tcp", "drop"]


def test_all_mistakes_at_once() -> None:
    text = "a = foo\nb = port 70000\nc = when tcp drop\nd x = addr 1.2.3\nmain = a >-> b >-> c >-> d 1 >-> port"
    with pytest.raises(ProgramErrors) as caught:
        compile_text(text)
    assert [fault.span.line for fault in caught.value] == [1, 2, 3, 4, 5]


def test_one_mistake_one_message() -> None:
    with pytest.raises(UnknownNameError):
        compile_text("web = foo\nmain = web >-> when web web >-> par web (web >-> ip)")
    with pytest.raises(TypeMismatchError):
        compile_text("web = when tcp drop\nmain = web >-> par web web")


def test_constants_are_checked_where_they_are_used() -> None:
    with pytest.raises(RangeError) as caught:
        compile_text("n = 70000\nmain = mark n >-> port n")
    assert caught.value.span.line == 1


def test_functions_that_nothing_calls_are_checked_too() -> None:
    with pytest.raises(RangeError):
        compile_text("f x = port 70000 >-> mark x\nmain = ip")
    with pytest.raises(TypeMismatchError):
        compile_text("f x = port (x >-> ip)\nmain = ip")


def test_unused_definitions_leave_no_trace() -> None:
    assert list(compile_text("f x = mark x\ng = f 1\nmain = unit").calls()) == []


def test_many_mistakes_are_cut() -> None:
    with pytest.raises(ProgramErrors) as caught:
        compile_text("main = do\n" + "\n".join(f"  foo{i}" for i in range(100)))
    assert len(caught.value.faults) == 21
    assert caught.value.faults[-1].message == "there are 20 errors or more; these are the first found"


def test_check_of_a_primitive(table: Table) -> None:
    with pytest.raises(RangeError, match="3 is odd"):
        compile_text("mark 3", table=table)
    assert compile_text("mark 4", table=table).main.calls[0].args == (4,)


def test_arguments_are_plain_values(table: Table) -> None:
    program = compile_text('host 10.0.0.1 >-> link ["a", "b"] >-> flag True >-> when is_tcp unit', table=table)
    host, link, flag, when = program.main.calls
    assert host.args == (0x0A000001,)
    assert link.args == (("a", "b"),)
    assert flag.args == (1,)
    assert when.args[1] == Chain()


def test_a_table_without_a_connective() -> None:
    with pytest.raises(UnknownNameError, match="unknown name `ip`"):
        compile_text("ip", table=Table())
    few = Table()
    few.add(*(PRIMS[name] for name in ("ip", "is_tcp", "filter", "ip_ttl")))
    for text in ("filter (is_tcp .&&. is_tcp)", "filter (ip_ttl .< 5)", "if is_tcp then ip else ip"):
        with pytest.raises(UnknownNameError, match="this needs the primitive"):
            compile_text(text, table=few)


def test_functions_are_no_arguments_of_any_type(table: Table) -> None:
    for text in ("dummy (\\x -> x)", "dummy port", "dummy [1]"):
        with pytest.raises(TypeMismatchError, match="neither a constant nor a program"):
            compile_text(text, table=table)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("f x = x\nmain = f", MainError),
        ("main = []", MainError),
        ("port", ArityError),
        ("main = True", MainError),
        ("main x = ip", MainError),
    ],
)
def test_main_must_be_an_action(text: str, error: type[Exception]) -> None:
    with pytest.raises((error, ArityError)):
        compile_text(text)


@pytest.mark.parametrize(
    "text",
    [
        "f x = x x",
        "f x y = x y y\nmain = f port 80",
        "apply f x = f x\nmain = apply port is_tcp",
        "pair = [80, is_tcp]\nmain = ip",
        'main = addr ("10.0.0.0" + 1)',
        "same :: a -> a\nsame x = ip\nmain = ip",
        "twice :: (a -> a) -> a -> a\ntwice f x = f 80\nmain = ip",
    ],
)
def test_ill_typed(text: str) -> None:
    with pytest.raises((TypeMismatchError, ArityError, ProgramErrors)):
        compile_text(text)


def test_one_number_serves_parameters_of_several_types() -> None:
    assert str(compile_text("f n = classify n >-> mark n >-> port n\nmain = f 3")) == "classify 3 >-> mark 3 >-> port 3"


def test_each_parameter_checks_its_own_range() -> None:
    with pytest.raises(RangeError):
        compile_text("f n = mark n >-> port n\nmain = f 70000")
