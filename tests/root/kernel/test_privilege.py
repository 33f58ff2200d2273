"""U17: without the privilege everything says so in one line; with root's uid alone given up, too."""

from __future__ import annotations

import subprocess
import sys as python

import pytest

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("nothing_left")]

NOBODY = 65534

CHILD = """
import os, sys
sys.path[:0] = {path!r}
from unit.kernel.llvm import returning
from pfq.codegen.spec import *
from pfq.errors import NoPrivilegeError
from pfq.kernel import features, privilege, sys as bpf
from pfq.kernel.maps import Map
from pfq.kernel.programs import load
elf = returning(2)
os.setuid({uid})
for action in (
    lambda: Map.create(MapSpec("m", MapType.ARRAY, 4, 8, 1)),
    lambda: load(ObjectSpec(elf, "entry", Hook.XDP, ()), {{}}, "p"),
    lambda: list(bpf.ids(bpf.Kind.MAP)),
    lambda: features.require("xdp_frags"),
    privilege.require_privilege,
):
    try:
        action()
        print("no error")
    except NoPrivilegeError as error:
        print(error.message)
"""


def test_U17_what_an_unprivileged_process_is_told() -> None:
    code = CHILD.format(path=python.path, uid=NOBODY)
    done = subprocess.run([python.executable, "-c", code], text=True, capture_output=True, check=True)
    why = "this process lacks CAP_BPF and CAP_NET_ADMIN"
    assert done.stdout.splitlines() == [
        f"creating the map `m` (1 x 8 bytes) needs the right to use eBPF: {why}",
        f"loading the program `p` needs the right to use eBPF: {why}",
        f"listing every BPF map needs the right to use eBPF: {why}",
        f"eBPF is not allowed here: {why}",
        f"eBPF is not allowed here: {why}",
    ]
