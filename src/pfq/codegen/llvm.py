"""LLVM in this process: targets, optimisation, and the few types that generated code uses."""

from __future__ import annotations

import weakref
from functools import cache
from typing import Final

import llvmlite.binding as binding
from llvmlite import ir
from llvmlite.binding.newpassmanagers import NewPassManager

I1: Final = ir.IntType(1)
I8: Final = ir.IntType(8)
I16: Final = ir.IntType(16)
I32: Final = ir.IntType(32)
I64: Final = ir.IntType(64)
PTR: Final = ir.PointerType()

BPF_TRIPLE: Final = "bpfel"
BPF_CPU: Final = "v3"


@cache
def bpf_machine() -> binding.TargetMachine:
    """The kernel's target; -mcpu=v3 has 32-bit operations and all signed jumps (kernel 5.1)."""
    # Over 512 bytes of stack LLVM would end the process; let the verifier say it instead.
    binding.set_option("pfq", f"-bpf-stack-size={1 << 20}")
    binding.set_option("pfq", "-simplifycfg-branch-fold-threshold=0")
    binding.initialize_all_targets()
    binding.initialize_all_asmprinters()
    return binding.Target.from_triple(BPF_TRIPLE).create_target_machine(cpu=BPF_CPU, opt=2)


def host_machine() -> binding.TargetMachine:
    """This machine, with all the features of its processor; a new one, for a JIT takes it over."""
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    target = binding.Target.from_default_triple()
    return target.create_target_machine(
        cpu=binding.get_host_cpu_name(), features=binding.get_host_cpu_features().flatten(), opt=2, jit=True
    )


def new_module(name: str, machine: binding.TargetMachine) -> ir.Module:
    """An empty module with the triple and the data layout of its target.

    Without the data layout LLVM splits every load into bytes.
    """
    module = ir.Module(name=name)
    module.triple = machine.triple
    module.data_layout = str(machine.target_data)
    return module


def stack_slot(b: ir.IRBuilder, kind: ir.Type) -> ir.Value:
    """Memory of the function, as a pointer without element type like all others here."""
    slot = b.alloca(kind)
    slot.type = PTR
    return slot


def parsed(text: str) -> binding.ModuleRef:
    """A module from its text, checked."""
    # In a context of its own: LLVM never forgets the types and constants of its global one.
    context = binding.create_context()
    module = binding.parse_assembly(text, context)
    # Python's collector frees what is in a cycle in any order, and a context freed before its module ends the
    # process. What is held from outside is freed last.
    weakref.finalize(module, id, context).atexit = False
    module.verify()
    return module


def optimised(module: ir.Module, machine: binding.TargetMachine, level: int = 2) -> binding.ModuleRef:
    """The module, parsed, checked and optimised for its target."""
    result = parsed(str(module))
    options = binding.create_pipeline_tuning_options(speed_level=level)
    options.loop_vectorization = options.slp_vectorization = options.loop_unrolling = False
    passes = binding.create_pass_builder(machine, options)
    manager = passes.getModulePassManager()
    manager.run(result, passes)
    # By itself llvmlite 0.50 never frees it: the class inherits a `_dispose` that does nothing first.
    NewPassManager._dispose(manager)
    manager.detach()
    return result
