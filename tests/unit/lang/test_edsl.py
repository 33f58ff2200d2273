"""Programs as Python expressions. Their core text is tested with the blocks of tests/lang."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from ipaddress import ip_address

import numpy as np
import pytest

import pfq.lang
from pfq.errors import (
    ArityError,
    LiteralError,
    PfqError,
    RangeError,
    TooBigError,
    TypeMismatchError,
    UnknownNameError,
    UsageError,
)
from pfq.lang import (
    addr,
    conditional,
    drop,
    has_port,
    inc,
    ip,
    ip_ttl,
    is_ip,
    is_tcp,
    keep,
    mark,
    or_,
    par,
    port,
    steer_flow,
    tcp,
    to_program,
    when,
)
from pfq.lang.compile import compile_text
from pfq.lang.edsl import Expression, named
from pfq.lang.prims import PRIMS
from pfq.lang.prims.table import Table


def test_the_tree_is_that_of_text() -> None:
    made = ip >> when(is_tcp & has_port(80) | ~(ip_ttl < 5), drop) >> steer_flow
    text = "ip >-> when (is_tcp .&&. has_port 80 .||. not (ip_ttl .< 5)) drop >-> steer_flow"
    assert made.program() == compile_text(text)
    assert str(made) == text
    assert repr(made) == f"<action {text}>"


def test_every_primitive_is_a_name_of_the_module() -> None:
    for name in PRIMS.names():
        assert str(getattr(pfq.lang, name)) == ("unit" if name == "unit" else PRIMS[name].name)
    assert pfq.lang.key_5tuple == 0b11000111000
    assert {"ip", "steer_flow", "compile_text"} < set(dir(pfq.lang))


def test_import_of_everything() -> None:
    names: dict[str, object] = {}
    exec("from pfq.lang import *", names)
    assert set(PRIMS.names()) - {"and", "or", "not", "filter"} <= set(names)
    assert {"and_", "or_", "not_", "filter_", "keep", "key_5tuple", "compile_text", "Program"} <= set(names)
    assert str(names["filter_"](names["is_tcp"])) == "filter is_tcp"  # type: ignore[operator]


def test_no_primitive_hides_a_module_of_the_package() -> None:
    assert not set(PRIMS.names()) & pfq.lang._submodules()


def test_unknown_name() -> None:
    with pytest.raises(AttributeError, match="did you mean `steer_flow`"):
        _ = pfq.lang.steer_flwo
    with pytest.raises(AttributeError):
        _ = pfq.lang.__wrapped__
    with pytest.raises(ImportError):
        exec("from pfq.lang import steer_flwo")


def test_import_is_lazy_and_needs_no_third_party() -> None:
    code = (
        "import sys, pfq.lang; assert 'pfq.lang.prims' not in sys.modules; from pfq.lang import ip; str(ip >> ip);"
        "assert 'pfq.lang.parser' not in sys.modules; import pfq.lang.interp;"
        "assert not {'numpy', 'llvmlite', 'click', 'rich', 'pyroute2'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_equality_and_hash() -> None:
    assert (ip >> tcp) == (ip >> tcp)
    assert ip != tcp
    assert ip != "ip"
    assert {ip >> tcp: 1}[ip >> tcp] == 1
    assert port == pfq.lang.port
    assert str(ip_ttl == 5) == "ip_ttl .== 5"
    assert str(ip_ttl != 5) == "ip_ttl ./= 5"


def test_numbers_and_addresses_of_other_libraries() -> None:
    assert str(port(np.uint16(80))) == "port 80"
    assert str(ip_ttl < np.int64(5)) == "ip_ttl .< 5"
    assert str(addr(ip_address("::1"))) == "addr ::1/128"


def test_lists(table: Table) -> None:
    link, vlan_id, nets = (named(name, table) for name in ("link", "vlan_id", "nets"))
    assert str(link(["eth0", "eth1"])) == 'link ["eth0", "eth1"]'  # type: ignore[operator]
    assert str(vlan_id(range(3))) == "vlan_id [0, 1, 2]"  # type: ignore[operator]
    assert str(nets(("10.0.0.0/8", ip_address("::1")), -1)) == "nets [10.0.0.0/8, ::1/128] (-1)"  # type: ignore[operator]
    with pytest.raises(TypeMismatchError, match="must be a list"):
        link("eth0")  # type: ignore[operator]
    with pytest.raises(TypeMismatchError, match="an item of the argument of `link` must be a text"):
        link(["eth0", 1])  # type: ignore[operator]
    with pytest.raises(RangeError, match="an item of the argument"):
        vlan_id([1 << 40])  # type: ignore[operator]


def test_programs_as_parts() -> None:
    part = compile_text("ip >-> tcp")
    assert str(when(is_tcp, part)) == "when is_tcp (ip >-> tcp)"
    assert str(part.main >> steer_flow) == "ip >-> tcp >-> steer_flow"
    assert str(steer_flow >> part.main.calls[0]) == "steer_flow >-> ip"


def test_to_program() -> None:
    program = compile_text("ip")
    assert to_program(program) is program
    assert to_program(ip) == program
    assert to_program(program.main) == program
    assert to_program("main = ip") == program
    with pytest.raises(UnknownNameError):
        to_program("ipp")
    with pytest.raises(TypeMismatchError, match=r"write `keep\(is_tcp\)`|must be an action"):
        to_program(is_tcp)
    with pytest.raises(TypeMismatchError):
        to_program(5)  # type: ignore[arg-type]


def test_long_alternatives_are_not_deep() -> None:
    predicate = has_port(0)
    for number in range(1, 500):
        predicate = predicate | has_port(number)
    text = " .||. ".join(f"has_port {number}" for number in range(500))
    assert keep(predicate).program() == compile_text(f"filter ({text})")
    assert keep(predicate).term.depth <= 12


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: ip >> is_tcp, TypeMismatchError, "what follows `>>` must be an action, but `is_tcp` is a predicate"),
        (lambda: is_tcp >> ip, TypeMismatchError, "what stands before `>>` must be an action"),
        (lambda: 5 >> ip, TypeMismatchError, "what stands before `>>` must be an action, but 5 is a number"),
        (lambda: ip >> None, TypeMismatchError, "must be an action, but this is None"),
        (lambda: ip >> port, ArityError, "`port` needs 1 argument"),
        (lambda: ip | tcp, TypeMismatchError, "what stands before `|` must be a predicate, but `ip` is an action"),
        (lambda: ~ip, TypeMismatchError, "what follows `~` must be a predicate"),
        (lambda: is_tcp & (ip_ttl), TypeMismatchError, "but `ip_ttl` is a property"),
        (lambda: ip_ttl < 5 & is_tcp, TypeMismatchError, "what stands before `&` must be a predicate, but 5"),
        (lambda: is_tcp < 5, TypeMismatchError, "what stands before `<` must be a property"),
        (lambda: ip_ttl < "5", TypeMismatchError, 'what is compared by `<` must be a number (Word64), but "5"'),
        (lambda: ip_ttl < ip_ttl, TypeMismatchError, "what is compared by `<` must be a number"),
        (lambda: ip_ttl == None, TypeMismatchError, "must be a number (Word64), but this is None"),  # noqa: E711
        (lambda: has_port == 80, ArityError, "`has_port` needs 1 argument"),
        (lambda: ip_ttl > -1, RangeError, "-1 is out of range"),
        (lambda: port(80, 90), ArityError, "`port` needs 1 argument, but 2 are given"),
        (lambda: port(), ArityError, "`port` needs 1 argument, but none is given"),
        (lambda: ip(), ArityError, "`ip` takes no arguments"),
        (lambda: port(70000), RangeError, "70000 is out of range"),
        (lambda: port(True), TypeMismatchError, "True is a truth"),
        (lambda: port("80"), TypeMismatchError, '"80" is a text'),
        (lambda: port(80.0), TypeMismatchError, "this is 80.0"),
        (lambda: addr(10), TypeMismatchError, "must be an address or prefix, but 10 is a number"),
        (lambda: addr("10.0.0.0/33"), LiteralError, "its length must be 0 to 32"),
        (lambda: when(tcp, drop), TypeMismatchError, "argument 1 of `when` must be a predicate, but `tcp`"),
        (lambda: when(is_tcp, has_port), ArityError, "`has_port` needs 1 argument"),
        (lambda: inc(64), RangeError, "there is no counter 64"),
        (lambda: is_tcp.program(), TypeMismatchError, "a program must be an action"),
        (lambda: is_tcp and is_ip, UsageError, "`is_tcp` is true or false only when a packet comes"),
        (lambda: 1 < ip_ttl < 9, UsageError, "`ip_ttl .> 1` is true or false only when a packet comes"),
        (lambda: not is_tcp, UsageError, "Python cannot ask now"),
    ],
)
def test_wrong_use(make: object, error: type[PfqError], message: str) -> None:
    with pytest.raises(PfqError) as caught:
        make()  # type: ignore[operator]
    assert type(caught.value) is error
    assert message in caught.value.message


@pytest.mark.parametrize(
    ("make", "hint"),
    [
        (lambda: when(tcp, drop), "write `is_tcp`"),
        (lambda: ip >> is_tcp, "write `keep(is_tcp)`"),
        (lambda: keep(ip_ttl), "compare it with a number: `ip_ttl < 64`"),
        (lambda: ip_ttl < 5 & is_tcp, "put brackets around comparisons: `(ip_ttl < 5) & is_tcp`"),
        (lambda: ip(), "write it without brackets"),
    ],
)
def test_hints(make: object, hint: str) -> None:
    with pytest.raises(PfqError) as caught:
        make()  # type: ignore[operator]
    assert caught.value.hint == hint


def test_limits() -> None:
    def repeated(step: Callable[[Expression], Expression], count: int) -> None:
        made = ip
        for _ in range(count):
            made = step(made)

    with pytest.raises(TooBigError, match="nests calls"):
        repeated(lambda made: when(is_tcp, made), 200)
    with pytest.raises(TooBigError, match="more than 10000 calls"):
        repeated(lambda made: par(made, made), 60)


def test_trailing_underscore() -> None:
    assert str(or_(is_tcp, is_ip)) == "is_tcp .||. is_ip"
    assert str(pfq.lang.not_(is_tcp)) == "not is_tcp"
    assert str(conditional(is_tcp, mark(1), pfq.lang.unit)) == "conditional is_tcp (mark 1) unit"
