"""U17: without the privilege everything says so in one line; with root's uid alone given up, too."""

from __future__ import annotations

import pytest
from root.network import Namespace

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("nothing_left")]

NOBODY = 65534

CHILD = """
import os
from unit.kernel.llvm import returning
from pfq.codegen.spec import *
from pfq.errors import NoPrivilegeError
from pfq.kernel import features, privilege, sys
from pfq.kernel.maps import Map
from pfq.kernel.programs import load
elf = returning(2)
os.setuid({uid})
for action in (
    lambda: Map.create(MapSpec("m", MapType.ARRAY, 4, 8, 1)),
    lambda: load(ObjectSpec(elf, "entry", Hook.XDP, ()), {{}}, "p"),
    lambda: list(sys.ids(sys.Kind.MAP)),
    lambda: features.require("xdp_frags"),
    privilege.require_privilege,
):
    try:
        action()
        print("no error")
    except NoPrivilegeError as error:
        print(error.message)
"""


def test_U17_what_an_unprivileged_process_is_told(netns: Namespace) -> None:
    with netns.python(CHILD.format(uid=NOBODY)) as child:
        assert child.stdout is not None
        said = child.stdout.read().splitlines()
    why = "this process lacks CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON"
    assert said == [
        f"creating the map `m` (1 x 8 bytes) needs the right to use eBPF: {why}",
        f"loading the program `p` needs the right to use eBPF: {why}",
        f"listing every BPF map needs the right to use eBPF: {why}",
        f"eBPF is not allowed here: {why}",
        f"eBPF is not allowed here: {why}",
    ]
