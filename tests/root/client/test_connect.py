"""The engine's interface, in this process and through a daemon: the same calls, the same results."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from root.daemon.harness import NOBODY_UID, as_nobody, running
from root.network import Pair, eventually, numbered, traffic
from support.documents import Snippet, snippets

import pfq
from pfq.engine.egress import Egress
from pfq.engine.policy import Owner
from pfq.engine.statistics import EndpointStatistics
from pfq.errors import (
    DeviceGoneError,
    DeviceMissingError,
    NotPermittedError,
    ProgramErrors,
    RingClosedError,
    UnknownNameError,
    UsageError,
)
from pfq.kernel.programs import wait_for_running_programs
from pfq.lang import ip, steer_flow

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("nothing_left")]


@dataclass
class Bench:
    """An engine on a veth pair, here or in a daemon."""

    engine: Any
    pair: Pair

    def bind(self, group: Any, **options: Any) -> Any:
        return self.pair.b.call(group.bind, self.pair.dev_b, **options)

    def send(self, group: Any, count: int) -> None:
        """Numbered frames, and waits until the group has seen them."""
        before = group.statistics().arrived
        with self.pair.sender() as sender:
            sender.send(map(numbered, range(count)))
        assert eventually(lambda: group.statistics().arrived == before + count, 5.0)
        wait_for_running_programs()


@pytest.fixture(params=["here", "daemon"])
def bench(request: pytest.FixtureRequest, netns_pair: Pair) -> Iterator[Bench]:
    if request.param == "here":
        with netns_pair.b.call(pfq.Engine) as engine:
            yield Bench(engine, netns_pair)
        return
    with running(netns_pair) as daemon, pfq.connect(daemon.path) as remote:
        yield Bench(remote, netns_pair)


def test_packets_of_a_group(bench: Bench) -> None:
    group = bench.engine.group(7)
    endpoint = bench.engine.endpoint(snaplen=96, slots=1000, weight=2)
    assert (endpoint.number, endpoint.slots, endpoint.snaplen, endpoint.weight) == (0, 1024, 96, 2)
    group.join(endpoint)
    change = bench.bind(group)
    assert change.devices == (bench.pair.dev_b,)
    assert change.seconds > 0
    bench.send(group, 100)
    found = []
    while len(found) < 100:
        batch = endpoint.reader.read(timeout=5)
        assert batch is not None
        found += [batch.bytes(i)[:60] for i in range(len(batch))]
    assert sorted(found) == [numbered(n) for n in range(100)]
    assert endpoint.statistics() == EndpointStatistics(100, 100, 0, 100, 0)
    assert group.statistics() == bench.engine.statistics(7)
    assert (group.number, group.statistics().selected, group.counters()) == (7, 100, (0,) * 64)


def test_programs_filters_and_counters(bench: Bench) -> None:
    group, endpoint = bench.engine.group(), bench.engine.endpoint()
    group.join(endpoint)
    bench.bind(group)
    group.set_program("inc 3")
    bench.send(group, 10)
    assert group.counters()[3] == 10
    group.set_program(ip >> steer_flow)
    bench.send(group, 10)
    assert group.statistics().dropped == 10
    group.set_program(None)
    group.set_filter("ip")
    bench.send(group, 10)
    group.set_filter([(6, 0, 0, 0)])
    bench.send(group, 10)
    assert group.statistics().filtered == 20
    group.set_filter(None)
    group.set_vlans([10])
    bench.send(group, 10)
    assert group.statistics().filtered == 30
    group.unbind(bench.pair.dev_b)
    assert endpoint.statistics().selected == 10


def test_refusals(bench: Bench) -> None:
    group = bench.engine.group(5, "private")
    first, second = bench.engine.endpoint(), bench.engine.endpoint()
    group.join(first)
    with pytest.raises(NotPermittedError, match="it is private"):
        group.join(second, policy="private")
    with pytest.raises(UsageError, match="group 5 is private, not shared"):
        bench.engine.group(5)
    with pytest.raises(DeviceMissingError):
        bench.pair.b.call(group.bind, "no-such-device")
    with pytest.raises(UnknownNameError) as caught:
        group.set_program("ip >->\n  steer_flwo")
    assert (caught.value.span.line, caught.value.span.column) == (2, 3)
    assert "did you mean `steer_flow`" in str(caught.value)
    with pytest.raises(ProgramErrors) as several:
        group.set_program("ipp >-> steer_flwo")
    assert len(list(several.value)) == 2
    with pytest.raises(UsageError, match="is fixed while it is enabled"):
        first.snaplen = 64
    with pytest.raises(UsageError, match="weight of 1 to 8"):
        first.weight = 9
    with pytest.raises(UsageError, match="there is no group 9"):
        bench.engine.statistics(9)
    bench.bind(group)
    bench.send(group, 5)
    assert first.statistics().selected == 5, "what was refused has changed nothing"


def test_members_come_and_go(bench: Bench) -> None:
    group, first, second = bench.engine.group(), bench.engine.endpoint(), bench.engine.endpoint()
    group.join(first)
    group.join(second, classes=2)
    bench.bind(group)
    bench.send(group, 5)
    group.join(second, classes=3)
    bench.send(group, 5)
    group.leave(first)
    bench.send(group, 5)
    assert (first.statistics().delivered, second.statistics().delivered) == (10, 10)
    first.close()
    second.disable()
    with pytest.raises(UsageError):
        second.reader.read(timeout=0)
    second.snaplen, second.slots, second.clock = 64, 8, "coarse"
    second.enable()
    assert (second.snaplen, second.slots, second.clock) == (64, 8, "coarse")
    assert bench.engine.endpoint().number == first.number, "numbers are used again"


def test_what_programs_tell(bench: Bench) -> None:
    group, endpoint = bench.engine.group(4), bench.engine.endpoint()
    group.join(endpoint)
    group.set_program('log_msg "here" >-> mark 7 >-> trace')
    bench.bind(group)
    bench.send(group, 1)
    told: list[Any] = []
    assert eventually(lambda: told.extend(bench.engine.events()) or len(told) == 2, 5.0)
    assert [(each.kind.name, each.text, each.group) for each in told] == [("MESSAGE", "here", 4), ("TRACE", "", 4)]
    assert told[1].action.mark == 7
    assert told[0].data[:60] == numbered(0)
    assert abs(told[0].ts_ns - told[1].ts_ns) < 10**9
    assert bench.engine.events_missed() == 0


def test_sets_of_prefixes(bench: Bench) -> None:
    group, endpoint = bench.engine.group(), bench.engine.endpoint()
    group.join(endpoint)
    group.set_program('when (addr_in "10.0.0.0/8") (inc 0)')
    bench.bind(group)
    group.replace_set("10.0.0.0/8", ["192.168.0.0/16", "2001:db8::/32"])
    assert group.reload_sets() == []
    with pytest.raises(UsageError):
        group.replace_set("11.0.0.0/8", ["192.168.0.0/16"])


def test_egress_endpoints(bench: Bench) -> None:
    group = bench.engine.group()
    endpoint = bench.pair.b.call(bench.engine.endpoint, egress=Egress("lo"))
    group.join(endpoint)
    assert endpoint.egress == Egress("lo")
    with pytest.raises(UsageError):
        _ = endpoint.reader
    assert endpoint.statistics() == EndpointStatistics(0, 0, 0, 0, 0)


def test_a_device_that_goes_ends_the_readers(bench: Bench) -> None:
    group, endpoint = bench.engine.group(), bench.engine.endpoint()
    group.join(endpoint)
    bench.bind(group)
    bench.send(group, 3)
    bench.pair.a.run("ip", "link", "del", bench.pair.dev_a)
    batch = endpoint.reader.read(timeout=5)
    assert batch is not None
    assert len(batch) == 3
    with pytest.raises(DeviceGoneError, match=bench.pair.dev_b):
        endpoint.reader.read(timeout=5)


def test_the_end_of_an_engine_ends_its_readers(bench: Bench) -> None:
    group, endpoint = bench.engine.group(), bench.engine.endpoint()
    group.join(endpoint)
    bench.bind(group)
    bench.send(group, 3)
    reader = endpoint.reader
    bench.engine.close()
    with pytest.raises(RingClosedError):
        reader.read()
    assert endpoint.statistics().delivered == 3
    with pytest.raises(RingClosedError):
        bench.engine.group()


IMPORTS = "import pfq.client, pfq.wire.faults, socket, encodings.idna"
UNPRIVILEGED = """
import sys
engine = pfq.connect(sys.argv[1])
group = engine.group(7)
endpoint = engine.endpoint(snaplen=96)
group.join(endpoint)
group.bind(sys.argv[2])
group.set_program("inc 1")
print("ready", flush=True)
count = 0
while count < 50:
    count += len(endpoint.reader.read())
print(count, group.counters()[1], flush=True)
endpoint.reader.read()
"""


def test_a_user_without_any_privilege_makes_a_group_and_reads(netns_pair: Pair) -> None:
    with (
        running(netns_pair) as daemon,
        as_nobody(UNPRIVILEGED, str(daemon.path), netns_pair.dev_b, imports=IMPORTS) as client,
    ):
        assert client.stdout is not None
        assert client.stdout.readline() == "ready\n"
        with netns_pair.sender() as sender:
            sender.send(map(numbered, range(50)))
        assert client.stdout.readline() == "50 50\n"
        assert set(daemon.engine.groups) == {7}
        assert daemon.engine.endpoints[0].owner == Owner(client.pid, NOBODY_UID)
        client.kill()
        assert eventually(lambda: not daemon.engine.groups and not daemon.engine.endpoints, 5.0), "its death is noticed"


@pytest.mark.parametrize("snippet", [snippet for snippet in snippets("python") if snippet.connects], ids=str)
def test_the_example_of_the_manual(snippet: Snippet, netns_pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    with running(netns_pair) as daemon, pfq.connect(daemon.path) as engine:
        group = engine.group(7)
        group.join(engine.endpoint())
        group.bind(netns_pair.dev_b)
        monkeypatch.setenv("PFQ_SOCKET", str(daemon.path))
        with traffic(netns_pair, 2000), netns_pair.b.python(snippet.code) as process:
            said, _ = process.communicate(timeout=20)
        assert process.returncode == 0
        assert "0 lost" in said


def test_the_commands_show_what_there_is(netns_pair: Pair) -> None:
    with running(netns_pair) as daemon, pfq.connect(daemon.path) as engine:
        group, endpoint = engine.group(7), engine.endpoint(weight=3)
        group.join(endpoint)
        group.bind(netns_pair.dev_b)
        group.set_program("inc 5")
        Bench(engine, netns_pair).send(group, 20)

        def said(*arguments: str) -> Any:
            command = [sys.executable, "-c", "from pfq.cli import main; main()", *arguments]
            return json.loads(subprocess.run(command, capture_output=True, check=True, env=environment).stdout)

        environment = os.environ | {"PFQ_SOCKET": str(daemon.path), "PYTHONPATH": os.pathsep.join(sys.path)}
        (found,) = said("groups", "-j")
        assert (found["group"], found["program"], found["members"][0]["endpoint"]) == (7, "inc 5", endpoint.number)
        assert found["bindings"][0]["device"] == netns_pair.dev_b
        (found,) = said("endpoints", "-j")
        assert (found["pid"], found["user"], found["weight"], found["groups"]) == (os.getpid(), "root", 3, [7])
        assert said("counters", "7", "-j")[0]["counters"][5] == 20
        stats = said("stats", "-j")
        assert (stats["groups"][0]["arrived"], stats["endpoints"][0]["waiting"]) == (20, 20)


COMMAND_IMPORTS = f"{IMPORTS}, pfq.client.capture, pfq.cli.capture, pfq.cli.live, numpy"
COMMAND = """
import sys
from pfq.cli import commands
commands.main(sys.argv[1:], prog_name="pfq")
"""


def test_capture_of_a_group_by_a_user_without_privilege(netns_pair: Pair) -> None:
    with running(netns_pair) as daemon, pfq.connect(daemon.path) as engine:
        group, other = engine.group(7), engine.endpoint(snaplen=96)
        group.join(other)
        group.bind(netns_pair.dev_b)
        group.set_program("steer_rrobin")
        words = ("capture", "--group", "7", "--socket", str(daemon.path), "-c", "30", "-s", "96", "--json")
        with as_nobody(COMMAND, *words, imports=COMMAND_IMPORTS) as process:
            assert process.stdout is not None
            start = json.loads(process.stdout.readline())
            assert (start["device"], start["program"], start["snaplen"]) == (netns_pair.dev_b, "steer_rrobin", 96)
            Bench(engine, netns_pair).send(group, 60)
            records = [json.loads(line) for line in process.stdout]
            assert process.wait(10) == 0
        assert [record["type"] for record in records] == ["packet"] * 30 + ["end"]
        assert (records[-1]["captured"], records[-1]["arrived"], records[-1]["lost"]) == (30, 60, 0)
        assert other.statistics().delivered == 30, "the other half"
        assert eventually(lambda: len(daemon.engine.endpoints) == 1, 5.0), "it has left"
