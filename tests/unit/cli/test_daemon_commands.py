"""What asks pfqd: `pfq groups`, `endpoints`, `counters`, `stats` and `capture --group`. The daemon is a fake."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.captures import Run
from support.fakepfqd import GROUP, SHAPE, FakeDaemon, fake_daemon
from support.frames import ethernet, ip4, udp

COUNTERS = {3: 12, 63: 1 << 40}
GROUPS: list[dict[str, Any]] = [
    {
        "group": 7,
        "policy": "shared",
        "program": "ip >->\n  steer_flow",
        "filter": "tcp port 80",
        "vlans": None,
        "bindings": [
            {
                "device": "eth0",
                "queue": None,
                "direction": "in",
                "binding": "tap",
                "hook": "auto",
                "promiscuous": False,
                "attachment": "XDP (native)",
            },
            {
                "device": "eth1",
                "queue": 3,
                "direction": "out",
                "binding": "inline",
                "hook": "auto",
                "promiscuous": False,
                "attachment": "TC egress (tcx)",
            },
        ],
        "members": [{"endpoint": 0, "classes": 1, "weight": 1}, {"endpoint": 2, "classes": 1, "weight": 1}],
        "held": True,
        "statistics": GROUP | {"counters": [COUNTERS.get(i, 0) for i in range(64)]},
    },
    {
        "group": 9,
        "policy": "private",
        "program": "unit",
        "filter": None,
        "vlans": None,
        "bindings": [],
        "members": [],
        "held": False,
        "statistics": None,
    },
]
ENDPOINTS: list[dict[str, Any]] = [
    {
        **SHAPE,
        "endpoint": 0,
        "pid": 812,
        "uid": 1000,
        "user": "alice",
        "egress": None,
        "groups": [7],
        "mine": False,
        "statistics": {"selected": 10, "delivered": 9, "lost": 1, "read": 5, "waiting": 4},
    },
    {
        **SHAPE,
        "endpoint": 2,
        "pid": 1,
        "uid": 0,
        "user": "root",
        "egress": {"device": "eth3", "queue": 1},
        "groups": [7],
        "mine": False,
        "statistics": None,
    },
]


@pytest.fixture
def daemon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeDaemon]:
    with fake_daemon(tmp_path) as running:
        running.answers["list"] = lambda request: {"groups": GROUPS, "endpoints": ENDPOINTS, "devices": []}
        monkeypatch.setenv("PFQ_SOCKET", str(running.path))
        yield running


def test_groups(daemon: FakeDaemon, run: Run) -> None:
    assert [re.split(" {2,}", line) for line in run("groups").stdout.splitlines()] == [
        ["group", "policy", "program", "filter", "devices", *("members", "arrived", "selected", "dropped", "filtered")],
        [
            "7",
            "shared",
            "ip >-> steer_flow",
            "tcp port 80",
            "eth0, eth1 queue 3 out inline",
            *("0,2", "3", "3", "0", "0"),
        ],
        ["9", "private", "unit", *"-------"],
    ]
    assert json.loads(run("groups", "-j").stdout) == GROUPS


def test_a_long_program_is_cut_in_the_table(daemon: FakeDaemon, run: Run) -> None:
    long = GROUPS[0] | {"program": "ip >-> " * 20 + "tcp"}
    daemon.answers["list"] = lambda request: {"groups": [long], "endpoints": [], "devices": []}
    assert "ip >-> ip >-> ip >-> ip >-> ip >-> ip >-> ip ..." in run("groups").stdout
    assert json.loads(run("groups", "-j").stdout) == [long]


def test_endpoints(daemon: FakeDaemon, run: Run) -> None:
    assert [line.split() for line in run("endpoints").stdout.splitlines()[1:]] == [
        ["0", "812", "alice", "7", "1", "96", "8", "ns", "9", "1", "4"],
        ["2", "1", "root", "7", "1", *("to", "eth3", "queue", "1"), *"-----"],
    ]
    assert json.loads(run("endpoints", "-j").stdout) == ENDPOINTS


def test_counters(daemon: FakeDaemon, run: Run) -> None:
    assert run("counters").stdout.splitlines() == [
        "group  counter  value",
        "7      3        12",
        "7      63       1099511627776",
    ]
    assert len(run("counters", "7", "-a").stdout.splitlines()) == 65
    (found,) = json.loads(run("counters", "7", "-j").stdout)
    assert found["group"] == 7
    assert {i: value for i, value in enumerate(found["counters"]) if value} == COUNTERS


@pytest.mark.parametrize("group", ["9", "11"])
def test_counters_that_one_may_not_read(daemon: FakeDaemon, run: Run, group: str) -> None:
    done = run("counters", group)
    assert done.exit_code == 1
    assert f"there is no group {group} whose counters you may read" in done.stderr
    assert "such groups: 7" in done.stderr


def test_stats(daemon: FakeDaemon, run: Run) -> None:
    assert run("stats").stdout.splitlines() == [
        "group  arrived  filtered  dropped  selected  nobody  forwarded  unsent  to linux",
        "7      3        0         0        3         0       0          0       0",
        "9      -        -         -        -         -       -          -       -",
        "",
        "end-point  process  selected  delivered  lost  read  waiting",
        "0          812      10        9          1     5     4",
        "2          1        -         -          -     -     -",
    ]
    found = json.loads(run("stats", "-j").stdout)
    assert found["groups"][0] == {"group": 7} | {n: v for n, v in GROUP.items() if n != "counters"}
    assert found["groups"][1] == {"group": 9}
    assert found["endpoints"][0] == {"endpoint": 0, "pid": 812, **ENDPOINTS[0]["statistics"]}


@pytest.mark.parametrize("command", ["groups", "endpoints", "counters", "stats"])
def test_without_a_daemon_one_sentence_says_what_to_do(run: Run, tmp_path: Path, command: str) -> None:
    done = run(command, "--socket", str(tmp_path / "none"))
    assert done.exit_code == 3
    assert done.stdout == ""
    assert done.stderr.startswith("error[PFQ306]: there is no pfqd: ")
    assert "systemctl start pfqd" in done.stderr
    assert json.loads(run(command, "-j", "--socket", "/none").stderr)["errors"][0]["code"] == "PFQ306"


# pfq capture --group


def opened(daemon: FakeDaemon, frames: int) -> None:
    """Each end-point that joins gets so many packets at once."""

    def join(request: dict[str, Any]) -> dict[str, Any]:
        daemon.rings[request["endpoint"]].publish(*[ethernet(ip4(udp(), 17), 0x0800)] * frames)
        return {"group": 7, "policy": "shared"}

    daemon.answers["group.join"] = join


def test_capture_joins_a_group(daemon: FakeDaemon, run: Run) -> None:
    opened(daemon, 2)
    done = run(
        "capture", "--group", "7", "-c", "4", "-E", "2", "--class", "1", "--class", "3", "--weight", "5", "-s", "96"
    )
    assert done.exit_code == 0, done.stderr
    assert sum("UDP" in line for line in done.stdout.splitlines()) == 4
    assert "listening on eth0,eth1, link-type EN10MB (Ethernet), snapshot length 96 bytes" in done.stderr
    assert "group 7: TC egress (tcx) on eth1, XDP (native) on eth0, 2 end-points" in done.stderr
    assert "4 packets captured" in done.stderr
    asked = {request["call"]: request for request in daemon.asked}
    assert asked["group.join"]["classes"] == 0b1010
    assert (asked["endpoint.open"]["weight"], asked["endpoint.open"]["snaplen"]) == (5, 96)
    assert daemon.calls().count("group.leave") == 2
    assert not {"group.bind", "group.set_program", "group.set_filter"} & set(daemon.calls())


def test_capture_of_a_group_as_json_and_into_a_file(daemon: FakeDaemon, run: Run, tmp_path: Path) -> None:
    opened(daemon, 3)
    file = tmp_path / "mine.pcapng"
    done = run("capture", "--group", "7", "-c", "3", "-w", str(file), "--json")
    assert done.exit_code == 0, done.stderr
    start, end = map(json.loads, done.stdout.splitlines())
    assert (start["device"], start["program"], end["captured"]) == ("eth0,eth1", "ip >->\n  steer_flow", 3)
    assert run("run", "-r", str(file), "--count").exit_code == 0
    assert file.stat().st_size > 3 * 60


def test_capture_ends_when_the_daemon_stops(daemon: FakeDaemon, run: Run) -> None:
    opened(daemon, 2)
    daemon.answers["group.leave"] = lambda request: {}
    join = daemon.answers["group.join"]

    def join_and_stop(request: dict[str, Any]) -> dict[str, Any]:
        daemon.channels[-1].send({"id": request["id"], "result": join(request)})
        daemon.tell(event="stopping")
        return {}

    daemon.answers["group.join"] = join_and_stop
    done = run("capture", "--group", "7")
    assert "2 packets captured" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("-i", "eth0"), "-i makes no sense with --group"),
        (("-P", "ip"), "-P makes no sense with --group"),
        (("-F", "x.pfq"), "-F makes no sense with --group"),
        (("-p",), "-p makes no sense with --group"),
        (("-Q", "out"), "-Q makes no sense with --group"),
        (("--inline",), "--inline makes no sense with --group"),
        (("--hook", "tcx"), "--hook makes no sense with --group"),
        (("--vlan", "3"), "--vlan makes no sense with --group"),
        (("tcp", "port", "80"), "a filter makes no sense with --group"),
    ],
)
def test_what_the_group_says_itself(run: Run, arguments: tuple[str, ...], said: str) -> None:
    done = run("capture", "--group", "7", *arguments)
    assert done.exit_code == 1
    assert said in done.stderr


@pytest.mark.parametrize("arguments", [("--class", "1"), ("--weight", "2"), ("--socket", "/x")])
def test_what_only_members_have(run: Run, arguments: tuple[str, ...]) -> None:
    done = run("capture", "-i", "lo", *arguments)
    assert done.exit_code == 1
    assert f"{arguments[0]} is for end-points of pfqd" in done.stderr


def test_a_group_that_is_not_there(daemon: FakeDaemon, run: Run) -> None:
    done = run("capture", "--group", "8")
    assert done.exit_code == 1
    assert "there is no group 8" in done.stderr
    assert "there are: 7, 9" in done.stderr
