"""Rights and quotas, seen by clients that have few of them."""

from __future__ import annotations

import os
import re
import socket
import struct
from collections.abc import Iterator
from typing import Any

import pytest
from root.daemon.harness import EVERYTHING, NOBODY_UID, Client, Daemon, running
from root.network import Pair, eventually, numbered

from pfq.daemon.access import Access, Rule
from pfq.daemon.limits import Limits
from pfq.daemon.service import Hooks
from pfq.errors import DaemonMissingError, LimitError, NotPermittedError, PfqError, UsageError

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("nothing_left")]

DEVICE = "pfqt-b"
TEAM = 4242
CONTROLS: dict[str, dict[str, Any]] = {
    "group.bind": {"device": DEVICE},
    "group.unbind": {"device": DEVICE},
    "group.set_program": {"text": "drop"},
    "group.set_filter": {"expression": "tcp"},
    "group.set_vlans": {"vlans": [1]},
    "group.vlan": {"on_": True},
    "group.replace_set": {"name": "10.0.0.0/8", "prefixes": []},
    "group.reload_sets": {},
    "group.close": {},
}


def rule(*allow: str, groups: list[int] | None = None, devices: list[str] | None = None, **who: Any) -> Rule:
    return Rule(
        **(who or {"user": NOBODY_UID}),
        groups=None if groups is None else frozenset(groups),
        devices=None if devices is None else frozenset(devices),
        allow=frozenset(allow),
    )


@pytest.fixture
def groups(netns_pair: Pair) -> Iterator[Daemon]:
    """Groups 1 to 4 of the superuser, with a member each; nobody sees 1, joins 2, configures 3, and knows not 4."""
    rules = [rule("see", groups=[1]), rule("join", groups=[2]), rule("configure", groups=[3, 9], devices=[DEVICE])]
    with running(netns_pair, rules) as daemon, daemon.client() as owner:
        for number in (1, 2, 3, 4):
            owner.call("group.join", endpoint=owner.call("endpoint.open", slots=64)["endpoint"], group=number)
            owner.call("group.bind", group=number, device=DEVICE)
        yield daemon


def outcome(client: Client, name: str, /, **arguments: Any) -> str:
    """`done`, or the code of the error."""
    try:
        client.call(name, **arguments)
    except PfqError as error:
        return error.code
    return "done"


def test_U1_who_has_no_rights_is_told_so_and_sent_away(netns_pair: Pair) -> None:
    with running(netns_pair, [rule("see", user=1)]) as daemon:
        with Client(daemon.path, uid=NOBODY_UID, hello=False) as client:
            message = client.receive()
            assert (message["id"], message["error"]["code"]) == (None, "PFQ204")
            assert "user nobody has no rights here" in message["error"]["message"]
            assert client.is_closed()
        # Also when it speaks first.
        with pytest.raises(NotPermittedError):
            Client(daemon.path, uid=NOBODY_UID).close()
        assert daemon.service.status()["refused"] == 2
        assert daemon.service.status()["received"] == 0, "nothing was read"


def test_U1_rights_by_group_of_users(netns_pair: Pair) -> None:
    with running(netns_pair, [rule("see", group=TEAM)]) as daemon:
        for gids in ([TEAM], [NOBODY_UID, 7, TEAM]):
            with daemon.client(uid=NOBODY_UID, gids=gids) as client:
                client.call("list")
        with pytest.raises(NotPermittedError):
            daemon.client(uid=NOBODY_UID, gids=[NOBODY_UID])
        with daemon.client(uid=NOBODY_UID, gids=[TEAM]) as client:
            daemon.service.access = Access([rule("see", user=1)])
            assert client.call("list")["groups"] == [], "what was taken away is away, for those too who are here"
            with pytest.raises(NotPermittedError):
                daemon.client(uid=NOBODY_UID, gids=[TEAM])


def test_U1_who_may_not_reach_the_socket(netns_pair: Pair) -> None:
    with running(netns_pair) as daemon:
        daemon.path.chmod(0o600)
        with pytest.raises(DaemonMissingError, match="you may not connect"):
            daemon.client(uid=NOBODY_UID)


def test_what_may_be_seen(groups: Daemon) -> None:
    with groups.client(uid=NOBODY_UID) as client, groups.client() as root:
        found = client.call("list")
        assert [each["group"] for each in found["groups"]] == [1, 2, 3]
        assert [each["groups"] for each in found["endpoints"]] == [[1], [2], [3]]
        assert [each["groups"] for each in found["devices"]] == [[1, 2, 3]]
        assert [each["group"] for each in root.call("list")["groups"]] == [1, 2, 3, 4]
        for number in (1, 2, 3):
            assert len(client.call("group.statistics", group=number)["counters"]) == 64
        assert "service" not in client.call("status")
        assert "service" in root.call("status")


def test_an_end_point_does_not_tell_of_hidden_groups(groups: Daemon) -> None:
    with groups.client() as root, groups.client(uid=NOBODY_UID) as client:
        number = root.call("endpoint.open", slots=64)["endpoint"]
        for group in (1, 4):
            root.call("group.join", endpoint=number, group=group)
        seen = {each["endpoint"]: each["groups"] for each in client.call("list")["endpoints"]}
        assert seen[number] == [1]


def test_what_a_program_told_is_not_for_who_has_the_number_next(netns_pair: Pair) -> None:
    with running(netns_pair) as daemon, daemon.client(uid=NOBODY_UID) as other:
        with daemon.client() as owner, netns_pair.sender() as sender:
            owner.call("group.join", endpoint=owner.call("endpoint.open", slots=64)["endpoint"], group=5)
            owner.call("group.bind", group=5, device=DEVICE)
            owner.call("group.set_program", group=5, text="log_packet")
            sender.send(numbered(number) for number in range(5))
            assert eventually(lambda: owner.call("group.statistics", group=5)["arrived"] == 5)
        assert eventually(lambda: not daemon.engine.groups, 5)
        other.call("group.join", endpoint=other.call("endpoint.open", slots=64)["endpoint"], group=5)
        assert other.call("events")["events"] == []


def test_U13_what_may_not_be_seen_is_as_if_it_were_not_there(groups: Daemon) -> None:
    """Every call about a group gives the same words for one that is there, hidden, and for one that is not."""
    with groups.client(uid=NOBODY_UID) as client:
        number = client.call("endpoint.open", slots=64)["endpoint"]
        calls = CONTROLS | {
            "group.statistics": {},
            "group.open": {},
            "group.join": {"endpoint": number},
            "group.leave": {"endpoint": number},
        }
        for name, arguments in calls.items():
            there, absent = (str(client.refused(name, group=group, **arguments)) for group in (4, 40))
            assert there.replace("group 4", "group 40") == absent
            assert "there is no group 40" in absent
        assert 4 in groups.engine.groups
        assert 40 not in groups.engine.groups


def test_rights_and_membership(groups: Daemon) -> None:
    with groups.client(uid=NOBODY_UID) as client:
        number = client.call("endpoint.open", slots=64)["endpoint"]
        joins = {group: outcome(client, "group.join", endpoint=number, group=group) for group in (1, 2)}
        assert joins == {1: "PFQ204", 2: "done"}
        for name, arguments in CONTROLS.items():
            # Group 1 is only to be seen, 2 to be joined, and of 3 the client is not a member.
            assert [outcome(client, name, group=group, **arguments) for group in (1, 2, 3)] == ["PFQ204"] * 3
        client.call("group.join", endpoint=number, group=3)
        client.call("group.set_program", group=3, text="ip")
        client.call("group.leave", endpoint=number, group=3)
        assert outcome(client, "group.set_program", group=3, text="ip") == "PFQ204"
        assert str(groups.engine.groups[3].settings.program) == "ip"


def test_which_groups_may_be_made(groups: Daemon) -> None:
    with groups.client(uid=NOBODY_UID) as client:
        assert client.call("group.open") == {"group": 9}, "the lowest free one that it may configure"
        assert isinstance(client.refused("group.open"), LimitError)
        client.call("group.bind", group=9, device=DEVICE)  # nobody is in it yet, and it is the client's
        with groups.client(uid=NOBODY_UID) as other:
            assert outcome(other, "group.set_program", group=9, text="drop") == "PFQ204"
            assert outcome(other, "group.close", group=9) == "PFQ204"
        number = client.call("endpoint.open", slots=64)["endpoint"]
        assert client.call("group.join", endpoint=number, group=9)["policy"] == "shared"
        assert outcome(client, "group.join", endpoint=number, group=10) == "PFQ201"
        assert outcome(client, "group.join", endpoint=number, group=64) == "PFQ304"
        assert outcome(client, "group.open", group=-1) == "PFQ304"
        client.call("group.close", group=9)
        assert client.call("group.join", endpoint=number)["group"] == 9
        assert outcome(client, "group.open", group=2, policy="private") == "PFQ201"
        assert client.call("group.open", group=2) == {"group": 2}


def test_U14_devices(groups: Daemon, netns_pair: Pair) -> None:
    netns_pair.b.run("ip", "link", "add", "pfqt-c", "type", "veth", "peer", "name", "pfqt-d")
    with groups.client(uid=NOBODY_UID) as client:
        number = client.call("endpoint.open", slots=64)["endpoint"]
        client.call("group.join", endpoint=number, group=9)
        for device, wanted in {DEVICE: "done", "pfqt-c": "PFQ204", "none": "PFQ204"}.items():
            assert outcome(client, "group.bind", group=9, device=device) == wanted
            assert outcome(client, "promiscuous", device=device, on_=True) == wanted
            for text in (f'forward "{device}"', f'link ["{device}"]', f'when is_udp (bridge "{device}")'):
                got = outcome(client, "group.set_program", group=9, text=text)
                assert (got == "PFQ204") == (wanted == "PFQ204"), text
            for egress in (device, {"device": device, "queue": 0}):
                made = outcome(client, "endpoint.open", egress=egress)
                assert (made == "PFQ204") == (wanted == "PFQ204")
        for odd in ({}, {"device": 7}, {"device": DEVICE, "queue": "1"}, {"device": DEVICE, "colour": 1}):
            assert isinstance(client.refused("endpoint.open", egress=odd), UsageError)


def test_administrators(groups: Daemon) -> None:
    asked: list[str] = []
    hooks = Hooks(reload=lambda: {"changed": [asked.append("reload")]}, stop=lambda: asked.append("stop"))
    groups.service.hooks = hooks
    with groups.client(uid=NOBODY_UID) as client:
        for name in ("reload", "stop"):
            assert outcome(client, name) == "PFQ204"
        assert asked == []
        groups.service.access = Access([rule("admin")])
        assert client.call("reload") == {"changed": [None]}
        assert client.call("group.set_program", group=4, text="udp")["devices"] == [DEVICE], "no member of it"
        client.call("stop")
        assert eventually(lambda: asked == ["reload", "stop"])


def test_groups_of_the_configuration_are_changed_by_administrators_only(netns_pair: Pair) -> None:
    with running(netns_pair, [EVERYTHING]) as daemon, daemon.client(uid=NOBODY_UID) as client, daemon.client() as root:
        daemon.engine.group(5, "shared", held=True)
        number = client.call("endpoint.open", slots=64)["endpoint"]
        client.call("group.join", endpoint=number, group=5)
        for name, arguments in CONTROLS.items():
            assert outcome(client, name, group=5, **arguments) == "PFQ204"
        client.call("group.leave", endpoint=number, group=5)
        assert [each["held"] for each in client.call("list")["groups"]] == [True], "it stays"
        root.call("group.set_program", group=5, text="udp")


def test_policies_count_for_the_connecting_process(netns_pair: Pair) -> None:
    with running(netns_pair, [EVERYTHING]) as daemon, daemon.client(uid=NOBODY_UID) as first:
        mine = [first.call("endpoint.open", slots=64)["endpoint"] for _ in range(2)]
        first.call("group.join", endpoint=mine[0], group=1, policy="private")
        first.call("group.join", endpoint=mine[0], group=2, policy="restricted")
        first.call("group.join", endpoint=mine[1], group=2)
        assert outcome(first, "group.join", endpoint=mine[1], group=1) == "PFQ204"
        assert [outcome(first, "group.statistics", group=group) for group in (1, 2)] == ["done"] * 2
        # Another connection of this process: another session, the same process.
        with daemon.client(uid=NOBODY_UID) as second:
            assert [outcome(second, "group.statistics", group=group) for group in (1, 2)] == ["PFQ204", "done"]
            seen = {each["group"]: each["statistics"] for each in second.call("list")["groups"]}
            assert (seen[1] is None, seen[2] is None) == (True, False)
            number = second.call("endpoint.open", slots=64)["endpoint"]
            assert [outcome(second, "group.join", endpoint=number, group=group) for group in (1, 2)] == [
                "PFQ204",
                "done",
            ]
        with daemon.client() as root:
            assert [outcome(root, "group.statistics", group=group) for group in (1, 2)] == ["done"] * 2


# quotas


def test_U5_connections_of_a_user(netns_pair: Pair) -> None:
    with running(netns_pair, limits=Limits(user_connections=3, connections=5)) as daemon:
        clients = [daemon.client(uid=NOBODY_UID) for _ in range(3)]
        with pytest.raises(LimitError, match="user 65534 has 3 connections"):
            daemon.client(uid=NOBODY_UID)
        clients += [daemon.client() for _ in range(2)]
        with pytest.raises(LimitError, match="5 clients"):
            daemon.client()
        clients[0].close()
        assert eventually(lambda: daemon.service.status()["clients"] == 4)
        daemon.client(uid=NOBODY_UID).close()
        for client in clients:
            client.close()
        assert eventually(lambda: daemon.service.status()["clients"] == 0)


def test_U12_end_points_and_memory_of_a_user(netns_pair: Pair) -> None:
    """The kernel is not asked for what is too much."""
    with running(netns_pair, limits=Limits(user_endpoints=3, user_ring_bytes=4 << 20, changes_at_once=1000)) as daemon:
        with daemon.client(uid=NOBODY_UID) as client, daemon.client(uid=NOBODY_UID) as other:
            error = client.refused("endpoint.open", slots=1 << 18, snaplen=65535)
            assert re.match(r"rings of \d{11} bytes are too much: user 65534 has 0 of", error.message)
            for _ in range(20):
                client.call("endpoint.close", endpoint=client.call("endpoint.open", slots=512)["endpoint"])
            first = client.call("endpoint.open", slots=512)["endpoint"]
            assert "bytes are too much" in other.refused("endpoint.open", slots=1024).message, "it is the user's quota"
            client.call("endpoint.disable", endpoint=first)
            second = other.call("endpoint.open", slots=512)["endpoint"]
            client.call("endpoint.set", endpoint=first, slots=1 << 17)
            assert "bytes are too much" in client.refused("endpoint.enable", endpoint=first).message
            other.call("endpoint.open", enabled=False)
            assert "has 3 end-points" in other.refused("endpoint.open", enabled=False).message
            client.call("endpoint.set", endpoint=first, slots=64)
            client.call("endpoint.enable", endpoint=first)
            other.call("endpoint.close", endpoint=second)
            assert daemon.service.quotas.used(NOBODY_UID)[1] == 2
        assert eventually(lambda: daemon.service.quotas.used(NOBODY_UID) == (0, 0, 0), 5)


def test_changes_a_second(netns_pair: Pair) -> None:
    limits = Limits(changes_per_second=1, changes_at_once=4)
    with running(netns_pair, limits=limits) as daemon, daemon.client(uid=NOBODY_UID) as client, daemon.client() as root:
        number = client.call("endpoint.open", slots=64)["endpoint"]
        client.call("group.join", endpoint=number, group=1)
        client.call("group.set_program", group=1, text="ip")
        client.call("group.set_filter", group=1, expression="tcp")
        error = client.refused("group.set_program", group=1, text="udp")
        assert "more than 1 programs" in error.message
        assert str(daemon.engine.groups[1].settings.program) == "ip"
        for _ in range(10):
            client.call("group.statistics", group=1)
            root.call("group.set_program", group=1, text="udp")
        assert eventually(lambda: outcome(client, "group.set_program", group=1, text="tcp") == "done", 3)


def test_U2_who_connected_counts_and_not_who_speaks(netns_pair: Pair) -> None:
    """The connection is nobody's, though the superuser uses it here; credentials that are sent say nothing."""
    with running(netns_pair) as daemon, daemon.client(uid=NOBODY_UID) as client:
        assert outcome(client, "stop") == "PFQ204"
        forged = struct.pack("=iII", 1, 0, 0)
        client.channel.socket.sendmsg(
            [b'{"id": 9, "call": "stop"}'], [(socket.SOL_SOCKET, socket.SCM_CREDENTIALS, forged)]
        )
        assert client.receive()["error"]["code"] == "PFQ204"
        (there,) = daemon.service.clients()
        assert (there["uid"], there["pid"]) == (NOBODY_UID, os.getpid())
