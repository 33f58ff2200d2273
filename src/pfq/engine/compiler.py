"""What turns programs into code: in this process, or wherever a daemon wants it done."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any, Protocol

from pfq.codegen.device import Device as DeviceSpec
from pfq.codegen.device import DeviceCode, compile_device
from pfq.codegen.spec import Hook
from pfq.lang import to_program
from pfq.lang.berkeley import BerkeleyFilter
from pfq.lang.program import Program

KEPT_CODES = 32

FilterLike = str | Sequence[Sequence[int]] | BerkeleyFilter
"""A filter as users give it: an expression, or instructions of classic BPF."""


class Compiler(Protocol):
    """Compiles for an engine, which asks without holding its lock. Any thread may ask.

    Equal descriptions are asked for again and again, so it keeps what it made.
    """

    def compile(self, spec: DeviceSpec) -> DeviceCode:
        """The program of a device; raises ProgramError when it cannot be expressed."""

    def typed(self, program: Any) -> Program:
        """The program that a text, a Python expression or None (copies to all) stands for; raises ProgramError."""

    def filter(self, filter: FilterLike | None) -> BerkeleyFilter | None:
        """The filter that a text or instructions stand for; raises LiteralError, TooBigError, UsageError."""


class LocalCompiler:
    """Compiles in this process. Programs that are alike share their code, whatever engine asks."""

    def compile(self, spec: DeviceSpec) -> DeviceCode:
        """See `Compiler.compile`."""
        return compiled(spec)

    def typed(self, program: Any) -> Program:
        """See `Compiler.typed`."""
        typed: Program = to_program("unit" if program is None else program)
        return typed

    def filter(self, filter: FilterLike | None) -> BerkeleyFilter | None:
        """See `Compiler.filter`."""
        return None if filter is None else BerkeleyFilter.of(filter)


@lru_cache(maxsize=KEPT_CODES)
def compiled(spec: DeviceSpec) -> DeviceCode:
    """The program of a device. Compiling takes tens of milliseconds, so captures that are alike share it."""
    return compile_device(spec)


class UncompiledError(Exception):
    """A change of the engine needs code that is not there yet; no user sees it."""

    def __init__(self, specs: Sequence[DeviceSpec]) -> None:
        super().__init__(f"{len(specs)} programs are to be compiled")
        self.specs = specs


class Codes:
    """The code that one change of the engine needs.

    The change is tried under the engine's lock. What is missing then is compiled without the lock, and the change
    is tried again: so others never wait for a compiler, and a plan that is not valid any more is never carried out.

    seconds  that compiling took
    """

    def __init__(self, compiler: Compiler) -> None:
        self._compiler = compiler
        self._known: dict[DeviceSpec, DeviceCode] = {}
        self.seconds = 0.0

    def get(self, spec: DeviceSpec) -> DeviceCode:
        """The code; raises UncompiledError when it is not there."""
        self.need([spec])
        return self._known[_plain(spec)]

    def need(self, specs: Sequence[DeviceSpec]) -> None:
        """Raises UncompiledError when some of these are not there."""
        if missing := [plain for spec in specs if (plain := _plain(spec)) not in self._known]:
            raise UncompiledError(missing)

    def compile(self, needed: UncompiledError) -> None:
        """Compiles what is missing."""
        started = time.perf_counter()
        for spec in needed.specs:
            self._known[spec] = self._compiler.compile(spec)
        self.seconds += time.perf_counter() - started


def _plain(spec: DeviceSpec) -> DeviceSpec:
    """`linear` matters at XDP only."""
    return replace(spec, linear=spec.linear and spec.hook is Hook.XDP)


class CodesAtOnce(Codes):
    """Compiles what is asked for, where no engine does so beforehand."""

    def __init__(self) -> None:
        super().__init__(LocalCompiler())

    def get(self, spec: DeviceSpec) -> DeviceCode:
        try:
            return super().get(spec)
        except UncompiledError as needed:
            self.compile(needed)
            return super().get(spec)
