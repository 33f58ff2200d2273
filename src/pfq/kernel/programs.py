"""Loads compiled programs and runs them on test frames."""

from __future__ import annotations

import errno
import struct
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Final, Self

from pfq.codegen.spec import Hook, MapSpec, MapType, ObjectSpec
from pfq.errors import InternalError, PfqError
from pfq.kernel import abi, elf, loops, sys, verifier
from pfq.kernel.abi import AttachType, ProgramType
from pfq.kernel.maps import Map
from pfq.kernel.pool import Part
from pfq.kernel.sys import TestRun

_LD_IMM64 = struct.Struct("<BBhiBBhi")


_LONG_S: Final = 0.1
_WAITER = MapSpec("pfq_wait", MapType.ARRAY, 4, 4, 1)
_WAITING_ROOM = MapSpec("pfq_wait", MapType.ARRAY_OF_MAPS, 4, 4, 1, inner=_WAITER)


class Program:
    """A loaded program, owned through its descriptor; attachments keep it alive by themselves."""

    def __init__(self, name: str, hook: Hook, attach_type: AttachType, frags: bool, fd: sys.Fd) -> None:
        self.name = name
        self.hook = hook
        self.attach_type = attach_type
        self.frags = frags
        self._fd = fd

    @property
    def fd(self) -> int:
        """The descriptor's number; raises ValueError once closed."""
        return self._fd.fileno()

    def info(self) -> abi.ProgramInfo:
        """What the kernel tells about it: id, tag, name, `verified_insns` (the verifier's work)."""
        return sys.info(self.fd, abi.ProgramInfo)

    @property
    def id(self) -> int:
        """The number the kernel lists the program under."""
        return int(self.info().id)

    def test_run(
        self,
        data: bytes,
        repeat: int = 1,
        live: bool = False,
        *,
        ifindex: int = 0,
        queue: int = 0,
        ctx: bytes = b"",
        batch: int = 0,
        cpu: int = 0,
    ) -> TestRun:
        """Runs the program on a frame of at least 14 bytes, `repeat` times, without any device.

        live     XDP only: the frames really pass, drop or are redirected; nothing is given back
        ifindex  XDP only: the frame came in on this device of the current network namespace, which must be up
        queue    XDP only: and on this receive queue of it
        ctx      TC only: a struct __sk_buff to start from (mark, ifindex and few others may be set)
        batch    live frames that are sent at once, at most 256; 0 is the kernel's default (64)
        """
        flags = abi.F_TEST_XDP_LIVE_FRAMES if live else 0
        if ifindex:
            ctx = xdp_context(len(data), ifindex, queue)
        return sys.prog_test_run(self.fd, data, ctx=ctx, repeat=repeat, flags=flags, batch=batch, cpu=cpu)

    def close(self) -> None:
        """Gives the descriptor back; again is harmless."""
        self._fd.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Program {self.name} ({self.hook.value})>"


def wait_for_running_programs() -> None:
    """Returns when no CPU runs a program any more that was detached or replaced before the call.

    Detaching only keeps new packets away; one that is being handled may still be written to a ring.
    """
    # The kernel promises this for every change of a map of maps. membarrier(2) would do too, but not
    # on machines with `nohz_full`, which are set up for captures like ours.
    try:
        with Map.create(_WAITING_ROOM) as maps, Map.create(_WAITER) as any_map:
            maps.set_inner(0, any_map)
    except PfqError:
        # Whoever waits gives memory back, and must be able to. No program takes that long.
        time.sleep(_LONG_S)


def xdp_context(frame_bytes: int, ifindex: int, queue: int = 0) -> bytes:
    """struct xdp_md of a frame that came in on a device."""
    return struct.pack("=6I", 0, frame_bytes, 0, ifindex, queue, 0)


def load(spec: ObjectSpec, maps: Mapping[str, Map | Part], name: str, *, tcx: bool = True) -> Program:
    """Loads a compiled program; raises VerifierError with the place in the user's program when refused.

    maps  every map the code refers to, by name, or the part of one
    name  what the kernel lists it under, at most 15 characters
    tcx   a program of a TC hook is meant for a tcx link; False for a clsact filter
    """
    image = loops.closed(elf.link(spec.elf, spec.entry))
    type, attach_type = _types(spec.hook, tcx)
    result = sys.prog_load(
        type,
        attach_type,
        _with_maps(image, spec, maps),
        name=name,
        flags=abi.F_XDP_HAS_FRAGS if spec.frags and spec.hook is Hook.XDP else 0,
        debug=sys.DebugInfo(image.btf, image.func_info, image.line_info) if image.btf else None,
    )
    if result.fd is None:
        if not result.log and result.errno != errno.E2BIG:  # refused before the verifier looked at it
            raise sys.refusal(f"loading the program `{name}`", result.errno)
        raise verifier.explain(result.log, result.errno, image, spec.places)
    return Program(name, spec.hook, attach_type, spec.frags and spec.hook is Hook.XDP, result.fd)


def _types(hook: Hook, tcx: bool) -> tuple[ProgramType, AttachType]:
    # The attach type is part of a program's identity: since 6.18 a link refuses to be updated to a
    # program that was loaded for another one, or for none.
    if hook is Hook.XDP:
        return ProgramType.XDP, AttachType.XDP
    if not tcx:
        return ProgramType.SCHED_CLS, AttachType.NONE
    return ProgramType.SCHED_CLS, AttachType.TCX_INGRESS if hook is Hook.TC_INGRESS else AttachType.TCX_EGRESS


def _with_maps(image: elf.Image, spec: ObjectSpec, maps: Mapping[str, Map | Part]) -> bytes:
    direct = {map_spec.name: map_spec.direct for map_spec in spec.maps}
    insns = bytearray(image.insns)
    for reference in image.map_references:
        if reference.name not in maps or reference.name not in direct:
            raise InternalError(f"the compiled program refers to a map `{reference.name}` that is not given")
        at = reference.insn * abi.INSN_BYTES
        first, registers, *_ = _LD_IMM64.unpack_from(insns, at)
        found = maps[reference.name]
        kind, offset = abi.PSEUDO_MAP_FD, 0
        if direct[reference.name]:
            kind, offset = abi.PSEUDO_MAP_VALUE, reference.offset + found.offset
        fd = found.fd
        _LD_IMM64.pack_into(insns, at, first, registers & 0x0F | kind << 4, 0, fd, 0, 0, 0, offset)
    return bytes(insns)
