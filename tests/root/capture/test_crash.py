"""C1, C3, C4: processes that capture and are killed, stopped for a while, or told to end."""

from __future__ import annotations

import json
import signal
import subprocess
import time

import pytest
from root.capture.harness import MODES, check_identities, flow_frame, opened, packets, send, settled
from root.left import left_since, snapshot
from root.network import Pair, eventually, numbered, traffic

from pfq.engine.capture import Capture
from pfq.engine.hooks import HookChoice
from pfq.kernel import devices, features

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("nothing_left")]

READER = """
import json, signal, sys
from dataclasses import asdict
import pfq
signal.signal(signal.SIGINT, signal.default_int_handler)
with pfq.capture("pfqt-b", hook={hook!r}, slots=1024, snaplen=96, promiscuous=True) as capture:
    print(capture.attachment, flush=True)
    total = 0
    try:
        for batch in capture[0]:
            total += len(batch)
            print(total, flush=True)
    except KeyboardInterrupt:
        capture.stop()
statistics = capture.statistics()
print(json.dumps([statistics.arrived, statistics.selected, *asdict(statistics.endpoints[0]).values()]))
"""

FORGETFUL = """
import pfq
capture = pfq.capture("pfqt-b", hook={hook!r}, snaplen=96)
print(capture.attachment, flush=True)
{end}
"""

COMMAND = """
import sys
from pfq.cli import main
sys.argv[1:] = ["capture", "-i", "pfqt-b", "--hook", "{hook}", "-s", "96", "--json", "-w", "/dev/null"]
main()
"""


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def read_up_to(process: subprocess.Popen[str], total: int) -> None:
    while int(line(process)) < total:
        pass


def has_filter_of(pair: Pair, pid: int) -> bool:
    """Whether a clsact filter of that process is on the device."""
    return f" pfq:{pid}:" in pair.b.run("tc", "filter", "show", "dev", pair.dev_b, "ingress")


def numbers(capture: Capture) -> list[int]:
    """The numbers of the packets of a capture that was stopped, in ascending order."""
    return sorted(int.from_bytes(packet.data[14:18], "big") for packet in packets(capture[0]))


def test_C1_killed_while_it_captures(netns_pair: Pair, mode: HookChoice) -> None:
    """Nothing stays, but for the filter of clsact, which our next capture removes. Others lose nothing."""
    pair = netns_pair
    with opened(pair, slots=65_536, snaplen=96) as other, traffic(pair, rate_pps=20_000) as sender:
        before = snapshot()
        with pair.b.python(READER.format(hook=mode)) as child:
            assert line(child).endswith(" on pfqt-b")
            read_up_to(child, 2000)
            child.send_signal(signal.SIGKILL)
            assert child.wait() == -signal.SIGKILL
        assert mode == "clsact" or not left_since(before)
        assert has_filter_of(pair, child.pid) == (mode == "clsact")
        with opened(pair, hook=mode, slots=65_536, snaplen=96) as following:
            assert not has_filter_of(pair, child.pid)
            assert eventually(lambda: following.statistics().arrived > 2000, 5.0)
            following.stop()
            got = numbers(following)
            assert got == list(range(got[0], got[-1] + 1))
            assert len(got) == following.statistics().arrived
        sent = sender.sent
        assert eventually(lambda: other.statistics().arrived > sent, 5.0)
        other.stop()
        got = numbers(other)
        assert got == list(range(got[0], got[-1] + 1))
        assert len(got) == other.statistics().arrived


def test_D7_promiscuous_mode_ends_with_a_killed_process(netns_pair: Pair) -> None:
    pair = netns_pair

    def is_promiscuous() -> bool:
        return pair.b.call(devices.device, pair.dev_b).promiscuous

    with pair.b.python(READER.format(hook="auto")) as child:
        line(child)
        assert is_promiscuous()
        child.send_signal(signal.SIGKILL)
        child.wait()
    assert eventually(lambda: not is_promiscuous())
    with opened(pair, promiscuous=True):
        assert is_promiscuous()
    assert not is_promiscuous()


def test_C3_stopped_for_a_while(netns_pair: Pair, mode: HookChoice) -> None:
    """What the rings do not hold meanwhile is lost, exactly; the reader goes on by itself."""
    with netns_pair.sender() as sender, netns_pair.b.python(READER.format(hook=mode)) as child:
        line(child)
        send(sender, map(flow_frame, range(500)))
        read_up_to(child, 500)
        time.sleep(0.1)  # it gives the packets back and falls asleep
        child.send_signal(signal.SIGSTOP)
        send(sender, map(flow_frame, range(5000)))
        time.sleep(0.3)
        child.send_signal(signal.SIGCONT)
        read_up_to(child, 1524)
        send(sender, map(flow_frame, range(500)))
        read_up_to(child, 2024)
        child.send_signal(signal.SIGINT)
        assert json.loads(line(child)) == [6000, 6000, 6000, 2024, 3976, 2024, 0]
        assert child.wait() == 0


@pytest.mark.parametrize(("end", "status"), [("", 0), ("raise ValueError", 1), ("raise SystemExit(7)", 7)])
def test_C4_a_script_that_forgets_to_close(netns_pair: Pair, mode: HookChoice, end: str, status: int) -> None:
    """Whichever way it ends but by a signal it does not handle."""
    before = snapshot()
    with netns_pair.b.python(FORGETFUL.format(hook=mode, end=end)) as child:
        assert line(child).endswith(" on pfqt-b")
        assert child.wait() == status
    assert not left_since(before)
    assert "clsact" not in netns_pair.b.run("tc", "qdisc", "show", "dev", netns_pair.dev_b)


def test_C4_told_to_end(netns_pair: Pair) -> None:
    """`pfq capture`, ended by each signal in each mode under traffic: clean every time."""
    pair = netns_pair
    modes = [mode for mode in MODES if mode != "tcx" or features.available("tcx")]
    with traffic(pair, rate_pps=5000) as sender:
        for turn in range(20):
            before = snapshot()
            number = (signal.SIGINT, signal.SIGTERM)[turn // len(modes) % 2]
            with pair.b.python(COMMAND.format(hook=modes[turn % len(modes)])) as child:
                assert json.loads(line(child))["type"] == "start"
                time.sleep(0.05)
                child.send_signal(number)
                end = json.loads(line(child))
                assert child.wait() == 0
            assert end["captured"] == end["arrived"] == end["selected"] == end["endpoints"][0]["read"] > 0
            assert end["lost"] == end["endpoints"][0]["waiting"] == 0
            assert not left_since(before)
            assert not has_filter_of(pair, child.pid)
    assert sender.sent > 0
    with opened(pair, slots=8192, snaplen=96) as capture, pair.sender() as again:
        send(again, map(numbered, range(5000)))
        statistics = settled(capture, 5000)
        capture.stop()
        assert numbers(capture) == list(range(5000))
    check_identities(statistics)
