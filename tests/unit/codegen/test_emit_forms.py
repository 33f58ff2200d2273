"""The forms a program can be shown in."""

from __future__ import annotations

import json
from typing import get_args

import pytest

from pfq.codegen import FORMS, Form, emit
from pfq.lang.compile import compile_text
from pfq.lang.jsonform import from_json

PROGRAM = compile_text(
    """
    web = is_tcp .&&. (has_port 80 .||. has_port 443)

    main = do
        ip
        unless web (mark 7)
        when (ip_ttl .< 5 .||. 1500 <. ip_tot_len) drop
        if has_src_addr 10.1.2.3/8 then steer_flow else par steer_p2p (inv kernel)
    """
)


def test_the_forms() -> None:
    assert FORMS == get_args(Form) == ("core", "json", "llvm", "bpf", "asm")


def test_core() -> None:
    assert emit(PROGRAM, "core") == (
        "ip >-> unless (is_tcp .&&. (has_port 80 .||. has_port 443)) (mark 7) >-> "
        "when (ip_ttl .< 5 .||. ip_tot_len .> 1500) drop >-> "
        "conditional (has_src_addr 10.0.0.0/8) steer_flow (par steer_p2p (inv kernel))"
    )


def test_core_text_compiles_to_the_same_program() -> None:
    core = emit(PROGRAM, "core")
    assert isinstance(core, str)
    assert compile_text(core) == PROGRAM


def test_json() -> None:
    text = emit(PROGRAM, "json")
    assert isinstance(text, str)
    assert [row["funSymbol"] for row in json.loads(text)][:3] == ["ip", "unless", "and"]
    assert from_json(text) == PROGRAM


def test_llvm() -> None:
    text = emit(PROGRAM, "llvm")
    assert isinstance(text, str)
    assert 'target triple = "bpfel"' in text
    functions = [line for line in text.splitlines() if line.startswith("define")]
    assert "i32 @pfq(ptr %ctx)" in functions[0]
    assert "i32 @deliver(ptr %ctx, i32 %endpoint)" in functions[1]
    assert len(functions) == 2


def test_asm() -> None:
    text = emit(PROGRAM, "asm")
    assert isinstance(text, str)
    assert "pfq:" in text
    assert "\tcall deliver\n" in text
    assert "r0 = " in text
    assert "exit" in text


def test_bpf() -> None:
    data = emit(PROGRAM, "bpf")
    assert isinstance(data, bytes)
    assert data[:5] == b"\x7fELF\x02"
    assert int.from_bytes(data[18:20], "little") == 247  # EM_BPF


@pytest.mark.parametrize("form", FORMS)
def test_the_shortest_program_has_every_form(form: Form) -> None:
    assert emit(compile_text("unit"), form)
