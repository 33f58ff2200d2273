"""Clients that want to harm: the daemon goes on, bounded, and nobody else loses a packet."""

from __future__ import annotations

import logging
import os
import random
import resource
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress

import numpy as np
import numpy.typing as npt
import pytest
from root.daemon.harness import NOBODY_UID, Client, Daemon, as_nobody, running
from root.network import Pair, eventually, traffic
from support.wire import mutated, random_message

from pfq.daemon import service as service_module
from pfq.daemon.access import Rule
from pfq.daemon.limits import Limits
from pfq.errors import PfqError
from pfq.kernel.programs import wait_for_running_programs
from pfq.ring.reader import Reader

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("nothing_left")]

RATE_PPS = 20_000
SLOTS = 1 << 17
FUZZ_SECONDS = 240
OTHERS = Rule(everybody=True, groups=frozenset(range(8, 64)), devices=None, allow=frozenset(["configure"]))
"""Hostile clients may do all but with the victim's group."""


@contextmanager
def victim(daemon: Daemon, pair: Pair) -> Iterator[Client]:
    """While the block runs, packets come to a client's group 7; at the end each of them must have come, once."""
    with daemon.client() as client:
        shape = client.call("endpoint.open", slots=SLOTS, snaplen=64, clock="none")
        client.call("group.join", endpoint=shape["endpoint"], group=7)
        client.call("group.bind", group=7, device=pair.dev_b)
        *rings, consumer, doorbell = client.descriptors
        options = {"slots": shape["slots"], "slot_bytes": shape["slot_bytes"], "doorbell_fd": doorbell}
        with Reader(rings, consumer, **options) as reader, ThreadPoolExecutor(1) as reading:
            done = threading.Event()
            result = reading.submit(numbers_of, reader, done)
            try:
                with traffic(pair, RATE_PPS) as sender:
                    yield client
                assert eventually(lambda: client.call("group.statistics", group=7)["arrived"] == sender.sent, 5)
                wait_for_running_programs()
            finally:
                done.set()
            counts = client.call("endpoint.statistics", endpoint=shape["endpoint"])
            assert (counts["delivered"], counts["lost"]) == (sender.sent, 0)
            assert np.array_equal(np.sort(result.result(20)), np.arange(sender.sent))
            assert sender.sent > 100


def numbers_of(reader: Reader, done: threading.Event) -> npt.NDArray[np.int64]:
    """The numbers of all packets, until nothing is left once it is done."""
    found = [np.zeros(0, np.int64)]
    while (batch := reader.read(timeout=0.05)) is not None or not done.is_set():
        if batch is not None:
            found.append(np.array(batch.data[:, 14:18]).view(">u4")[:, 0].astype(np.int64))
    return np.concatenate(found)


@pytest.fixture
def daemon(netns_pair: Pair) -> Iterator[Daemon]:
    with running(netns_pair, [OTHERS]) as made:
        yield made


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


def settled(daemon: Daemon, files: int, clients: int) -> bool:
    """Only so many clients are left, and no more files are open than before."""
    return eventually(lambda: daemon.service.status()["clients"] == clients and open_files() <= files, 10)


def resident() -> int:
    """Bytes of memory of this process, and so of the daemon."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


# what they send


def test_U6_what_is_no_message_ends_the_connection(daemon: Daemon, netns_pair: Pair) -> None:
    half = b'{"id": 1, "call": "hel'
    odd = (
        b"",
        b"\0",
        b"\xff" * 100,
        half,
        b"[]",
        b'{"id": -1}',
        b'{"id": "1"}',
        b'{"id": 1.0}',
        b'{"id":true}',
        b"{" * 9999,
    )
    with victim(daemon, netns_pair) as good:
        before = open_files()
        for data in odd:
            for hello in (False, True):
                with daemon.client(uid=NOBODY_UID, hello=hello) as client:
                    client.channel.socket.send(data)
                    message = client.receive()
                    assert (message["id"], message["error"]["code"]) == (None, "PFQ201")
                    assert client.is_closed()
        good.call("status")
        assert settled(daemon, before, clients=1)


def test_U6_messages_of_all_lengths(daemon: Daemon, netns_pair: Pair) -> None:
    """Up to a megabyte, which nobody but the superuser can send."""
    with victim(daemon, netns_pair):
        before = open_files()
        with daemon.client() as client:
            for length in [*range(40, 300), *range(1000, 131_072, 7_001), 131_071, 131_072]:
                start = b'{"id":7,"call":"status","x":"'
                client.channel.socket.send(start + b"x" * (length - len(start) - 2) + b'"}')
                assert client.receive()["error"]["message"].startswith("`status` has no argument 'x'")
        for length in (131_073, 140_000, 1 << 20):
            with daemon.client() as client:
                client.channel.socket.setsockopt(socket.SOL_SOCKET, 32, 4 << 20)  # SO_SNDBUFFORCE
                client.channel.socket.send(b"x" * length)
                assert "more than 131072 bytes" in client.receive()["error"]["message"]
                assert client.is_closed()
        assert settled(daemon, before, clients=1)


def assault(daemon: Daemon, count: int, seed: int) -> tuple[int, int]:
    """Sends requests at random, whole and broken; how many there were replies to, and how many sessions it took."""
    chance = random.Random(seed)
    answered = sessions = 0
    client: Client | None = None
    for _ in range(count):
        if client is None:
            client = daemon.client(uid=NOBODY_UID, hello=chance.random() < 0.9)
            sessions += 1
        data = mutated(random_message(chance), chance) if chance.random() < 0.1 else random_message(chance)
        try:
            client.channel.socket.send(data)
            while "event" in (message := client.receive()) or message.get("more"):
                pass
            answered += message["id"] is not None
            if message["id"] is None:
                raise EOFError
        except (EOFError, ConnectionError):
            client.close()
            client = None
    if client is not None:
        client.close()
    return answered, sessions


def test_U6_random_requests(daemon: Daemon, netns_pair: Pair, caplog: pytest.LogCaptureFixture) -> None:
    daemon.service.limits = Limits(changes_per_second=20, changes_at_once=20)
    with victim(daemon, netns_pair), caplog.at_level(logging.DEBUG):
        answered, sessions = assault(daemon, 1_200, seed=6)
        assert answered > 600
        assert sessions > 15
        # The engine keeps a small table for each shape of rings that there ever was.
        before = open_files()
        assault(daemon, 1_200, seed=6)
        assert settled(daemon, before, clients=1)
        assert list(daemon.engine.groups) == [7], "what they made is gone"
        assert daemon.service.quotas.used(NOBODY_UID) == (0, 0, 0)
    lines = [record.getMessage() for record in caplog.records if record.name.startswith("pfq.daemon")]
    assert all(line.isprintable() and line.isascii() and len(line) < 500 for line in lines)
    assert not [record for record in caplog.records if record.exc_info], "no fault of ours shows"
    assert len(lines) < 200, "not more than somebody can read"


@pytest.mark.fuzz
def test_U6_random_requests_for_long(daemon: Daemon, netns_pair: Pair, caplog: pytest.LogCaptureFixture) -> None:
    daemon.service.limits = Limits(changes_per_second=100, changes_at_once=100)
    end, seed = time.monotonic() + FUZZ_SECONDS, random.randrange(1 << 32)
    print(f"seed {seed}")
    while time.monotonic() < end:
        with victim(daemon, netns_pair):
            assault(daemon, 4_000, seed)
        assert not [record for record in caplog.records if record.exc_info]
        seed += 1


@pytest.mark.parametrize("by_kernel", [True, False], ids=["the kernel refuses", "the daemon closes"])
def test_U3_descriptors_of_their_own(
    netns_pair: Pair, monkeypatch: pytest.MonkeyPatch, by_kernel: bool, tmp_path: os.PathLike[str]
) -> None:
    if not by_kernel:
        monkeypatch.setattr(service_module, "refuse_descriptors", lambda _: None)
    with running(netns_pair, [OTHERS]) as daemon, victim(daemon, netns_pair):
        here, there = socket.socketpair()
        fifo, folder = os.memfd_create("x"), os.open(tmp_path, os.O_PATH)
        before = open_files()
        for number in range(200):
            with daemon.client(uid=NOBODY_UID) as client:
                own = [client.channel.fileno(), here.fileno(), fifo, folder][number % 4]
                try:
                    client.channel.send({"id": 1, "call": "status"}, [own] * (1, 2, 253)[number % 3])
                    assert "descriptors came" in client.receive()["error"]["message"]
                    assert client.is_closed()
                    assert not by_kernel
                except PermissionError:
                    client.call("status")
        assert settled(daemon, before, clients=1)
        for each in (fifo, folder):
            os.close(each)
        here.close()
        there.close()


# how they behave


MANY = """
from pathlib import Path
kept = []
for number in range(int(sys.argv[2])):
    connected = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    connected.connect(sys.argv[1])
    kept = [*kept[-500:], connected]  # and never says a word
print("done", flush=True)
sys.stdin.readline()
"""


@pytest.mark.slow
def test_U5_10_000_connections(netns_pair: Pair) -> None:
    with running(netns_pair, [OTHERS]) as daemon, victim(daemon, netns_pair) as good:
        good.call("status")
        files, memory = open_files(), resident()
        with as_nobody(MANY, str(daemon.path), "10000") as process:
            assert process.stdout is not None
            most = 0
            while daemon.service.status()["refused"] < 9_000 and process.poll() is None:
                most = max(most, daemon.service.status()["clients"])
                good.call("status")
            assert process.stdout.readline() == "done\n"
            assert most <= 17
            assert open_files() <= files + 2 * 17 + 10
            assert resident() < memory + (32 << 20)
        assert settled(daemon, files, clients=1)


def test_U5_who_never_reads_is_disconnected(netns_pair: Pair) -> None:
    with running(netns_pair, [OTHERS], Limits(send_seconds=1)) as daemon, victim(daemon, netns_pair) as good:
        before = open_files()
        idle = [daemon.client(uid=NOBODY_UID) for _ in range(4)]
        for client in idle:
            client.channel.send({"id": 1, "call": "list"}, timeout=1)
            with suppress(TimeoutError, ConnectionError):
                for number in range(10_000):
                    client.channel.send({"id": number, "call": "nonsense" * 1000}, timeout=0.1)
        good.call("list")
        assert eventually(lambda: daemon.service.status()["clients"] == 1, 10)
        assert open_files() <= before + len(idle)
        for client in idle:
            client.close()


def test_an_event_for_who_never_reads_holds_up_nobody(daemon: Daemon, netns_pair: Pair) -> None:
    """Events come from threads of the engine, which have better things to do than to wait."""
    with daemon.client() as good, daemon.client(uid=NOBODY_UID) as client:
        number = client.call("endpoint.open", slots=64)["endpoint"]
        client.call("group.join", endpoint=number, group=9)
        client.call("group.bind", group=9, device=netns_pair.dev_b)
        # Fewer replies than the daemon waits for, but no room for one more.
        session = next(each for each in daemon.service._sessions if each.peer.uid == NOBODY_UID)
        with suppress(TimeoutError):
            while True:
                session.talk.channel.send({"id": 0, "result": {"x": "y" * 50_000}}, timeout=0)
        with suppress(TimeoutError):
            while True:
                session.talk.channel.send({"id": 0}, timeout=0)
        netns_pair.a.run("ip", "link", "del", netns_pair.dev_a)
        assert eventually(lambda: daemon.service.status()["clients"] == 1, 5)
        assert good.call("list")["groups"] == []


def test_U4_without_files_to_open_the_daemon_waits(
    netns_pair: Pair, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with running(netns_pair, [OTHERS]) as daemon, victim(daemon, netns_pair) as good:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        with as_nobody(MANY, str(daemon.path), "1") as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "done\n"
            assert eventually(lambda: daemon.service.status()["clients"] == 2, 5)
        assert eventually(lambda: daemon.service.status()["clients"] == 1, 5)
        with as_nobody("sys.stdin.readline()" + MANY, str(daemon.path), "3") as process:
            assert process.stdin is not None
            assert process.stdout is not None
            resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
            try:
                process.stdin.write("\n")
                assert process.stdout.readline() == "done\n"
                time.sleep(1.1)
                good.call("status")
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            tries = [record for record in caplog.records if "cannot accept clients" in record.getMessage()]
            assert 1 <= len(tries) + daemon.service._unsaid <= 12, "it looks again now and then, and no more"
            assert eventually(lambda: daemon.service.status()["clients"] == 4, 5), "they were waiting"


# what they do with what they were given


SCRIBBLES = """
from pathlib import Path
import mmap, os, random, time
client = root.daemon.harness.Client(Path(sys.argv[1]))
shape = client.call("endpoint.open", slots=256, snaplen=64)
client.call("group.join", endpoint=shape["endpoint"], group=9)
client.call("group.bind", group=9, device=sys.argv[2])
*rings, consumer, doorbell = client.descriptors
pages = [mmap.mmap(consumer, 4096), mmap.mmap(doorbell, 4096)]
end, number = time.monotonic() + float(sys.argv[3]), 0
edges = [0, 1, 2**32, 2**63, 2**64 - 1, 2**64 - 4096]
print("begins", flush=True)
while time.monotonic() < end:
    number += 1
    for page in pages:
        if number % 3:
            page[:] = random.randbytes(4096)
        else:
            page[:] = b"".join(random.choice(edges).to_bytes(8, "little") for _ in range(512))
print(client.call("endpoint.statistics", endpoint=shape["endpoint"])["selected"], flush=True)
sys.stdin.readline()
"""


def test_U7_and_U9_scribbling_over_every_page_that_can_be_written(daemon: Daemon, netns_pair: Pair) -> None:
    """The consumer page and the doorbell. Only who does it is harmed: what he reads is rubbish, and what he misses."""
    with victim(daemon, netns_pair) as good:
        with as_nobody(SCRIBBLES, str(daemon.path), netns_pair.dev_b, "3") as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "begins\n"
            assert int(process.stdout.readline()) > 0, "it was in the way of packets"
            found = good.call("list")["endpoints"]
            assert all(each["statistics"]["waiting"] >= 0 for each in found)
        assert eventually(lambda: list(daemon.engine.groups) == [7], 5)


ABUSES = """
from pathlib import Path
import ctypes, errno, fcntl, mmap, os
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
BPF = {"x86_64": 321, "aarch64": 280}[os.uname().machine]


def bpf(command, *words):
    data = b"".join(int(word).to_bytes(size, "little") for word, size in words).ljust(128, b"\\0")
    if libc.syscall(BPF, command, data, 128) < 0:
        raise OSError(ctypes.get_errno(), "bpf")


def tried(name, work, *arguments):
    try:
        work(*arguments)
        print(name, "done", flush=True)
    except OSError as error:
        print(name, errno.errorcode[error.errno], flush=True)


client = root.daemon.harness.Client(Path(sys.argv[1]))
shape = client.call("endpoint.open", slots=256, snaplen=64)
ring, *_, consumer, doorbell = client.descriptors
zero = ctypes.create_string_buffer(shape["slot_bytes"])
key = ctypes.create_string_buffer(4)
both = mmap.PROT_READ | mmap.PROT_WRITE
print("zeroed", not any(mmap.mmap(ring, 4096 * 4, prot=mmap.PROT_READ)[:]), flush=True)
tried("map", mmap.mmap, ring, 4096, mmap.MAP_SHARED, both)
there = mmap.mmap(ring, 4096, prot=mmap.PROT_READ)
address = next(int(line.split("-")[0], 16) for line in open("/proc/self/maps") if "bpf-map" in line)
if libc.mprotect(ctypes.c_void_p(address), 4096, both) < 0:
    print("mprotect", errno.errorcode[ctypes.get_errno()], flush=True)
else:
    print("mprotect done", flush=True)
tried("update", bpf, 2, (ring, 4), (0, 4), (ctypes.addressof(key), 8), (ctypes.addressof(zero), 8), (0, 8))
tried("doorbell_data", mmap.mmap, doorbell, 4096 * 4, mmap.MAP_SHARED, both)
tried("truncate", os.ftruncate, ring, 0)
tried("write", os.write, ring, b"x")
tried("reopen", os.open, f"/proc/self/fd/{ring}", os.O_RDWR)
tried("by_id", bpf, 14, (1, 4), (0, 4))
tried("load", bpf, 5, (6, 4), (1, 4))
tried("create", bpf, 0, (2, 4), (4, 4), (4, 4), (1, 4))
tried("daemon", os.listdir, f"/proc/{os.getppid()}/fd")
tried("AF_PACKET", socket.socket, socket.AF_PACKET, socket.SOCK_RAW, 0)
there.close()  # it has a descriptor of its own
for each in os.listdir("/proc/self/fd"):
    try:
        target = os.readlink(f"/proc/self/fd/{each}")
    except OSError:
        continue
    if target.startswith("anon_inode"):
        print("has", target, flush=True)
print("end", flush=True)
"""


def test_U10_and_U11_what_the_descriptors_are_good_for(daemon: Daemon, netns_pair: Pair) -> None:
    with victim(daemon, netns_pair), as_nobody(ABUSES, str(daemon.path)) as process:
        assert process.stdout is not None
        found = [line.split(maxsplit=1) for line in iter(lambda: process.stdout.readline().strip(), "end")]  # type: ignore[union-attr]
    outcomes = dict(found)
    assert outcomes.pop("zeroed") == "True"
    has = [what for name, what in found if name == "has"]
    assert has == ["anon_inode:bpf-map"] * (daemon.engine.memory.cpus + 2), "no program, no link"
    outcomes.pop("has")
    assert "done" not in outcomes.values(), outcomes
    assert outcomes["map"] == outcomes["update"] == "EPERM"
    assert set(outcomes) >= {"mprotect", "doorbell_data", "truncate", "write", "reopen", "by_id", "load", "daemon"}


def test_what_a_fault_of_ours_looks_like(daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client gets an error without our insides, and the connection goes on."""

    def broken() -> None:
        raise ZeroDivisionError("secret")

    with daemon.client() as client:
        monkeypatch.setattr(daemon.service, "deal_events", broken)
        error = client.refused("events")
        assert error.code == "PFQ900"
        assert "secret" not in str(error)
        assert isinstance(error, PfqError)
        client.call("status")
