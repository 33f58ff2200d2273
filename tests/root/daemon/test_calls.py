"""What calls do: the same as the engine's methods, and what they answer."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import fields
from typing import Any

import pytest
from root.capture.harness import flow_frame
from root.daemon.harness import Client, Daemon, running
from root.network import Pair, eventually
from support.statements import tcp_frame, udp_frame

from pfq.codegen.device import Device as DeviceSpec
from pfq.codegen.device import DeviceCode
from pfq.engine.compiler import LocalCompiler
from pfq.engine.engine import Engine
from pfq.engine.statistics import EndpointStatistics, GroupStatistics
from pfq.errors import DeviceMissingError, JsonFormError, LimitError, ProgramErrors, UnknownNameError, UsageError
from pfq.lang import compile_text, to_json

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("nothing_left")]


@pytest.fixture
def daemon(netns_pair: Pair) -> Iterator[Daemon]:
    with running(netns_pair) as made:
        yield made


@pytest.fixture
def client(daemon: Daemon, netns_pair: Pair) -> Iterator[Client]:
    """Its end-point 0 is in group 7, which sees `dev_b`."""
    with daemon.client() as made:
        made.call("endpoint.open", slots=4096)
        made.call("group.join", endpoint=0, group=7, classes=5)
        made.call("group.bind", group=7, device=netns_pair.dev_b)
        yield made


def listed(client: Client, group: int = 7) -> dict[str, Any]:
    return next(each for each in client.call("list")["groups"] if each["group"] == group)


def test_a_group_in_the_list(client: Client, netns_pair: Pair) -> None:
    client.call("group.set_program", group=7, text="main = ip >-> steer_flow")
    client.call("group.set_filter", group=7, expression="tcp port 80")
    client.call("group.set_vlans", group=7, vlans=[0, 10])
    found = listed(client)
    assert len(found.pop("statistics")["counters"]) == 64
    assert found == {
        "group": 7,
        "policy": "shared",
        "program": "ip >-> steer_flow",
        "filter": "tcp port 80",
        "vlans": [0, 10],
        "bindings": [
            {
                "device": netns_pair.dev_b,
                "queue": None,
                "direction": "in",
                "binding": "tap",
                "hook": "auto",
                "promiscuous": False,
                "attachment": "TC ingress (tcx)",
            }
        ],
        "members": [{"endpoint": 0, "classes": 5, "weight": 1}],
        "held": False,
    }


def test_changes_say_what_they_took(client: Client, netns_pair: Pair) -> None:
    change = client.call("group.set_program", group=7, text="udp")
    assert change["devices"] == [netns_pair.dev_b]
    assert all(change[each] >= 0 for each in ("compile", "load", "swap"))
    assert client.call("group.unbind", group=7, device=netns_pair.dev_b)["devices"] == [netns_pair.dev_b]
    assert listed(client)["bindings"] == []
    client.call("group.bind", group=7, device=netns_pair.dev_b, queue=0, hook="xdp", binding="inline", promiscuous=True)
    (found,) = listed(client)["bindings"]
    assert (found["queue"], found["hook"], found["binding"], found["promiscuous"]) == (0, "xdp", "inline", True)
    for arguments in ({"hook": "nose"}, {"direction": "up"}, {"binding": "loose"}, {"queue": -1}):
        assert isinstance(client.refused("group.bind", group=7, device=netns_pair.dev_b, **arguments), UsageError)
    assert isinstance(client.refused("group.bind", group=7, device="none"), DeviceMissingError)


def test_programs(client: Client) -> None:
    program = compile_text("filter is_tcp >-> steer_flow")
    client.call("group.set_program", group=7, json=to_json(program))
    assert listed(client)["program"] == str(program)
    client.call("group.set_program", group=7)
    assert listed(client)["program"] == "unit"
    error = client.refused("group.set_program", group=7, text="ip >->\n  steer_flwo", name="edge.pfq")
    assert isinstance(error, UnknownNameError)
    assert str(error).startswith("edge.pfq:2:3: error[PFQ103]: unknown name `steer_flwo`\n    2 |   steer_flwo\n")
    assert isinstance(client.refused("group.set_program", group=7, text="nix >-> nada"), ProgramErrors)
    assert isinstance(client.refused("group.set_program", group=7, json="[]"), JsonFormError)
    assert "not as both" in client.refused("group.set_program", group=7, text="ip", json="[]").message
    assert "is empty" in client.refused("group.set_program", group=7, text="").message
    assert isinstance(client.refused("group.set_program", group=7, json=""), JsonFormError)
    error = client.refused("group.set_program", group=7, text='filter (addr_in "/etc/passwd")')
    assert "cannot name files" in error.message
    assert "root" not in str(error)
    assert listed(client)["program"] == "unit", "what is refused changes nothing"


def test_filters(client: Client, netns_pair: Pair) -> None:
    with netns_pair.sender() as sender:
        for filter_ in ({"expression": "udp"}, {"instructions": [[6, 0, 0, 0]]}, {"expression": None}, {}):
            client.call("group.set_filter", group=7, **filter_)
            before = client.call("group.statistics", group=7)
            sender.send([udp_frame(note=1), tcp_frame(note=2)])
            assert eventually(lambda b=before: client.call("group.statistics", group=7)["arrived"] == b["arrived"] + 2)
        assert client.call("group.statistics", group=7)["filtered"] == 1 + 2 + 0 + 0
    assert "not as both" in client.refused("group.set_filter", group=7, expression="udp", instructions=[]).message
    for wrong in ({"expression": "udp and"}, {"instructions": [[6, 0, 0]]}, {"instructions": []}):
        client.refused("group.set_filter", group=7, **wrong)


def test_vlans_the_originals_way(client: Client) -> None:
    assert "is off" in client.refused("group.vlan", group=7, set=5).message
    steps: list[tuple[dict[str, Any], Any]] = [
        ({"on_": True}, []),
        ({"set": 5}, [5]),
        ({"set": 0}, [0, 5]),
        ({"on_": True}, [0, 5]),
        ({"reset": 5}, [0]),
        ({"set": -1}, [-1, 0]),
        ({"reset": -1}, [0]),
        ({"on_": False}, None),
    ]
    for arguments, wanted in steps:
        client.call("group.vlan", group=7, **arguments)
        assert listed(client)["vlans"] == wanted
    for wrong in ({}, {"set": 1, "reset": 2}):
        assert "has one of" in client.refused("group.vlan", group=7, **wrong).message
    client.refused("group.set_vlans", group=7, vlans=[4095])
    client.call("group.set_vlans", group=7, vlans=None)


def test_sets_of_prefixes(client: Client, netns_pair: Pair) -> None:
    client.call("group.set_program", group=7, text='filter (addr_in "192.0.2.0/24")')
    assert client.call("group.replace_set", group=7, name="192.0.2.0/24", prefixes=["0.0.0.0/0"]) == {}
    with netns_pair.sender() as sender:
        sender.send([flow_frame(1)])
        assert eventually(lambda: client.call("group.statistics", group=7)["selected"] == 1)
    assert "other" in client.refused("group.replace_set", group=7, name="other", prefixes=[]).message
    client.refused("group.replace_set", group=7, name="192.0.2.0/24", prefixes=["/etc/passwd"])
    assert client.call("group.reload_sets", group=7) == {"changed": []}


def test_statistics_are_those_of_the_engine(client: Client, daemon: Daemon) -> None:
    found = client.call("group.statistics", group=7)
    assert set(found) == {each.name for each in fields(GroupStatistics)}
    assert set(client.call("endpoint.statistics", endpoint=0)) == {each.name for each in fields(EndpointStatistics)}
    assert GroupStatistics(**found | {"counters": tuple(found["counters"])}) == daemon.engine.groups[7].statistics()


def test_events_go_to_those_who_are_in_the_group(client: Client, daemon: Daemon, netns_pair: Pair) -> None:
    client.call("group.set_program", group=7, text='log_msg "seen"')
    with daemon.client() as other, netns_pair.sender() as sender:
        frame = udp_frame(note=1)
        sender.send([frame] * 3)
        assert eventually(lambda: client.call("group.statistics", group=7)["arrived"] == 3)
        time.sleep(0.05)
        assert other.call("events") == {"events": [], "missed": 0}, "they are dealt out, and nobody takes another's"
        found = client.call("events")["events"]
        assert len(found) == 3
        assert (found[0]["kind"], found[0]["text"], found[0]["group"], found[0]["len"]) == (
            "message",
            "seen",
            7,
            len(frame),
        )
        assert bytes.fromhex(found[0]["data"]) == frame
        assert found[0]["action"]["fanout"] == "copy"
        assert client.call("events")["events"] == []


@pytest.mark.slow
def test_64_groups_and_end_points_in_the_list(daemon: Daemon) -> None:
    """More than one message has room for."""
    program = "ip >-> " + " >-> ".join(["when (has_port 80) (inc 1)"] * 60)
    with daemon.client() as client:
        for number in range(64):
            client.call("endpoint.open", slots=2, snaplen=64)
            client.call("group.join", endpoint=number)
            client.call("group.set_program", group=number, text=program)
        assert isinstance(client.refused("endpoint.open", slots=2), LimitError)
        assert isinstance(client.refused("group.open"), LimitError)
        found = client.call("list")
        assert [each["group"] for each in found["groups"]] == [each["endpoint"] for each in found["endpoints"]]
        assert len(found["groups"]) == 64
        assert client.channel.received > 131_072


class Slow(LocalCompiler):
    """Compiles one program for as long as the test wants."""

    def __init__(self) -> None:
        self.begun, self.finish = threading.Event(), threading.Event()

    def compile(self, spec: DeviceSpec) -> DeviceCode:
        if any("inc 42" in str(group.program) for group in spec.groups):
            self.begun.set()
            assert self.finish.wait(20)
        return super().compile(spec)


def test_U16_nobody_waits_for_anothers_compiler(netns_pair: Pair) -> None:
    compiler = Slow()
    with ExitStack() as stack:
        engine = stack.enter_context(netns_pair.b.call(lambda: Engine(compiler=compiler)))
        daemon = stack.enter_context(running(netns_pair, engine=engine))
        slow, quick = (stack.enter_context(daemon.client()) for _ in range(2))
        for client, group in ((slow, 1), (quick, 2)):
            number = client.call("endpoint.open", slots=64)["endpoint"]
            client.call("group.join", endpoint=number, group=group)
            client.call("group.bind", group=group, device=netns_pair.dev_b)
        thread = threading.Thread(target=lambda: slow.call("group.set_program", group=1, text="inc 42"))
        thread.start()
        try:
            assert compiler.begun.wait(10)
            for text in ("tcp", "udp", "ip"):
                quick.call("group.set_program", group=2, text=text)
            assert listed(quick, 2)["program"] == "ip"
        finally:
            compiler.finish.set()
            thread.join(20)
        assert listed(quick, 1)["program"] == "inc 42"
