from __future__ import annotations

import socket

from pfq.kernel.xdp_support import XdpSupport, xdp_support


def test_loopback_has_no_native_xdp() -> None:
    support = xdp_support()
    assert support is None or support[socket.if_nametoindex("lo")] == XdpSupport(0)
