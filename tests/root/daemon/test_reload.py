"""Reading the configuration again: only what was changed is touched, and what is wrong changes nothing."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from root.daemon.process import Pfqd, group, pfqd_of
from root.network import Pair, eventually, numbered

import pfq
from pfq.errors import ConfigErrors

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("nothing_left")]

OTHER = "pfqt-other"


@pytest.fixture
def daemon(netns_pair: Pair) -> Iterator[Pfqd]:
    """With a second device in its namespace."""
    netns_pair.b.run("ip", "link", "add", OTHER, "type", "veth", "peer", "name", "pfqt-peer")
    netns_pair.b.run("ip", "link", "set", OTHER, "up")
    with pfqd_of(netns_pair) as made:
        yield made


def send(pair: Pair, count: int) -> None:
    with pair.sender() as sender:
        sender.send(map(numbered, range(count)))


def counters(daemon: Pfqd, number: int) -> list[int]:
    found: list[int] = daemon.ask("group.statistics", group=number)["counters"]
    return found


def groups(daemon: Pfqd) -> list[int]:
    return [each["group"] for each in daemon.ask("list")["groups"]]


def test_only_what_was_changed_is_touched(netns_pair: Pair, daemon: Pfqd) -> None:
    here = group(1, "inc 1", (netns_pair.dev_b,))
    daemon.configure(here + group(2, "inc 2", (OTHER,)))
    daemon.start()
    before, links = (daemon.program(netns_pair.dev_b), daemon.program(OTHER)), daemon.links()
    send(netns_pair, 10)
    assert eventually(lambda: counters(daemon, 1)[1] == 10, 5.0)

    daemon.reload(here + group(2, "inc 3", (OTHER,)))
    after = (daemon.program(netns_pair.dev_b), daemon.program(OTHER))
    assert after[0] == before[0], "another group's device has nothing to do with it"
    assert after[1] != before[1]
    assert daemon.links() == links, "programs are replaced in their places"
    send(netns_pair, 10)
    assert eventually(lambda: counters(daemon, 1)[1] == 20, 5.0)
    assert daemon.logged("read again: group 2 has another program")

    daemon.reload(here)
    assert (daemon.program(netns_pair.dev_b), daemon.program(OTHER)) == (before[0], 0)
    assert groups(daemon) == [1]

    daemon.reload(here + group(7, "inc 7", (netns_pair.dev_b,)))
    send(netns_pair, 10)
    assert eventually(lambda: (counters(daemon, 1)[1], counters(daemon, 7)[7]) == (30, 10), 5.0)


def test_nothing_changes_when_nothing_was_changed(netns_pair: Pair, daemon: Pfqd) -> None:
    text = group(1, "tcp >-> steer_flow", (netns_pair.dev_b,), filter="'tcp port 80'", vlans="[0, 7]")
    daemon.configure(text)
    daemon.start()
    before = daemon.program(netns_pair.dev_b)
    assert daemon.process is not None
    daemon.process.send_signal(signal.SIGHUP)
    daemon.wait_for("RELOADING=1")
    daemon.wait_for("READY=1")
    daemon.reload(f"# a comment\n{text}\n")
    assert daemon.log.count("the configuration was read again: nothing has changed") == 2
    assert daemon.program(netns_pair.dev_b) == before


def test_a_broken_configuration_changes_nothing_and_says_why(netns_pair: Pair, daemon: Pfqd) -> None:
    daemon.configure(group(1, "inc 1", (netns_pair.dev_b,)))
    daemon.start()
    before = daemon.program(netns_pair.dev_b)
    told = daemon.reload(group(1, "inc 2", (netns_pair.dev_b,)) + group(99, "tpc"))
    assert "the old configuration is still in force" in told
    assert daemon.program(netns_pair.dev_b) == before
    assert daemon.logged(r"pfqd.toml:\d+:\d+: `number` is 0 to 63, not 99")
    assert daemon.logged(r"pfqd.toml:\d+:\d+: unknown name `tpc` \(did you mean `tcp`")
    status = daemon.ask("status")
    assert not status["reload"]["ok"]
    assert "2 faults" in status["reload"]["error"]
    with pfq.connect(daemon.path) as engine, pytest.raises(ConfigErrors):
        engine._call("reload")
    daemon.wait_for("still in force")

    daemon.reload(group(1, "inc 2", (netns_pair.dev_b,)))
    assert daemon.ask("status")["reload"]["ok"]
    assert daemon.program(netns_pair.dev_b) != before


def test_all_or_nothing_when_the_kernel_refuses_a_part(netns_pair: Pair, daemon: Pfqd) -> None:
    """A second group wants the device at another hook, which cannot be: the first one is not changed either."""
    daemon.configure(group(1, "inc 1", (netns_pair.dev_b,)))
    daemon.start()
    before = daemon.program(netns_pair.dev_b)
    clash = f"[[group]]\nnumber = 2\ninput = [{{device = '{netns_pair.dev_b}', hook = 'tcx'}}]\n"
    told = daemon.reload(group(1, "inc 2", (netns_pair.dev_b, OTHER)) + clash + group(3))
    assert "the old configuration is still in force" in told
    assert (daemon.program(netns_pair.dev_b), daemon.program(OTHER)) == (before, 0)
    assert groups(daemon) == [1]
    send(netns_pair, 5)
    assert eventually(lambda: counters(daemon, 1)[1] == 5, 5.0)


def test_programs_in_files_are_watched_too(netns_pair: Pair, daemon: Pfqd) -> None:
    file: Path = daemon.folder / "edge.pfq"
    file.write_text("main = inc 1\n")
    daemon.configure(f'[[group]]\nnumber = 1\nprogram_file = "edge.pfq"\ninput = ["{netns_pair.dev_b}"]\n')
    daemon.start()
    file.write_text("main = inc\n")
    assert "still in force" in daemon.wait_for("READY=1")
    file.write_text("main = inc 2\n")
    assert "still in force" not in daemon.wait_for("READY=1")
    send(netns_pair, 5)
    assert eventually(lambda: counters(daemon, 1)[:3] == [0, 0, 5], 5.0)


def test_clients_stay_in_groups_that_the_configuration_gives_up(netns_pair: Pair, daemon: Pfqd) -> None:
    daemon.configure(group(1, "unit", (netns_pair.dev_b,)) + group(2))
    daemon.start()
    client = daemon.client()
    endpoint = client.call("endpoint.open")["endpoint"]
    client.call("group.join", endpoint=endpoint, group=1)
    daemon.reload("")
    assert groups(daemon) == [1]
    send(netns_pair, 10)
    assert eventually(lambda: client.call("endpoint.statistics", endpoint=endpoint)["selected"] == 10, 5.0)
    client.close()
    assert eventually(lambda: groups(daemon) == [], 5.0)
    assert eventually(lambda: not daemon.program(netns_pair.dev_b), 5.0)


def test_rights_and_limits_hold_at_once(daemon: Pfqd) -> None:
    daemon.configure(group(1))
    daemon.start()
    daemon.reload(group(1) + "[[rights]]\nuser = '*'\nallow = ['see']\n[limits]\nuser_endpoints = 2\n")
    assert daemon.ask("status")["reload"]["changed"] == ["rights are others", "limits are others"]


def test_what_needs_another_start_is_told(daemon: Pfqd) -> None:
    daemon.start()
    daemon.configure(group(1), 'metrics = "127.0.0.1:9812"')
    daemon.wait_for("READY=1")
    assert daemon.logged("`metrics` of \\[daemon\\] was changed, which needs another start")
    assert groups(daemon) == [1]
