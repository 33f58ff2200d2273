"""What the running kernel can do: a table of claims, each with a probe.

The claims are tested: a feature that is missing although the kernel is newer than `since` fails a test.
"""

from __future__ import annotations

import errno
import platform
import re
import socket
import struct
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType

from pfq.codegen.spec import MMAPABLE, MapSpec, MapType
from pfq.errors import KernelTooOldError, PfqError
from pfq.kernel import abi, sys
from pfq.kernel.abi import AttachType, ProgramType
from pfq.kernel.maps import Map
from pfq.kernel.privilege import missing_privilege, require_privilege

MINIMUM = (6, 1)

Version = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Feature:
    """One thing a kernel may be able to do.

    since   first mainline version that has it; distributions sometimes have it earlier
    needed  what PFQ uses it for
    remedy  what to do without it
    probe   None when it is there, else why not, in a few words
    """

    name: str
    since: Version
    needed: str
    remedy: str
    probe: Callable[[], str | None]


def release() -> str:
    """The running kernel's name for itself, as `uname -r`."""
    return platform.release()


def kernel_version() -> Version:
    """(major, minor) of the running kernel."""
    found = re.match(r"(\d+)\.(\d+)", release())
    return (int(found[1]), int(found[2])) if found else (0, 0)


@cache
def missing(name: str) -> str | None:
    """Why the feature is not there, in a few words; None when it is. Asked once for a process."""
    return FEATURES[name].probe()


def available(name: str) -> bool:
    """Whether the feature is there."""
    return missing(name) is None


def require(name: str) -> None:
    """Raises KernelTooOldError, with the version that has it and the remedy, when the feature is not there.

    NoPrivilegeError when this process may not even ask.
    """
    if (why := missing(name)) is None:
        return
    require_privilege()  # or every probe fails, and the kernel is not to blame
    feature = FEATURES[name]
    major, minor = feature.since
    raise KernelTooOldError(
        f"{feature.needed} needs the kernel feature `{name}` (Linux {major}.{minor}), "
        f"which this kernel ({release()}) lacks: {why}",
        hint=feature.remedy,
    )


def check_kernel() -> None:
    """Raises KernelTooOldError when the kernel is older than PFQ supports."""
    if kernel_version() < MINIMUM:
        raise KernelTooOldError(
            f"PFQ needs Linux {MINIMUM[0]}.{MINIMUM[1]} or newer; this is {release()}",
            hint="use a newer kernel; capture files can be read on any",
        )


# Probes. Each asks the kernel to do the thing, on a small scale, and undoes it.

_EXIT = struct.pack("<BBhi", 0x95, 0, 0, 0)
_XDP_DROP, _XDP_PASS = 1, 2
_XDP_NATIVE = 1 << 2
_NO_DEVICE = 0x7FFFFFFF


def _mov(register: int, value: int) -> bytes:
    return struct.pack("<BBhi", 0xB7, register, 0, value)


def _call(helper: int) -> bytes:
    return struct.pack("<BBhi", abi.OP_CALL, 0, 0, helper)


_RETURN_0 = _mov(0, 0) + _EXIT


def _loads(
    insns: bytes, type: ProgramType = ProgramType.XDP, attach: AttachType = AttachType.XDP, flags: int = 0
) -> str | None:
    result = sys.prog_load(type, attach, insns, name="pfq_probe", flags=flags)
    if result.fd is None:
        last = next((line for line in result.log.splitlines() if line and not line[0].isdigit()), "")
        return f"loading fails with {errno.errorcode.get(result.errno, result.errno)}" + (last and f" ({last})")
    result.fd.close()
    return None


def _works(action: Callable[[ExitStack], object]) -> str | None:
    try:
        with ExitStack() as stack:
            action(stack)
    except PfqError as error:
        return error.message
    return None


def _array(**changes: object) -> MapSpec:
    fields = {"name": "pfq_probe", "type": MapType.ARRAY, "key_bytes": 4, "value_bytes": 8, "entries": 1}
    return MapSpec(**(fields | changes))  # type: ignore[arg-type]


def _creates(**changes: object) -> str | None:
    return _works(lambda stack: stack.enter_context(Map.create(_array(**changes))))


def _program(stack: ExitStack, attach: AttachType, insns: bytes = _RETURN_0) -> sys.Fd:
    type = ProgramType.XDP if attach is AttachType.XDP else ProgramType.SCHED_CLS
    result = sys.prog_load(type, attach, insns, name="pfq_probe")
    if result.fd is None:
        raise sys.refusal("loading a program", result.errno)
    return stack.enter_context(result.fd)


def _link_known(attach: AttachType, ifindex: int, flags: int) -> str | None:
    """A link that cannot be: a kernel that does not know this kind says EINVAL, the others name the reason."""

    def try_it(stack: ExitStack) -> None:
        program = _program(stack, attach, _mov(0, _XDP_PASS) + _EXIT)
        try:
            stack.enter_context(sys.link_create(program.fileno(), ifindex, attach, flags, "creating such a link"))
        except PfqError as error:
            if sys.errno_of(error) == errno.EINVAL:
                raise

    return _works(try_it)


def _xdp_link() -> str | None:
    """`lo` has no native XDP."""
    return _link_known(AttachType.XDP, socket.if_nametoindex("lo"), _XDP_NATIVE)


def _tcx_link() -> str | None:
    return _link_known(AttachType.TCX_INGRESS, _NO_DEVICE, 0)


def _helper(number: int) -> str | None:
    """Whether the kernel complains about the call itself; wrong arguments do not matter."""
    result = sys.prog_load(ProgramType.XDP, AttachType.XDP, _call(number) + _RETURN_0, name="pfq_probe")
    if result.fd is not None:
        result.fd.close()
        return None
    unknown = re.search(r"(invalid|unknown) func.*|.*cannot use helper.*|helper call is not allowed.*", result.log)
    return unknown[0] if unknown else None


def _bpf_syscall() -> str | None:
    return missing_privilege() or _loads(_RETURN_0)


def _map_freeze() -> str | None:
    def try_it(stack: ExitStack) -> None:
        stack.enter_context(Map.create(_array(flags=MMAPABLE))).freeze()

    return _works(try_it)


def _live_frames() -> str | None:
    def try_it(stack: ExitStack) -> None:
        drop = _program(stack, AttachType.XDP, _mov(0, _XDP_DROP) + _EXIT)
        sys.prog_test_run(drop.fileno(), bytes(64), repeat=1, flags=abi.F_TEST_XDP_LIVE_FRAMES)

    return _works(try_it)


def _bounded_loops() -> str | None:
    add = struct.pack("<BBhi", 0x07, 1, 0, 1)
    back = struct.pack("<BBhi", 0xA5, 1, -2, 10)  # if r1 < 10 go back to the addition
    return _loads(_mov(0, 0) + _mov(1, 0) + add + back + _EXIT)


def _btf_func() -> str | None:
    """A type table with a function of linkage GLOBAL; before 5.6 the linkage had to be 0."""
    strings = b"\0int\0f\0"
    number = struct.pack("<3I", 1, 1 << 24, 4) + struct.pack("<I", 0x01000020)
    prototype = struct.pack("<3I", 0, 13 << 24, 1)
    function = struct.pack("<3I", 5, 12 << 24 | 1, 2)
    types = number + prototype + function
    header = struct.pack("<HBBIIIII", 0xEB9F, 1, 0, 24, 0, len(types), len(types), len(strings))
    return _works(lambda stack: stack.enter_context(sys.btf_load(header + types + strings)))


def _af_xdp() -> str | None:
    try:
        socket.socket(44, socket.SOCK_RAW, 0).close()
    except OSError as error:
        return f"socket(AF_XDP) fails: {error.strerror}"
    return None


def _vmlinux_btf() -> str | None:
    return None if Path("/sys/kernel/btf/vmlinux").exists() else "there is no /sys/kernel/btf/vmlinux"


def _jit() -> str | None:
    try:
        on = Path("/proc/sys/net/core/bpf_jit_enable").read_text().strip()
    except OSError:
        return "the kernel has no switch for it, so it has no compiler for eBPF"
    return None if on != "0" else "net.core.bpf_jit_enable is 0"


def _table(*features: Feature) -> Mapping[str, Feature]:
    return MappingProxyType({feature.name: feature for feature in features})


_NEWER = "use a newer kernel"
_FILES_ONLY = "read capture files instead (-r FILE)"

FEATURES = _table(
    Feature("bpf", (4, 4), "everything in the kernel", "run as root; " + _FILES_ONLY, _bpf_syscall),
    Feature("array_of_maps", (4, 12), "rings", _NEWER,
            lambda: _creates(type=MapType.ARRAY_OF_MAPS, value_bytes=4, inner=_array())),
    Feature("map_freeze", (5, 2), "rings that readers cannot damage", _NEWER, _map_freeze),
    Feature("bounded_loops", (5, 3), "compiled programs", _NEWER, _bounded_loops),
    Feature("mmapable_arrays", (5, 5), "rings", _NEWER, lambda: _creates(flags=MMAPABLE)),
    Feature("global_functions", (5, 6), "many groups on one device", _NEWER, _btf_func),
    Feature("bpf_ringbuf", (5, 8), "readers that sleep until packets come", _NEWER,
            lambda: _creates(type=MapType.RINGBUF, key_bytes=0, value_bytes=0, entries=4096)),
    Feature("xdp_link", (5, 9), "the XDP hook", "capture on the TC hook", _xdp_link),
    Feature("ktime_coarse", (5, 11), "the clock `coarse`", "choose the clock `ns` or `none`",
            lambda: _helper(160)),
    Feature("bpf_loop", (5, 17), "loops over many end-points", _NEWER, lambda: _helper(181)),
    Feature("xdp_frags", (5, 18), "XDP on devices with an MTU over 3500", "lower the MTU, or use the generic mode",
            lambda: _loads(_RETURN_0, flags=abi.F_XDP_HAS_FRAGS)),
    Feature("live_frames", (5, 18), "transmission by test runs", "transmit through AF_XDP or AF_PACKET", _live_frames),
    Feature("ktime_tai", (6, 1), "time stamps that follow the clock of the day", _NEWER,
            lambda: _helper(208)),
    Feature("tcx", (6, 6), "TC programs on links of their own", "the older clsact filter does the same",
            _tcx_link),
    Feature("af_xdp", (4, 18), "readers that take a whole queue", "use shared rings", _af_xdp),
    Feature("btf", (5, 4), "type information of the kernel", "a kernel with CONFIG_DEBUG_INFO_BTF", _vmlinux_btf),
    Feature("jit", (4, 4), "speed", "sysctl net.core.bpf_jit_enable=1", _jit),
)  # fmt: skip


def features() -> Iterator[tuple[Feature, str | None]]:
    """Every feature with why it is missing; None for those that are there."""
    for name, feature in FEATURES.items():
        yield feature, missing(name)
