"""Outputs of groups in the configuration, and groups that clients have made before."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest
from root.daemon.process import Pfqd, group, pfqd_of
from root.network import Pair, eventually, numbered

from pfq.kernel.programs import wait_for_running_programs

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("nothing_left")]

OUTS = ("pfqt-o1", "pfqt-o2")


@pytest.fixture
def daemon(netns_pair: Pair) -> Iterator[Pfqd]:
    for name in OUTS:
        netns_pair.b.run("ip", "link", "add", name, "type", "veth", "peer", "name", f"{name}p")
        netns_pair.b.run("ip", "link", "set", name, "up")
        netns_pair.b.run("ip", "link", "set", f"{name}p", "up")
    with pfqd_of(netns_pair) as made:
        yield made


def sent(pair: Pair, device: str) -> int:
    """Packets that went out of a device, as its other end has counted them."""
    text = pair.b.run("cat", "/proc/net/dev")
    (line,) = [line for line in text.splitlines() if line.strip().startswith(f"{device}p:")]
    return int(line.split()[2])


def send(pair: Pair, count: int) -> None:
    with pair.sender() as sender:
        sender.send(map(numbered, range(count)))
    wait_for_running_programs()


def test_outputs_get_the_packets(netns_pair: Pair, daemon: Pfqd) -> None:
    one, two = OUTS
    text = group(1, "unit", (netns_pair.dev_b,), "auto")
    daemon.configure(f'{text}output = ["{one}", {{ device = "{two}", class = "user_plane", weight = 2 }}]\n')
    daemon.start()
    before = [sent(netns_pair, name) for name in OUTS]
    send(netns_pair, 20)
    assert eventually(lambda: sent(netns_pair, one) >= before[0] + 20, 5.0)
    assert sent(netns_pair, two) < before[1] + 20, "`unit` is for another class"
    members = {each["egress"]["device"]: each for each in daemon.ask("list")["endpoints"]}
    assert {name: members[name]["weight"] for name in OUTS} == {one: 1, two: 2}
    numbers = {name: members[name]["endpoint"] for name in OUTS}

    daemon.reload(f'{text}output = [{{ device = "{one}", weight = 3 }}, {{ device = "{two}" }}]\n')
    members = {each["egress"]["device"]: each for each in daemon.ask("list")["endpoints"]}
    assert {name: members[name]["endpoint"] for name in OUTS} == numbers, "they are the same end-points"
    assert {name: members[name]["weight"] for name in OUTS} == {one: 3, two: 1}
    before = [sent(netns_pair, name) for name in OUTS]
    send(netns_pair, 20)
    for name, count in zip(OUTS, before, strict=True):
        assert eventually(lambda name=name, count=count: sent(netns_pair, name) >= count + 20, 5.0)

    daemon.reload(f'{text}output = ["{two}"]\n')
    assert [each["egress"]["device"] for each in daemon.ask("list")["endpoints"]] == [two]
    assert daemon.end() == 0
    assert daemon.left() == ["pfqd.lock"]


def test_outputs_survive_kill_9(netns_pair: Pair, daemon: Pfqd) -> None:
    one, _ = OUTS
    daemon.configure(f'{group(1, "unit", (netns_pair.dev_b,), "auto")}output = ["{one}"]\n')
    daemon.start()
    daemon.end(signal.SIGKILL)
    before = sent(netns_pair, one)
    send(netns_pair, 20)
    assert eventually(lambda: sent(netns_pair, one) >= before + 20, 5.0)
    daemon.start()
    assert len(daemon.ask("list")["endpoints"]) == 1
    assert "output" not in daemon.log.split("took over", 1)[1]
    before = sent(netns_pair, one)
    send(netns_pair, 20)
    assert eventually(lambda: sent(netns_pair, one) >= before + 20, 5.0)


def test_a_clients_group_becomes_one_of_the_configuration(netns_pair: Pair, daemon: Pfqd) -> None:
    daemon.start()
    client = daemon.client()
    endpoint = client.call("endpoint.open")["endpoint"]
    client.call("group.join", endpoint=endpoint, group=1)
    daemon.reload(group(1, "inc 1", (netns_pair.dev_b,)))
    send(netns_pair, 10)
    found = client.call("group.statistics", group=1)
    assert (found["arrived"], found["counters"][1]) == (10, 10)
    client.close()
    assert [each["held"] for each in daemon.ask("list")["groups"]] == [True]


def test_another_policy_is_told(netns_pair: Pair, daemon: Pfqd) -> None:
    daemon.configure(group(1))
    daemon.start()
    daemon.configure(group(1, policy="'restricted'"))
    assert daemon.ask("reload") == {"changed": ["group 1 is restricted now"]}
    assert [each["policy"] for each in daemon.ask("list")["groups"]] == ["restricted"]
