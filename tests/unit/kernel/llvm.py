"""Compiles small LLVM modules for the tests of the kernel layer."""

from __future__ import annotations

from functools import cache
from typing import Any

from llvmlite import binding

TRIPLE = "bpfel"
LAYOUT = "e-m:e-p:64:64-i64:64-i128:128-n32:64-S128"


@cache
def _machine() -> Any:
    binding.initialize_all_targets()
    binding.initialize_all_asmprinters()
    return binding.Target.from_triple(TRIPLE).create_target_machine(cpu="v3", opt=2)


def compile_ir(text: str) -> bytes:
    """A relocatable object of LLVM text that has no triple or data layout of its own."""
    module = binding.parse_assembly(f'target datalayout = "{LAYOUT}"\ntarget triple = "{TRIPLE}"\n{text}')
    module.verify()
    return bytes(_machine().emit_object(module))


def returning(code: int, counter: str = "") -> bytes:
    """A program `entry` that returns `code`; it counts its runs in the first word of the map `counter`."""
    count = f"""
      %old = load i64, ptr @{counter}
      %new = add i64 %old, 1
      store i64 %new, ptr @{counter}"""
    return compile_ir(f"""
    {f"@{counter} = external global i64" if counter else ""}
    define i32 @entry(ptr %ctx) section "code" {{
      {count if counter else ""}
      ret i32 {code}
    }}""")
