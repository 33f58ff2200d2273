"""Typed programs become LLVM IR, and that becomes machine code of the host or eBPF of the kernel."""

from __future__ import annotations

from typing import Literal, get_args

from pfq.lang.program import Program

Form = Literal["core", "json", "llvm", "bpf", "asm"]
FORMS: tuple[Form, ...] = get_args(Form)
"""What a program can be shown as: typed program, original's JSON, LLVM IR, eBPF object, eBPF assembly."""


def emit(program: Program, form: Form) -> str | bytes:
    """A program in one of its forms; text, but `bpf` is the bytes of an ELF object.

    The kernel forms are those of an XDP program with the default rings, for 64 CPUs.
    """
    match form:
        case "core":
            from pfq.lang.show import show

            return show(program)
        case "json":
            from pfq.lang.jsonform import to_json

            return to_json(program)
        case "llvm" | "bpf" | "asm":
            return _kernel_form(program, form)


def _kernel_form(program: Program, form: Form) -> str | bytes:
    from pfq.codegen.device import Device, Group, compile_device
    from pfq.codegen.memory import RingShape
    from pfq.codegen.spec import Hook

    code = compile_device(Device(Hook.XDP, (Group(0, program),), cpus=64, rings=RingShape(4096, 2048, 2016)))
    match form:
        case "bpf":
            return code.object.elf
        case "asm":
            return code.assembly()
        case _:
            return code.ir
