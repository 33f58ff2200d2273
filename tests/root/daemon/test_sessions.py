"""Sessions: the greeting, what belongs to them, and their ends."""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from root.capture.harness import Packet, flow_frame, packets
from root.daemon.harness import NOBODY_UID, Client, Daemon, as_nobody, running
from root.network import Pair, eventually

from pfq.daemon.limits import Limits
from pfq.engine.engine import Engine
from pfq.engine.store import Store
from pfq.errors import UsageError, VersionError
from pfq.ring.reader import Reader

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("nothing_left")]


@pytest.fixture
def daemon(netns_pair: Pair) -> Iterator[Daemon]:
    with running(netns_pair) as made:
        yield made


def reader_of(client: Client, shape: dict[str, int]) -> Reader:
    """Reads an end-point as any client does: with the descriptors that came, and nothing else."""
    *rings, consumer, doorbell = client.descriptors[-shape["rings"] - 2 :]
    return Reader(rings, consumer, slots=shape["slots"], slot_bytes=shape["slot_bytes"], doorbell_fd=doorbell)


def there(reader: Reader) -> list[Packet]:
    """What waits for a reader."""
    return packets(iter(lambda: reader.read(timeout=0), None))  # type: ignore[arg-type]


def joined(client: Client, pair: Pair, group: int = 7, program: str = "unit") -> dict[str, int]:
    """A group of `dev_b` with an end-point of the client; the end-point's shape."""
    shape = client.call("endpoint.open", slots=4096, snaplen=96)
    client.call("group.join", endpoint=shape["endpoint"], group=group)
    client.call("group.bind", group=group, device=pair.dev_b)
    client.call("group.set_program", group=group, text=program)
    return shape


def test_the_greeting(daemon: Daemon) -> None:
    with daemon.client() as client, daemon.client() as other:
        found = client.greeting
        assert found["version"] == 1
        assert found["resumed"] is False
        assert found["endpoints"] == []
        assert found["cpus"] == daemon.engine.memory.cpus
        assert len(bytes.fromhex(found["token"])) == 32
        assert found["token"] != other.greeting["token"]
        assert "was said already" in client.refused("hello", version=1).message
        assert client.call("status")["clients"] == 2


def test_C10_another_version(daemon: Daemon) -> None:
    for version in (0, 2, 99, -1, True, "1", None):
        with Client(daemon.path, hello=False) as client:
            # Another version may have other arguments.
            error = client.refused("hello", version=version, colour="blue", client=7)
            assert isinstance(error, VersionError)
            assert "speaks version 1" in error.message
            assert client.is_closed()


def test_the_first_request_is_hello(daemon: Daemon) -> None:
    with Client(daemon.path, hello=False) as client:
        assert "the first request is `hello`" in client.refused("list").message
        assert client.is_closed()


def test_who_says_nothing_is_sent_away(netns_pair: Pair) -> None:
    with (
        running(netns_pair, limits=Limits(hello_seconds=1)) as daemon,
        Client(daemon.path, hello=False) as silent,
        daemon.client() as client,
    ):
        assert silent.is_closed()
        assert client.call("status")["clients"] == 1
        time.sleep(1.2)
        client.call("status")  # there is no limit afterwards


def test_descriptors_are_what_a_reader_needs_and_nothing_else(daemon: Daemon, netns_pair: Pair) -> None:
    with daemon.client() as client, netns_pair.sender() as sender:
        shape = joined(client, netns_pair)
        assert shape["rings"] == daemon.engine.memory.cpus
        assert len(client.descriptors) == shape["rings"] + 2
        assert all(os.readlink(f"/proc/self/fd/{each}") == "anon_inode:bpf-map" for each in client.descriptors)
        frames = [flow_frame(number) for number in range(100)]
        with reader_of(client, shape) as reader:
            sender.send(frames)
            assert eventually(lambda: client.call("group.statistics", group=7)["arrived"] == 100)
            assert sorted(packet.data for packet in there(reader)) == sorted(frames)
        assert client.call("endpoint.statistics", endpoint=shape["endpoint"])["read"] == 100


def test_an_end_point_that_is_not_enabled_has_no_descriptors(daemon: Daemon) -> None:
    with daemon.client() as client:
        shape = client.call("endpoint.open", enabled=False)
        assert (shape["rings"], shape["enabled"], client.descriptors) == (0, False, [])
        number = shape["endpoint"]
        assert client.call("endpoint.set", endpoint=number, slots=64, clock="none", weight=3)["slots"] == 64
        shape = client.call("endpoint.enable", endpoint=number)
        assert (shape["rings"], shape["slots"], shape["weight"]) == (len(client.descriptors) - 2, 64, 3)
        assert isinstance(client.refused("endpoint.set", endpoint=number, slots=128), UsageError)
        assert client.call("endpoint.set", endpoint=number, weight=8)["weight"] == 8
        assert client.refused("endpoint.enable", endpoint=number).message == "the end-point is enabled already"
        client.call("endpoint.disable", endpoint=number)
        assert client.call("endpoint.set", endpoint=number, slots=None)["slots"] == 4096
        assert client.call("endpoint.close", endpoint=number) == {}
        assert client.refused("endpoint.close", endpoint=number).message == f"there is no end-point {number}"


def test_what_is_set_is_set_as_a_whole(daemon: Daemon) -> None:
    with daemon.client() as client:
        number = client.call("endpoint.open", enabled=False, snaplen=100)["endpoint"]
        client.refused("endpoint.set", endpoint=number, snaplen=500, clock="none", weight=99)
        shape = client.call("endpoint.set", endpoint=number)
        assert (shape["snaplen"], shape["clock"], shape["weight"]) == (100, "ns", 1)


@pytest.mark.parametrize("call", ["group.open", "group.join"])
def test_a_group_that_is_ending_is_another_ones_next(daemon: Daemon, netns_pair: Pair, call: str) -> None:
    """The compiler has still to take it off its devices; that is nothing for others to fail at."""
    with daemon.client() as first, daemon.client() as second:
        joined(first, netns_pair)
        before = daemon.engine.groups[7]
        before.ending = True
        more = {"endpoint": second.call("endpoint.open")["endpoint"]} if call == "group.join" else {}
        assert second.call(call, group=7, **more)["group"] == 7
        assert before.closed
        assert daemon.engine.groups[7] is not before
        assert set(daemon.engine.groups[7].members) == set(more.values())


def test_nobody_loses_a_vlan_that_somebody_else_sets(daemon: Daemon, netns_pair: Pair) -> None:
    with daemon.client() as first, daemon.client() as second:
        joined(first, netns_pair)
        second.call("group.join", endpoint=second.call("endpoint.open")["endpoint"], group=7)
        first.call("group.vlan", group=7, on_=True)

        def work(client: Client, vlans: range) -> None:
            for vlan in vlans:
                client.call("group.vlan", group=7, set=vlan)

        with ThreadPoolExecutor() as threads:
            for done in [threads.submit(work, first, range(10, 14)), threads.submit(work, second, range(20, 24))]:
                done.result()
        (found,) = first.call("list")["groups"]
        assert found["vlans"] == [*range(10, 14), *range(20, 24)]


def test_nobody_names_anothers_end_points(daemon: Daemon, netns_pair: Pair) -> None:
    """U2: not even an administrator."""
    with daemon.client() as owner, daemon.client() as other:
        number = joined(owner, netns_pair)["endpoint"]
        for name, more in {
            "endpoint.enable": {},
            "endpoint.disable": {},
            "endpoint.set": {"weight": 8},
            "endpoint.statistics": {},
            "endpoint.close": {},
            "group.join": {"group": 7},
            "group.leave": {"group": 7},
        }.items():
            error = other.refused(name, endpoint=number, **more)
            assert error.message == f"there is no end-point {number}"
        (seen,) = other.call("list")["endpoints"]
        assert (seen["endpoint"], seen["mine"], seen["weight"], seen["groups"]) == (number, False, 1, [7])
        assert [each["mine"] for each in owner.call("list")["endpoints"]] == [True]


def test_what_was_the_clients_goes_with_the_connection(daemon: Daemon, netns_pair: Pair) -> None:
    engine = daemon.engine
    with daemon.client() as stays:
        joined(stays, netns_pair, 7)
        with daemon.client() as client:
            for group in (7, 8):
                client.call("group.join", endpoint=client.call("endpoint.open", slots=64)["endpoint"], group=group)
            client.call("group.open", group=20)
            client.call("promiscuous", device=netns_pair.dev_b, on_=True)
            assert (sorted(engine.groups), len(engine.endpoints)) == ([7, 8, 20], 3)
            assert is_promiscuous(netns_pair)
        assert eventually(lambda: (sorted(engine.groups), len(engine.endpoints)) == ([7], 1), 5)
        assert list(engine.groups[7].members) == [0]
        assert eventually(lambda: not is_promiscuous(netns_pair))
        assert daemon.service.quotas.used(0)[1] == 1


def is_promiscuous(pair: Pair) -> bool:
    return "promiscuity 1" in pair.b.run("ip", "-d", "link", "show", pair.dev_b)


def test_promiscuous_mode_is_taken_back_once(daemon: Daemon, netns_pair: Pair) -> None:
    with daemon.client() as client, daemon.client() as other:
        for _ in range(2):
            client.call("promiscuous", device=netns_pair.dev_b, on_=True)
        other.call("promiscuous", device=netns_pair.dev_b, on_=False)
        assert is_promiscuous(netns_pair)
        for _ in range(2):
            client.call("promiscuous", device=netns_pair.dev_b, on_=False)
        assert not is_promiscuous(netns_pair)
        assert client.refused("promiscuous", device="none", on_=True).code == "PFQ303"


CLIENT = """
import os, time
from pathlib import Path
client = root.daemon.harness.Client(Path(sys.argv[1]))
client.call("group.join", endpoint=client.call("endpoint.open", slots=64)["endpoint"], group=int(sys.argv[2]))
child = os.fork()
if child == 0:
    time.sleep(60)  # with a copy of the connection
    os._exit(0)
print(child, flush=True)
sys.stdin.readline()
"""


def test_a_session_ends_with_its_process_though_others_hold_the_connection(daemon: Daemon) -> None:
    with as_nobody(CLIENT, str(daemon.path), "9") as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        try:
            assert list(daemon.engine.groups) == [9]
            (found,) = daemon.service.clients()
            assert (found["pid"], found["uid"]) == (process.pid, NOBODY_UID)
            process.kill()
            assert eventually(lambda: not daemon.engine.groups and not daemon.engine.endpoints, 5)
        finally:
            os.kill(child, signal.SIGKILL)


def test_when_no_more_packets_can_come(daemon: Daemon, netns_pair: Pair) -> None:
    with daemon.client() as client:
        number = joined(client, netns_pair)["endpoint"]
        netns_pair.a.run("ip", "link", "del", netns_pair.dev_a)
        event = client.receive()
        assert (event["event"], event["endpoint"], event["error"]["code"]) == ("failed", number, "PFQ503")
        client.call("status")


def test_stopping(netns_pair: Pair) -> None:
    with Engine() as engine, running(netns_pair, engine=engine) as daemon:
        with daemon.client() as client:
            client.call("endpoint.open", slots=64)
            daemon.service.stop(goodbye=True)
            assert client.receive() == {"event": "stopping"}
            assert client.is_closed()
        daemon.thread.join(10)
        # The process closes the engine, which is quicker than end-point by end-point.
        assert len(engine.endpoints) == 1


def test_the_replies_of_one_connection_come_in_order(daemon: Daemon) -> None:
    with daemon.client() as client:
        for number in range(100, 200):
            client.channel.send({"id": number, "call": "status" if number % 2 else "nonsense"})
        for number in range(100, 200):
            message = client.receive()
            assert message["id"] == number
            assert ("error" in message) == (number % 2 == 0)


# after another daemon


@contextmanager
def engine_of(pair: Pair, folder: Path) -> Iterator[Engine]:
    """An engine that leaves everything to the next one with the same folder, as one does that is killed."""
    pins = Path("/sys/fs/bpf") / f"pfqt{os.getpid()}-sessions"
    engine = pair.b.call(lambda: Engine(store=Store(pins, folder / "state")))
    try:
        yield engine
    finally:
        engine.close(keep=True)


@pytest.fixture
def folder(netns_pair: Pair, tmp_path: Path) -> Iterator[Path]:
    """For engines; what the last one leaves is taken down."""
    yield tmp_path
    with engine_of(netns_pair, tmp_path) as engine:
        engine.close()


def test_a_session_is_resumed_by_the_next_daemon(netns_pair: Pair, folder: Path) -> None:
    pair, frames = netns_pair, [flow_frame(number) for number in range(90)]
    with pair.sender() as sender, ExitStack() as clients:
        with engine_of(pair, folder) as engine, running(pair, engine=engine, goodbye=False) as daemon:
            client = clients.enter_context(daemon.client())
            shape = joined(client, pair)
            reader = clients.enter_context(reader_of(client, shape))
            client.call("group.open", group=20)
            sender.send(frames[:30])
            token = client.greeting["token"]
        assert client.is_closed()
        assert not client.events, "nobody said goodbye"
        sender.send(frames[30:60])
        with engine_of(pair, folder) as engine, running(pair, engine=engine) as daemon:
            assert engine.adopted
            assert daemon.service.status()["orphans"] == 1
            assert daemon.service.quotas.used(0)[1:] == (1, daemon.service.bytes_of(96, 4096))
            with daemon.client() as stranger, daemon.client(resume="0" * 64) as guesser:
                assert not guesser.greeting["resumed"]
                assert guesser.greeting["token"] != "0" * 64
                assert stranger.refused("endpoint.close", endpoint=0).message == "there is no end-point 0"
            with daemon.client(uid=NOBODY_UID, resume=token) as thief:
                assert not thief.greeting["resumed"], "the token alone is not enough"
            again = clients.enter_context(daemon.client(resume=token))
            assert (again.greeting["resumed"], again.greeting["token"]) == (True, token)
            assert again.greeting["endpoints"] == [{"endpoint": shape["endpoint"]}]
            with daemon.client(resume=token) as late:
                assert not late.greeting["resumed"], "it is taken"
            sender.send(frames[60:])
            assert eventually(lambda: again.call("group.statistics", group=7)["arrived"] == 90)
            got = sorted(packet.data for packet in there(reader))
            assert got == sorted(frames), "none is missing, none is there twice"
            again.call("group.set_program", group=7, text="drop")
            again.call("group.close", group=20)
            again.close()
            assert eventually(lambda: not engine.endpoints and not engine.groups, 5)
            assert eventually(lambda: daemon.service.quotas.used(0) == (0, 0, 0))


LEAVES_AN_ENDPOINT = """
from pathlib import Path
client = root.daemon.harness.Client(Path(sys.argv[1]))
client.call("group.join", endpoint=client.call("endpoint.open", slots=64)["endpoint"], group=7)
client.call("group.open", group=20)
print("ready", flush=True)
sys.stdin.readline()
"""


@pytest.mark.parametrize("when", ["while no daemon runs", "after the next has begun"])
def test_what_a_process_had_goes_with_it(netns_pair: Pair, folder: Path, when: str) -> None:
    with ExitStack() as stack:
        with engine_of(netns_pair, folder) as engine, running(netns_pair, engine=engine, goodbye=False) as daemon:
            process = stack.enter_context(as_nobody(LEAVES_AN_ENDPOINT, str(daemon.path)))
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        if when == "while no daemon runs":
            process.kill()
            process.wait()
        with engine_of(netns_pair, folder) as engine, running(netns_pair, engine=engine) as daemon:
            if when != "while no daemon runs":
                assert (list(engine.groups), len(engine.endpoints)) == ([7, 20], 1)
                process.kill()
            assert eventually(lambda: not engine.endpoints and not engine.groups, 5)
            assert daemon.service.status()["orphans"] == 0
            assert eventually(lambda: daemon.service.quotas.used(NOBODY_UID) == (0, 0, 0), 5)


def test_C1_packets_that_a_dead_client_had_not_read_are_reported(
    daemon: Daemon, netns_pair: Pair, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with daemon.client() as beside:
        joined(beside, netns_pair)
        with daemon.client() as client:
            shape = joined(client, netns_pair)
            with reader_of(client, shape) as reader, netns_pair.sender() as sender:
                sender.send([flow_frame(n) for n in range(30)])
                assert eventually(lambda: reader.statistics().delivered == 30, 5.0)
                batch = reader.read(max_packets=10, timeout=0)
                assert batch is not None
                read = len(batch)
        said = f"end-point {shape['endpoint']} was left with {30 - read} packets that nobody had read"
        assert eventually(lambda: said in caplog.messages, 5.0), caplog.messages
