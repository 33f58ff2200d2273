"""The flows of what a device receives are those of the file that was sent."""

from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np
import pytest
from root.capture.harness import opened, send, settled
from root.network import Pair
from support.flows import rows
from support.frames import CAPTURES

import pfq
from pfq.files import read_frames
from pfq.flow.batch import FlowBatch

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("nothing_left")]

EXAMPLE = CAPTURES / "pcapplusplus-example.pcap"


def timeless(batch: FlowBatch) -> list[tuple[object, ...]]:
    """The flows without their times, and without what time decides: where they were seen and why they ended."""
    return sorted((*row[:6], *row[9:15]) for row in rows(batch))


@pytest.mark.parametrize("endpoints", [1, 3])
def test_live_flows_are_those_of_the_file(netns_pair: Pair, endpoints: int) -> None:
    found: list[FlowBatch] = []
    with opened(netns_pair, "steer_flow", endpoints=endpoints, snaplen=512, slots=1 << 13) as capture:
        flows = pfq.flows(capture, idle_timeout=1000)
        thread = threading.Thread(target=lambda: found.extend(flows))
        thread.start()
        with netns_pair.sender() as sender:
            sent = send(sender, [frame.data for frame in read_frames(EXAMPLE)])
        settled(capture, sent)
        capture.stop()
        thread.join()
    of_file = pfq.flows(EXAMPLE, idle_timeout=1000, program="steer_flow")
    want = of_file.all()
    got = FlowBatch(np.concatenate([batch.array for batch in found]))
    assert timeless(got) == timeless(want)
    assert len(got) > 100
    assert replace(flows.statistics(), packets=0) == replace(of_file.statistics(), packets=0)
    assert set(got.interface.tolist()) == {capture.device.index}
