"""May this process use eBPF?"""

from __future__ import annotations

from pfq.errors import NoPrivilegeError

CAPABILITIES = {"CAP_NET_ADMIN": 12, "CAP_NET_RAW": 13, "CAP_SYS_ADMIN": 21, "CAP_PERFMON": 38, "CAP_BPF": 39}

NEEDED = ("CAP_BPF", "CAP_NET_ADMIN", "CAP_PERFMON")
"""Without CAP_PERFMON the verifier lets no program compute with packet pointers, and ours all do."""

HINT = "run as root, or give the process " + ", ".join(NEEDED)


def effective_capabilities() -> frozenset[str]:
    """Those of `CAPABILITIES` that this thread has."""
    with open("/proc/thread-self/status") as status:
        line = next(line for line in status if line.startswith("CapEff:"))
    mask = int(line.split()[1], 16)
    return frozenset(name for name, bit in CAPABILITIES.items() if mask >> bit & 1)


def missing_privilege() -> str | None:
    """Why this process may not load eBPF programs and attach them, in a few words; None when it may.

    CAP_SYS_ADMIN stands for CAP_BPF and CAP_PERFMON, as in the kernel. Capabilities of a user namespace look the
    same as real ones here; there the kernel's own refusal is the answer.
    """
    has = effective_capabilities()
    if "CAP_SYS_ADMIN" in has:
        has |= {"CAP_BPF", "CAP_PERFMON"}
    missing = [name for name in NEEDED if name not in has]
    return f"this process lacks {', '.join(missing)}" if missing else None


def require_privilege() -> None:
    """Raises NoPrivilegeError when this process may not use eBPF."""
    if why := missing_privilege():
        raise NoPrivilegeError(f"eBPF is not allowed here: {why}", hint=HINT)
