"""D5: programs of others on the device. Ours never takes the place of one, and says whose it is."""

from __future__ import annotations

import pytest
from root.capture.harness import flow_frame, opened, send, settled
from root.kernel.counted import TC_NEXT, XDP_PASS, Counted
from root.left import left_since, snapshot
from root.network import Pair

from pfq.codegen.spec import Hook
from pfq.engine.hooks import HookChoice
from pfq.errors import AttachConflictError, UsageError
from pfq.kernel import devices, features
from pfq.kernel.attach import TcxLink, XdpLink
from pfq.kernel.devices import XdpMode
from pfq.kernel.netlink import Netlink

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("nothing_left")]
