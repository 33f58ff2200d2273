"""`pfq.flows` over files and live readers."""

from __future__ import annotations

import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from support.captures import FakeCapture
from support.flows import Packet, Reference, packets_of, rows
from support.frames import CAPTURES, ethernet, ip4, tcp, udp

import pfq
from pfq.columns.ethernet import as_ethernet
from pfq.columns.headers import decode
from pfq.errors import DeviceGoneError, FileAccessError, FileFormatError, RingClosedError, UsageError
from pfq.files.capfile import CaptureFile
from pfq.flow.batch import FlowBatch

S = 1_000_000_000
EXAMPLE = CAPTURES / "pcapplusplus-example.pcap"


def read(*paths: Path) -> list[Packet]:
    """The packets of files, up to where one is damaged."""
    found: list[Packet] = []
    for path in paths:
        try:
            with CaptureFile(path) as file:
                for records in file.runs():
                    found += packets_of(records, decode(as_ethernet(records)))
        except FileFormatError:
            pass
    return found


def reference(*paths: Path, idle: float = 120) -> Reference:
    told = Reference(int(idle * S), 1800 * S)
    for packet in read(*paths):
        told.add(packet)
    told.close()
    return told


@pytest.mark.parametrize("path", sorted(CAPTURES.glob("*.pcap*")), ids=lambda path: path.name)
def test_every_capture_agrees_with_the_dictionary(path: Path) -> None:
    flows, found, want = pfq.flows(path, idle_timeout=1), [], reference(path, idle=1)
    try:
        for batch in flows:
            found += rows(batch)
    except FileFormatError:
        pass  # some are damaged, on purpose
    assert found == want.ended
    counts = flows.statistics()
    assert counts.packets == counts.selected == counts.in_flows + counts.not_ip
    assert (counts.not_ip, counts.flows, counts.lost) == (want.not_ip, len(want.ended), 0)


def test_several_files_are_one_stream() -> None:
    parts = [EXAMPLE, CAPTURES / "pcapplusplus-DnsPackets.pcap", EXAMPLE]
    assert rows(pfq.flows(parts).all()) == reference(*parts).ended


def test_a_file_object_is_a_file() -> None:
    with EXAMPLE.open("rb") as file:
        assert rows(pfq.flows(file).all()) == reference(EXAMPLE).ended


@pytest.mark.parametrize(
    ("options", "proto"), [({"filter": "udp"}, 17), ({"program": "tcp"}, 6)], ids=["filter", "program"]
)
def test_only_selected_packets_are_in_flows(options: dict[str, str], proto: int) -> None:
    packets = read(EXAMPLE)
    told = Reference(120 * S, 1800 * S)
    for packet in packets:
        if packet.proto == proto:
            told.add(packet)
    told.close()
    flows = pfq.flows(EXAMPLE, **options)  # type: ignore[arg-type]
    assert rows(flows.all()) == told.ended
    counts = flows.statistics()
    assert counts.packets == len(packets) > counts.selected > 0
    assert counts.selected == counts.in_flows + counts.not_ip


def test_the_vlan_filter() -> None:
    path = CAPTURES / "pcapplusplus-VlanPackets.pcap"
    tagged, untagged = pfq.flows(path, vlans=[-1]), pfq.flows(path, vlans=[0])
    assert len(tagged.all()) > 0
    untagged.all()
    assert tagged.statistics().selected + untagged.statistics().selected == tagged.statistics().packets


def test_flows_before_the_damage_come_first(tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.pcap"
    damaged.write_bytes(EXAMPLE.read_bytes()[:-10])
    flows, found = pfq.flows(damaged), []
    with pytest.raises(FileFormatError):
        found.extend(flows)
    packets = sum(int((batch.packets + batch.packets_back).sum()) for batch in found)
    assert packets == flows.statistics().packets == len(read(EXAMPLE)) - 1


def test_a_missing_file_is_missed_at_once(tmp_path: Path) -> None:
    with pytest.raises(FileAccessError):
        pfq.flows([EXAMPLE, tmp_path / "nothing.pcap"])


def test_reading_can_end_early() -> None:
    flows = pfq.flows(EXAMPLE, idle_timeout=0.001)
    assert len(next(flows)) > 0
    flows.close()
    assert list(flows) == []


def frame(source: int, flags: int = 0x10) -> bytes:
    return ethernet(ip4(tcp(source, 80, flags)), 0x0800)


def test_live_flows_come_as_they_end() -> None:
    with ExitStack() as stack:
        capture = FakeCapture(2, stack)
        capture.publish(frame(1), frame(2), b"no IP" * 4, ts_ns=5 * S)
        capture.publish(ethernet(ip4(udp(3), proto=17), 0x0800), endpoint=1, ts_ns=5 * S)
        flows = pfq.flows(capture[0], idle_timeout=2)
        ended = next(flows)  # the time of day is later by years
        assert sorted(ended.src_port.tolist()) == [1, 2]
        assert set(ended.end_words) == {"idle"}
        capture.publish(frame(4), ts_ns=2 * 10**18)
        capture.stop()
        assert rows(flows.all())[0][-1] == "end"
        counts = flows.statistics()
        assert (counts.packets, counts.in_flows, counts.not_ip, counts.flows) == (4, 3, 1, 3)


def test_a_capture_gives_the_flows_of_all_its_end_points() -> None:
    with ExitStack() as stack:
        capture = FakeCapture(3, stack)
        for number in range(3):
            capture.publish(frame(number + 1), frame(9), endpoint=number, ts_ns=5 * S)
        capture.stop()
        found = pfq.flows(capture).all()
        assert sorted(found.src_port.tolist()) == [1, 2, 3, 9]
        assert int(found.packets.sum()) == 6


def test_a_device_that_goes_takes_no_flow_with_it() -> None:
    with ExitStack() as stack:
        capture = FakeCapture(1, stack)
        capture.publish(frame(1), ts_ns=5 * S)
        capture.end(DeviceGoneError("gone"))
        flows = pfq.flows(capture[0])
        assert len(next(flows)) == 1
        with pytest.raises(DeviceGoneError):
            next(flows)


def test_a_closed_reader_has_no_flows() -> None:
    with ExitStack() as stack:
        capture = FakeCapture(1, stack)
        capture.end(RingClosedError("closed"))
        assert len(pfq.flows(capture[0]).all()) == 0


def test_a_live_source_selects_by_itself() -> None:
    with ExitStack() as stack, pytest.raises(UsageError, match="selected its packets already"):
        pfq.flows(FakeCapture(1, stack)[0], filter="tcp")


def test_files_and_readers_are_not_mixed() -> None:
    with ExitStack() as stack, pytest.raises(UsageError, match="not from both"):
        pfq.flows([FakeCapture(1, stack)[0], EXAMPLE])


def test_no_file_is_an_error() -> None:
    with pytest.raises(UsageError):
        pfq.flows([])


def test_the_function_is_not_hidden_by_modules() -> None:
    script = "import pfq, pfq.flow, pfq.flow.table, pfq.flow.reading; assert callable(pfq.flows)"
    subprocess.run([sys.executable, "-c", script], check=True)


def test_an_empty_batch() -> None:
    batch = pfq.flows(CAPTURES / "pcapplusplus-llc_vlan.pcap", filter="ether host 1:2:3:4:5:6").all()
    assert (len(batch), batch.end_words, np.asarray(batch.src).shape) == (0, [], (0, 16))
    assert isinstance(batch, FlowBatch)
