"""pfqd as a process: it starts, serves, ends, and is found by the next one as it was."""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Iterator

import pytest
from root.daemon.process import Pfqd, group, pfqd_of
from root.network import Pair, eventually, numbered, traffic

import pfq

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("nothing_left")]


@pytest.fixture
def daemon(netns_pair: Pair) -> Iterator[Pfqd]:
    with pfqd_of(netns_pair) as made:
        yield made


def arrived(daemon: Pfqd, number: int) -> int:
    found: int = daemon.ask("group.statistics", group=number)["arrived"]
    return found


def send(pair: Pair, count: int) -> None:
    with pair.sender() as sender:
        sender.send(map(numbered, range(count)))


def test_groups_of_the_configuration_run(netns_pair: Pair, daemon: Pfqd) -> None:
    daemon.configure(group(3, "unit", (netns_pair.dev_b,)) + group(5, inputs=("pfqt-none",)))
    daemon.start()
    assert daemon.program(netns_pair.dev_b)
    send(netns_pair, 20)
    assert eventually(lambda: arrived(daemon, 3) == 20, 5.0)
    assert arrived(daemon, 5) == 0
    with pfq.connect(daemon.path) as engine:
        status = engine.status()
        assert status["config"] == str(daemon.config)
        assert status["waiting"] == ["group 5 waits for pfqt-none"]
    assert daemon.end() == 0
    assert daemon.left() == ["pfqd.lock"]
    assert not daemon.program(netns_pair.dev_b)


def test_it_needs_no_configuration_but_its_own(netns_pair: Pair, daemon: Pfqd) -> None:
    daemon.start()
    assert "no groups in the configuration" in daemon.told[-1]
    assert daemon.end(signal.SIGINT) == 0
    assert daemon.left() == ["pfqd.lock"]


def test_faults_are_all_reported_and_nothing_is_started(netns_pair: Pair, daemon: Pfqd) -> None:
    daemon.configure(group(3, "tpc", (netns_pair.dev_b,)) + group(99))
    run = daemon.command()
    assert run.returncode == 1
    assert run.stderr.count("error[PFQ") == 2
    assert daemon.left() == []


def test_a_second_one_is_told_which_one_runs(daemon: Pfqd) -> None:
    daemon.start()
    assert daemon.process is not None
    run = daemon.command()
    assert run.returncode == 1
    assert f"another pfqd runs on {daemon.state}: process {daemon.process.pid}" in run.stderr
    daemon.ask("status")


def test_in_the_background(daemon: Pfqd) -> None:
    run = daemon.command("--daemon")
    assert run.returncode == 0, run.stderr
    daemon.ask("status")
    run = daemon.command("--daemon")
    assert run.returncode == 1
    assert "another pfqd runs" in run.stderr
    assert daemon.command("--stop").returncode == 0
    assert daemon.left() == ["pfqd.lock"]


def test_stop_takes_everything_down_although_clients_read(netns_pair: Pair, daemon: Pfqd) -> None:
    daemon.configure(group(3, "unit", (netns_pair.dev_b,)))
    daemon.start()
    client = daemon.client()
    endpoint = client.call("endpoint.open")["endpoint"]
    client.call("group.join", endpoint=endpoint, group=3)
    run = daemon.command("--stop")
    assert (run.returncode, run.stdout) == (0, "pfqd has ended, and everything is taken down\n")
    assert client.receive() == {"event": "stopping"}
    assert daemon.process is not None
    assert daemon.process.wait(5) == 0
    assert daemon.left() == ["pfqd.lock"]
    assert not daemon.program(netns_pair.dev_b)
    run = daemon.command("--stop")
    assert (run.returncode, run.stdout.split(";")[0]) == (0, "no pfqd was running")


def test_stop_takes_down_what_a_dead_one_left(netns_pair: Pair, daemon: Pfqd) -> None:
    daemon.configure(group(3, "unit", (netns_pair.dev_b,)))
    daemon.start()
    daemon.end(signal.SIGKILL)
    assert daemon.program(netns_pair.dev_b)
    assert len(daemon.left()) > 4
    daemon.configure("[[group]]\nnumber = 'broken'\n")
    assert daemon.command("--stop").returncode == 0
    assert not daemon.program(netns_pair.dev_b)
    assert daemon.left() == ["pfqd.lock"]
    assert not daemon.pins.exists()


def test_sigterm_leaves_the_packets_to_clients_that_read(netns_pair: Pair, daemon: Pfqd) -> None:
    daemon.configure(group(3, "unit", (netns_pair.dev_b,)))
    daemon.start()
    with pfq.connect(daemon.path) as engine, netns_pair.sender() as sender:
        endpoint = engine.endpoint(slots=256)
        engine.group(3).join(endpoint)
        assert daemon.end() == 0
        assert daemon.logged("1 end-points of clients go on getting packets")
        assert daemon.program(netns_pair.dev_b)
        sender.send(map(numbered, range(50)))
        daemon.start()
        assert daemon.logged("took over 1 groups and 1 end-points")
        sender.send(map(numbered, range(50, 100)))
        assert eventually(lambda: engine.group(3).statistics().arrived == 100, 10.0)
        assert eventually(lambda: endpoint.statistics().selected == 100, 5.0)
        count = 0
        while (batch := endpoint.reader.read(timeout=1)) is not None:
            count += len(batch)
            batch.release()
            if count == 100:
                break
        assert count == 100
    assert eventually(lambda: endpoints(daemon) == 0, 5.0)
    assert daemon.end() == 0
    assert daemon.left() == ["pfqd.lock"], daemon.log_path.read_text()


def endpoints(daemon: Pfqd) -> int:
    return len(daemon.ask("list")["endpoints"])


def test_C5_groups_and_their_counters_survive_kill_9(netns_pair: Pair, daemon: Pfqd) -> None:
    daemon.configure(group(3, "inc 7", (netns_pair.dev_b,)))
    daemon.start()
    before = daemon.links()
    assert len(before) == 1
    with netns_pair.sender() as sender:
        sender.send(map(numbered, range(30)))
        daemon.end(signal.SIGKILL)
        sender.send(map(numbered, range(30, 60)))
        daemon.start()
        sender.send(map(numbered, range(60, 100)))
    assert eventually(lambda: arrived(daemon, 3) == 100, 5.0)
    assert daemon.ask("group.statistics", group=3)["counters"][7] == 100
    assert daemon.links() == before
    assert daemon.log.count("group 3 ") == 1, "it was made once, and nothing of it was changed"


def test_what_the_configuration_lost_meanwhile_ends_after_a_crash(netns_pair: Pair, daemon: Pfqd) -> None:
    daemon.configure(group(3, "unit", (netns_pair.dev_b,)) + group(4))
    daemon.start()
    daemon.end(signal.SIGKILL)
    daemon.configure(group(4) + group(5))
    daemon.start()
    assert [each["group"] for each in daemon.ask("list")["groups"]] == [4, 5]
    assert not daemon.program(netns_pair.dev_b)


@pytest.mark.slow
def test_C4_start_and_end_under_traffic_leave_nothing(netns_pair: Pair, daemon: Pfqd) -> None:
    daemon.configure(group(3, "broadcast", (netns_pair.dev_b,)))
    with traffic(netns_pair, 2000):
        for number in range(8):
            daemon.start()
            assert eventually(lambda: arrived(daemon, 3) > 0, 5.0)
            assert daemon.end(signal.SIGINT if number % 2 else signal.SIGTERM) == 0
            assert daemon.left() == ["pfqd.lock"]
            assert not daemon.program(netns_pair.dev_b)
    daemon.start()
    before = arrived(daemon, 3)
    send(netns_pair, 500)
    assert eventually(lambda: arrived(daemon, 3) == before + 500, 5.0)


def test_a_device_that_is_missing_is_bound_when_it_comes(netns_pair: Pair, daemon: Pfqd) -> None:
    daemon.configure(group(3, "unit", ("pfqt-late",)))
    daemon.start()
    assert daemon.logged("group 3 waits for pfqt-late: there is no such device")
    for _ in range(2):
        netns_pair.b.run("ip", "link", "add", "pfqt-late", "type", "veth", "peer", "name", "pfqt-peer")
        assert daemon.logged("group 3 gets packets of pfqt-late now")
        assert eventually(lambda: daemon.program("pfqt-late") > 0, 5.0)
        netns_pair.b.run("ip", "link", "del", "pfqt-late")
        daemon.log_path.write_text("")


def test_it_gives_up_its_rights(daemon: Pfqd) -> None:
    daemon.start()
    assert daemon.process is not None
    with open(f"/proc/{daemon.process.pid}/status") as status:
        found = dict(line.split(":", 1) for line in status)
    wanted = 1 << 12 | 1 << 38 | 1 << 39
    assert {int(found[name], 16) for name in ("CapEff", "CapPrm", "CapBnd")} == {wanted}
    assert found["NoNewPrivs"].strip() == "1"
    assert found["Seccomp"].strip() == "2"
    assert daemon.logged("confined as root with CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON")


def test_as_another_user(netns_pair: Pair, daemon: Pfqd) -> None:
    daemon.configure(group(3, "unit", (netns_pair.dev_b,)), 'user = "daemon"\ngroup = "daemon"')
    daemon.start()
    assert daemon.process is not None
    uid = os.stat(f"/proc/{daemon.process.pid}").st_uid
    assert uid in (0, daemon.path.stat().st_uid)  # /proc shows root for processes that others may not look into
    assert daemon.logged("confined as daemon with CAP_BPF")
    assert (daemon.path.stat().st_mode & 0o777, daemon.path.stat().st_gid) == (0o660, daemon.path.stat().st_uid)
    before = daemon.links()
    daemon.end(signal.SIGKILL)
    daemon.start()
    assert daemon.links() == before
    assert daemon.end() == 0
    assert daemon.left() == ["pfqd.lock"]


def test_logs_are_json_when_wanted(daemon: Pfqd) -> None:
    daemon.configure(daemon='log = "json"')
    daemon.start()
    lines = [json.loads(line) for line in daemon.log.splitlines()]
    assert {"time", "level", "part", "message"} == set(lines[0])


def test_metrics_at_a_socket(netns_pair: Pair, daemon: Pfqd) -> None:
    where = daemon.state / "metrics.sock"
    daemon.configure(group(3, "unit", (netns_pair.dev_b,)), f'metrics = "unix:{where}"')
    daemon.start()
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(where))
        client.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        text = b"".join(iter(lambda: client.recv(1 << 16), b"")).decode()
    assert 'pfq_group_arrived_packets_total{group="3"} 0.0' in text
    assert daemon.end() == 0
    assert daemon.left() == ["pfqd.lock"]


def test_it_takes_the_place_of_a_dead_ones_socket_and_of_no_other(daemon: Pfqd) -> None:
    daemon.start()
    daemon.end(signal.SIGKILL)
    assert daemon.path.exists()
    daemon.start()
    daemon.ask("status")
    daemon.end()
    daemon.path.write_text("mine")
    run = daemon.command()
    assert run.returncode == 1
    assert f"{daemon.path} is there and is no socket" in run.stderr
    assert daemon.path.read_text() == "mine"
    daemon.path.unlink()
