"""Rows R2, R4, R5 and R7 of the catalogue of reliability: nothing grows, and what cannot be had is a sentence."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from root.daemon.process import Pfqd, group, pfqd_of
from root.network import Pair, eventually

from pfq.errors import LimitError

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("nothing_left")]

ROUNDS = 25
GROWTH_BYTES = 2 << 20
MEMORY = Path("/sys/fs/cgroup/memory")


@pytest.fixture
def daemon(netns_pair: Pair) -> Iterator[Pfqd]:
    with pfqd_of(netns_pair) as made:
        made.configure(group(3, "unit", (netns_pair.dev_b,)), daemon="")
        made.start()
        yield made


def descriptors(daemon: Pfqd) -> int:
    assert daemon.process is not None
    return len(os.listdir(f"/proc/{daemon.process.pid}/fd"))


def resident(daemon: Pfqd) -> int:
    assert daemon.process is not None
    return int(Path(f"/proc/{daemon.process.pid}/statm").read_text().split()[1]) * resource.getpagesize()


@pytest.mark.slow
def test_R2_clients_come_and_go(daemon: Pfqd) -> None:
    def round(number: int) -> None:
        client = daemon.client()
        end_point = client.call("endpoint.open", slots=8)["endpoint"]
        client.call("group.join", endpoint=end_point, group=3)
        if number % 3 == 0:
            client.call("group.leave", endpoint=end_point, group=3)
        if number % 3 == 1:
            client.call("endpoint.close", endpoint=end_point)
        client.close()
        daemon.clients.remove(client)

    def rest() -> bool:
        return daemon.ask("status")["clients"] == 1

    for number in range(10):
        round(number)
    assert eventually(rest, 10.0)
    before, used = descriptors(daemon), resident(daemon)
    for number in range(ROUNDS):
        round(number)
    assert eventually(rest, 10.0)
    assert eventually(lambda: descriptors(daemon) <= before, 10.0)
    assert resident(daemon) - used < GROWTH_BYTES
    assert daemon.ask("list")["endpoints"] == []


@pytest.mark.slow
def test_R2_programs_come_and_go(daemon: Pfqd) -> None:
    """Each is another one, so that it is compiled, loaded, and given back; what LLVM keeps of it is not kept here."""
    client = daemon.client()
    number = client.call("endpoint.open", slots=8)["endpoint"]
    client.call("group.join", endpoint=number, group=3)
    client.call("group.set_program", group=3, text="inc 63")
    before = descriptors(daemon)
    for turn in range(15):
        client.call("group.set_program", group=3, text=f"inc {turn} >-> when (has_port {turn}) drop")
    assert eventually(lambda: descriptors(daemon) <= before, 10.0)
    client.close()


def test_R4_descriptors_run_out(daemon: Pfqd) -> None:
    """At its limit the daemon says so, to the one who asked for too much, and goes on."""
    assert daemon.process is not None
    client = daemon.client()
    first = client.call("endpoint.open", slots=8)["endpoint"]
    _, hard = resource.prlimit(daemon.process.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(daemon.process.pid, resource.RLIMIT_NOFILE, (descriptors(daemon) + 2, hard))
    refused = client.refused("endpoint.open", slots=8)
    assert isinstance(refused, LimitError)
    assert "ulimit -n" in str(refused.hint)
    resource.prlimit(daemon.process.pid, resource.RLIMIT_NOFILE, (hard, hard))
    assert client.call("endpoint.open", slots=8)["endpoint"] == first + 1
    client.close()


@contextmanager
def limited(pid: int, size: int) -> Iterator[None]:
    """A process that may not use more memory, the kernel's for it included."""
    folder = MEMORY / f"pfqt{os.getpid()}"
    folder.mkdir()
    home = next(
        line.split(":")[2] for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines() if ":memory:" in line
    )
    try:
        (folder / "memory.limit_in_bytes").write_text(str(size))
        (folder / "cgroup.procs").write_text(str(pid))
        yield
    finally:
        (MEMORY / home.strip("/") / "cgroup.procs").write_text(str(pid))
        folder.rmdir()


@pytest.mark.skipif(not (MEMORY / "memory.limit_in_bytes").exists(), reason="no memory control group of version 1")
def test_R5_rings_that_do_not_fit_into_the_memory(daemon: Pfqd) -> None:
    assert daemon.process is not None
    client = daemon.client()
    with limited(daemon.process.pid, 64 << 20):
        refused = client.refused("endpoint.open", slots=1 << 17, snaplen=400)
        assert isinstance(refused, LimitError)
        assert "ENOMEM" in refused.message
        assert "fewer or smaller rings" in str(refused.hint)
        number = client.call("endpoint.open", slots=16)["endpoint"]
        client.call("group.join", endpoint=number, group=3)
        client.close()
        assert eventually(lambda: daemon.ask("list")["endpoints"] == [], 5.0)


SWEEP = """
import ctypes, errno, gc, itertools, json, os, socket, sys
sys.path[:0] = json.loads(sys.argv[2])
from pfq.engine.engine import Engine
from pfq.errors import PfqError
from pfq.kernel import sys as calls

class Injected(Exception): pass
state = {"left": -1, "hit": False}
bpf, plain = calls._bpf, socket.socket
def failing():
    state["left"] -= 1
    if state["left"] == 0:
        state["hit"] = True
        return True
    return False
def injected_bpf(command, attr):
    # A link that exists takes another program of its kind, whatever is short.
    return -number if command is not calls.Command.LINK_UPDATE and failing() else bpf(command, attr)
class InjectedSocket(plain):
    def __init__(self, *args, **named):
        if named.get("fileno") is None and failing():
            raise OSError(number, os.strerror(number))
        super().__init__(*args, **named)
import mmap
from pfq.kernel import maps
plain_mmap = mmap.mmap
class InjectedMmap(plain_mmap):
    def __new__(cls, *args, **named):
        if failing():
            raise OSError(number, os.strerror(number))
        return plain_mmap.__new__(cls, *args, **named)
calls._bpf = injected_bpf
socket.socket = InjectedSocket
maps.mmap.mmap = InjectedMmap

def life():
    with Engine() as engine:
        group = engine.group(1)
        endpoint = engine.endpoint(slots=8)
        group.join(endpoint)
        group.bind(sys.argv[1])
        group.set_program("ip >-> steer_flow")
        group.set_filter("tcp")
        group.leave(endpoint)
        endpoint.close()

number = errno.ENOMEM
life()
gc.collect()
before = len(os.listdir("/proc/self/fd"))
step, rate, found = int(sys.argv[3]), int(sys.argv[4]), {"steps": 0, "refused": 0, "bad": []}
while True:
    number = (errno.ENOMEM, errno.EMFILE, errno.EINVAL)[step % 3]
    state.update(left=step, hit=False)
    try:
        life()
    except PfqError as error:
        found["refused"] += 1
        if not error.message:
            found["bad"].append([step, "no message"])
    except BaseException as error:
        found["bad"].append([step, repr(error)])
    state["left"] = -1
    if not state["hit"]:
        break
    found["steps"] += 1
    gc.collect()
    if len(os.listdir("/proc/self/fd")) > before:
        found["bad"].append([step, f"{len(os.listdir('/proc/self/fd')) - before} descriptors"])
        before = len(os.listdir("/proc/self/fd"))
    step += rate
print(json.dumps(found))
"""
SAMPLE = 6


@pytest.mark.slow
def test_R7_whatever_call_fails_the_engine_says_so_and_gives_all_back(netns_pair: Pair) -> None:
    """Every sixth of the calls of a short life (bpf, socket, mmap) fails once; others the next time."""
    command = netns_pair.b.command(
        sys.executable, "-c", SWEEP, netns_pair.dev_b, json.dumps(sys.path), str(1 + os.getpid() % SAMPLE), str(SAMPLE)
    )
    run = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=120, check=True)
    found = json.loads(run.stdout)
    assert found["bad"] == []
    assert found["steps"] > 10
    assert found["refused"] > found["steps"] // 2
