"""Rows U15 and U16 of the catalogue of reliability: strangers' programs are compiled where they can do no harm."""

from __future__ import annotations

import os
import resource
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from root.daemon.harness import Client
from root.daemon.process import Pfqd, group, pfqd_of
from root.network import Pair, eventually
from support.confined import children, status

from pfq.errors import LimitError, PfqError

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("nothing_left")]

BOMBS = (
    {
        "name": "group.set_program",
        "text": "main = " + " >-> ".join(f"when (has_port {n}) (inc {n % 64})" for n in range(900)),
    },
    {"name": "group.set_program", "text": "f x = x >-> x\nmain = " + "f (" * 30 + "ip" + ")" * 30},
    {"name": "group.set_program", "text": "(" * 100_000},
    {"name": "group.set_filter", "expression": " or ".join(f"host 10.{n}.0.1" for n in range(100))},
    {
        "name": "group.set_filter",
        "expression": "(" + " and (".join(f"port {n} or port {n + 1}" for n in range(70)) + ")" * 70,
    },
)
MEMORY_BYTES = 300 << 20


@pytest.fixture
def daemon(netns_pair: Pair) -> Iterator[Pfqd]:
    with pfqd_of(netns_pair) as made:
        made.configure(group(3, "inc 1", (netns_pair.dev_b,)))
        made.start()
        yield made


def member(daemon: Pfqd, number: int) -> Client:
    client = daemon.client()
    made = client.call("endpoint.open", slots=8, enabled=False)["endpoint"]
    client.call("group.join", endpoint=made, group=number)
    return client


def processes(daemon: Pfqd) -> tuple[int, int]:
    """The keeper and the zygote."""
    assert daemon.process is not None
    (keeper,) = children(daemon.process.pid)
    return keeper, eventually(lambda: children(keeper), 10.0)[0]


def test_U15_the_running_daemon(daemon: Pfqd) -> None:
    assert daemon.process is not None
    for thread in os.listdir(f"/proc/{daemon.process.pid}/task"):
        names = ("CapEff", "CapPrm", "CapBnd", "CapInh", "CapAmb", "NoNewPrivs", "Seccomp")
        assert list(status(f"{daemon.process.pid}/task/{thread}", *names).values()) == [
            *["000000c000001000"] * 3,
            *["0" * 16] * 2,
            *("1", "2"),
        ]
    for pid in processes(daemon):
        found = status(pid, "CapEff", "CapBnd", "NoNewPrivs", "Seccomp", "Uid")
        assert list(found.values())[:4] == ["0" * 16, "0" * 16, "1", "2"]
        assert found["Uid"].split() == ["65534"] * 4


def test_U16_compile_bombs_of_many_clients(daemon: Pfqd) -> None:
    """Whatever they send, others are answered meanwhile, and the daemon does not grow."""
    quiet = member(daemon, 3)
    hostile = [member(daemon, number) for number in range(10, 10 + len(BOMBS))]
    ended: list[PfqError | None] = []

    def attack(client: Client, bomb: dict[str, str], number: int) -> None:
        try:
            client.call(bomb["name"], group=number, **{key: bomb[key] for key in bomb.keys() - {"name"}})
            ended.append(None)
        except PfqError as error:
            ended.append(error)

    threads = [
        threading.Thread(target=attack, args=(client, bomb, 10 + at))
        for at, (client, bomb) in enumerate(zip(hostile, BOMBS, strict=True))
    ]
    for thread in threads:
        thread.start()
    answers = 0
    while any(thread.is_alive() for thread in threads):
        started = time.monotonic()
        assert quiet.call("group.statistics", group=3)["arrived"] >= 0
        assert len(quiet.call("list")["groups"]) == 1 + len(BOMBS)
        assert time.monotonic() - started < 5
        answers += 1
        time.sleep(0.01)
    assert answers > 0
    assert len(ended) == len(BOMBS)
    assert daemon.process is not None
    resident = int(Path(f"/proc/{daemon.process.pid}/statm").read_text().split()[1]) * resource.getpagesize()
    assert resident < MEMORY_BYTES
    quiet.call("group.set_program", group=3, text="inc 2")


def test_U16_a_worker_that_is_killed(daemon: Pfqd) -> None:
    """Whoever asked gets an error, the group keeps its program, and the next one is compiled."""
    client = member(daemon, 3)
    _, zygote = processes(daemon)
    client.call("group.set_program", group=3, text="inc 4")
    os.kill(zygote, signal.SIGSTOP)
    refused: list[PfqError] = []
    thread = threading.Thread(target=lambda: refused.append(client.refused("group.set_program", group=3, text="inc 5")))
    thread.start()
    time.sleep(0.2)
    os.kill(zygote, signal.SIGCONT)
    while thread.is_alive():
        for worker in children(zygote):
            with suppress(ProcessLookupError):
                os.kill(worker, signal.SIGKILL)
    assert isinstance(refused[0], LimitError)
    assert "its worker was killed" in refused[0].message
    assert client.call("list")["groups"][0]["program"] == "inc 4"
    os.kill(zygote, signal.SIGKILL)
    assert eventually(lambda: processes(daemon)[1] != zygote, 10.0)
    client.call("group.set_program", group=3, text="inc 6")
    assert client.call("list")["groups"][0]["program"] == "inc 6"


def test_no_process_is_left_when_the_daemon_is_killed(daemon: Pfqd) -> None:
    keeper, zygote = processes(daemon)
    daemon.end(signal.SIGKILL)
    assert eventually(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in (keeper, zygote)), 10.0)
