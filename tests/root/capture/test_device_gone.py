"""D2 to D4: the device disappears while it is captured from, and every reader is told."""

from __future__ import annotations

import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from root.capture.harness import check_identities, flow_frame, opened, send, settled
from root.network import Namespace, Pair, eventually, is_running, namespace

from pfq.engine.hooks import HookChoice
from pfq.errors import DeviceGoneError, DeviceMissingError
from pfq.ring.reader import Reader

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("nothing_left")]

PATIENCE_S = 20.0
WAKE_S = 0.5


def drained(reader: Reader) -> tuple[int, str, float]:
    """Packets read until the device is gone, why it is, and when that was noticed."""
    count = 0
    try:
        for batch in reader:
            count += len(batch)
    except DeviceGoneError as error:
        return count, error.message, time.monotonic()
    raise AssertionError("the reader ended without an error")


def delete(inside: Namespace, device: str) -> None:
    inside.run("ip", "link", "del", device)


@pytest.mark.parametrize("end", ["a", "b"])
def test_D2_the_device_is_deleted_while_readers_block(netns_pair: Pair, mode: HookChoice, end: str) -> None:
    """What had arrived is read first; then every reader is told, soon."""
    pair = netns_pair
    with ThreadPoolExecutor() as pool, opened(pair, endpoints=3, hook=mode, snaplen=96) as capture:
        with pair.sender() as sender:
            send(sender, map(flow_frame, range(100)))
        settled(capture, 100)
        waiting = [pool.submit(drained, capture[number]) for number in (0, 1)]
        assert eventually(lambda: capture.statistics().endpoints[1].read == 100)
        time.sleep(0.1)
        delete(pair.a, pair.dev_a) if end == "a" else delete(pair.b, pair.dev_b)
        start = time.monotonic()
        for count, message, end_time in (future.result(timeout=PATIENCE_S) for future in waiting):
            assert (count, message) == (100, "the device `pfqt-b` disappeared while it was captured from")
            assert end_time - start < WAKE_S
        assert drained(capture[2])[0] == 100, "who reads later gets the packets as well"
        capture.stop()
        statistics = capture.statistics()
        with pytest.raises(DeviceMissingError, match="there is no network device `pfqt-b`"):
            opened(pair)
    assert capture.statistics() == statistics
    check_identities(statistics)
    assert statistics.arrived == 100


@pytest.mark.parametrize("index", [12, 20])
def test_D3_deleted_and_recreated_with_the_same_name(netns_pair: Pair, mode: HookChoice, index: int) -> None:
    """The new device is another one, even with the old number: only a new capture gets its packets."""
    pair = netns_pair
    with opened(pair, hook=mode, snaplen=96) as old:
        delete(pair.b, pair.dev_b)
        name = ["ip", "link", "add", pair.dev_a, "index", "11", "netns", pair.a.name, "type", "veth", "peer"]
        subprocess.run([*name, "name", pair.dev_b, "index", str(index), "netns", pair.b.name], check=True)
        for inside, device in ((pair.a, pair.dev_a), (pair.b, pair.dev_b)):
            inside.run("ip", "link", "set", device, "up")
        assert eventually(lambda: is_running(pair.b, pair.dev_b))
        assert drained(old[0])[0] == 0
        with opened(pair, hook=mode, snaplen=96) as new, pair.sender() as sender:
            send(sender, map(flow_frame, range(50)))
            settled(new, 50)
            assert old.statistics().arrived == 0
            old.close()
            send(sender, map(flow_frame, range(50)))
            settled(new, 100)


def test_D4_the_namespace_is_deleted(netns_pair: Pair, mode: HookChoice) -> None:
    """A capture keeps its namespace, which goes with the capture."""
    pair = netns_pair
    with opened(pair, hook=mode, snaplen=96) as capture, pair.sender() as sender:
        pair.b.remove()
        send(sender, map(flow_frame, range(50)))
        settled(capture, 50)
    assert eventually(lambda: pair.dev_a not in pair.a.run("ip", "link", "show"), PATIENCE_S)


def test_D4_the_peers_namespace_is_deleted(netns_pair: Pair, mode: HookChoice) -> None:
    pair = netns_pair
    with opened(pair, hook=mode, snaplen=96) as capture:
        with pair.sender() as sender:
            send(sender, map(flow_frame, range(50)))
        settled(capture, 50)
        pair.a.remove()
        assert drained(capture[0])[:2] == (50, "the device `pfqt-b` disappeared while it was captured from")


def test_D6_moved_to_another_namespace(netns_pair: Pair, mode: HookChoice) -> None:
    """Elsewhere it is none of our business: the readers are told, and the program is taken off."""
    pair = netns_pair
    with namespace("c") as other:
        with opened(pair, hook=mode, snaplen=96) as capture:
            pair.b.run("ip", "link", "set", pair.dev_b, "netns", other.name)
            message = drained(capture[0])[1]
            assert message == "the device `pfqt-b` was moved to another network namespace while it was captured from"
        seen = other.run("ip", "-d", "link", "show", pair.dev_b) + other.run("tc", "filter", "show", "dev", pair.dev_b)
        assert "prog" not in seen
        assert "pfq:" not in seen
