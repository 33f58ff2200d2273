"""Two network namespaces joined by a veth pair, which exist only as long as two processes do.

Nobody has to remove them: when this process and the sender have ended, in whatever way, the kernel
takes namespaces and devices away.
"""

from __future__ import annotations

import ctypes
import os
import subprocess

from pfq.errors import MachineError

CLONE_NEWNET = 0x40000000
NEAR, FAR = "pfq0", "pfq1"
MTU = 9000


def enter_new_namespace() -> None:
    """Moves this thread, and all it starts from now on, into a network namespace of its own."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET) != 0:
        why = os.strerror(ctypes.get_errno())
        raise MachineError(f"cannot make a network namespace: {why}", hint="run as root")


def ip(*words: str) -> None:
    """Runs iproute2's `ip` in the current namespace."""
    try:
        subprocess.run(["ip", *words], check=True, capture_output=True, text=True)
    except FileNotFoundError:
        raise MachineError("the command `ip` is missing", hint="install the package iproute2") from None
    except subprocess.CalledProcessError as error:
        raise MachineError(f"`ip {' '.join(words)}` failed: {error.stderr.strip()}") from None


def quiet() -> None:
    """Keeps IPv6 from sending packets of its own on devices made later in this namespace."""
    for scope in ("all", "default"):
        with open(f"/proc/sys/net/ipv6/conf/{scope}/disable_ipv6", "w") as setting:
            setting.write("1")


def join(sender: int) -> None:
    """Makes the veth pair; the far end goes to the namespace of process `sender`."""
    ip("link", "add", NEAR, "mtu", str(MTU), "type", "veth", "peer", "name", FAR, "mtu", str(MTU), "netns", str(sender))
    ip("link", "set", NEAR, "up")
