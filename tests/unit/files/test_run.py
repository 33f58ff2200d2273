"""Programs over capture files decide as the reference does, and count every packet once."""

from __future__ import annotations

import gzip
import io
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.capturefiles import Blocks, pcap_header, pcap_record
from support.frames import CAPTURES, ethernet, ip4, tcp, udp
from support.groups import Reference, Sighting, Verdict, verdict

from pfq.codegen.device import Group
from pfq.columns.ethernet import ETHERNET, as_ethernet
from pfq.columns.records import Records
from pfq.engine.statistics import CaptureStatistics
from pfq.engine.steering import Member
from pfq.errors import FileAccessError, FileFormatError, LiteralError, UsageError
from pfq.files import read_frames
from pfq.files.capfile import CaptureFile
from pfq.files.run import Run, RunBatch
from pfq.lang.action import EventKind
from pfq.lang.berkeley import BerkeleyFilter
from pfq.lang.compile import compile_text
from pfq.lang.group import Outcome, vlan_filter

FILES = tuple(path for path in sorted(CAPTURES.glob("*.pcap*")) if path.stat().st_size < 100_000)
"""The reference is slow."""
EXAMPLE = CAPTURES / "pcapplusplus-example.pcap"
DNS = CAPTURES / "pcapplusplus-DnsPackets.pcap"
COOKED = CAPTURES / "pcapplusplus-sll.pcap"
TCP, UDP = ethernet(ip4(tcp()), 0x0800), ethernet(ip4(udp(), proto=17), 0x0800)

CASES: dict[str, tuple[str | None, int, str | None, Sequence[int] | None]] = {
    "nothing": (None, 3, None, None),
    "filter": ("ip >-> tcp", 1, None, None),
    "mark and state": ("when is_udp (mark 53 >-> put_state 7) >-> unless is_ip6 (inc 1)", 1, None, None),
    "steering": ("ip >-> steer_flow", 4, None, None),
    "two entries": ("steer_p2p", 5, None, None),
    "turns": ("tcp >-> steer_rrobin", 3, None, None),
    "broadcast": ("filter is_udp >-> broadcast", 64, None, None),
    "classes": ("conditional is_udp (classify 3) steer_flow", 2, None, None),
    "passed up": ("when is_icmp kernel >-> filter is_ip", 1, None, None),
    "flows": ("flow_inc key_5tuple 4096 600 >-> filter (flow_get key_5tuple 4096 600 .<= 5)", 1, None, None),
    "limit": ("limit 1000 5", 1, None, None),
    "expression": (None, 2, "tcp port 443 or vlan", None),
    "VLANs": ("steer_vlan", 2, None, [118, 0]),
    "all": ("steer_flow", 3, "not icmp", [-1]),
    "nobody": ("unit", 1, None, []),
}


def expected(paths: Iterable[Path], reference: Reference, looks: bool) -> list[Verdict]:
    return [decided(reference, looks, seen, i) for path in paths for seen in runs(path) for i in range(len(seen))]


def runs(path: Path) -> list[Records]:
    """What programs see of a file."""
    with CaptureFile(path) as file:
        return [as_ethernet(records) for records in file.runs()]


def decided(reference: Reference, looks: bool, seen: Records, i: int) -> Verdict:
    record = seen.array[i]
    if looks and record["link_type"] != ETHERNET:
        return Verdict(Outcome.FILTERED)
    sighting = Sighting(seen.bytes(i), int(record["len"]), int(record["vlan_tci"]), int(record["ts_ns"]))
    return reference.decide(sighting)


def reference_of(program: str | None, endpoints: int, filter: str | None, vlans: Sequence[int] | None) -> Reference:
    berkeley = None if filter is None else BerkeleyFilter.parse(filter)
    group = Group(0, compile_text(program or "unit"), berkeley, vlan_filter(vlans))
    return Reference(group, [Member(number) for number in range(endpoints)])


def check_counts(statistics: CaptureStatistics, found: Sequence[Verdict], read: bool = True) -> None:
    """The counters are those of the verdicts, and every packet is in one place of each equation."""
    (group,) = statistics.groups
    outcomes = [each.outcome for each in found]
    assert group.arrived == len(found) == group.filtered + group.dropped + group.selected
    assert group.filtered == outcomes.count(Outcome.FILTERED)
    assert group.dropped == outcomes.count(Outcome.DROPPED)
    assert group.nobody == sum(each.outcome is Outcome.SELECTED and not each.endpoints for each in found)
    assert group.to_linux == sum(each.kernel for each in found)
    for number, endpoint in enumerate(statistics.endpoints):
        assert endpoint.selected == sum(number in each.endpoints for each in found)
        assert endpoint.selected == endpoint.delivered + endpoint.lost
        assert endpoint.lost == 0
        assert endpoint.delivered == endpoint.read + endpoint.waiting
        assert (endpoint.waiting == 0) == read or endpoint.delivered == 0


@pytest.mark.parametrize("case", CASES.values(), ids=list(CASES))
def test_decides_as_the_reference(case: tuple[str | None, int, str | None, Sequence[int] | None]) -> None:
    program, endpoints, filter, vlans = case
    looks = (program, filter, vlans) != (None, None, None)
    with Run(program, FILES, endpoints=endpoints, filter=filter, vlans=vlans) as run:
        found = [verdict(row) for batch in run for row in rows(batch)]
    assert found == expected(FILES, reference_of(*case), looks)
    check_counts(run.statistics(), found)


def test_there_is_enough_to_decide() -> None:
    assert len(FILES) > 30
    assert len({frame.link_type for path in FILES for frame in read_frames(path)}) > 4


def rows(batch: RunBatch) -> list[dict[str, Any]]:
    names = ("outcome", "endpoints", "mark", "state", "kernel")
    columns = [getattr(batch, name).tolist() for name in names]
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def test_counters_of_the_program() -> None:
    run = Run("when is_tcp (inc 3) >-> inc 4", [EXAMPLE, DNS])
    tcp = sum(int(np.count_nonzero(batch.proto == 6)) for batch in run)
    counters = run.statistics().groups[0].counters
    assert (counters[3], counters[4]) == (tcp, 4631 + 464)
    assert sum(counters) == tcp + 4631 + 464


@pytest.mark.parametrize("jobs", [2, 3, 9])
def test_jobs_keep_the_order(jobs: int) -> None:
    """A file is decided as if it were alone; the packets come as the files do."""
    files = [EXAMPLE, DNS, COOKED, DNS, EXAMPLE, CAPTURES / "pcapplusplus-ipv6.pcapng"]
    program = "tcp >-> steer_rrobin"
    apart = []
    for path in files:
        with Run(program, path, endpoints=3) as run:
            apart += [(batch.bytes(i), row) for batch in run for i, row in enumerate(rows(batch))]
    with Run(program, files, endpoints=3, jobs=jobs) as run:
        together = [(batch.bytes(i), row) for batch in run for i, row in enumerate(rows(batch))]
    assert together == apart
    check_counts(run.statistics(), [verdict(row) for _, row in together])


def test_with_jobs_what_was_not_read_is_waiting() -> None:
    with Run("ip", [EXAMPLE, DNS], jobs=2) as run:
        first = next(iter(run))
    (endpoint,) = run.statistics().endpoints
    assert endpoint.read == np.count_nonzero(first.selected)
    assert endpoint.delivered == endpoint.read + endpoint.waiting
    assert run.statistics().arrived <= 4631  # the second file was not come to


def test_batches_have_all_columns() -> None:
    run = Run("ip >-> mark 5 >-> put_state 6 >-> steer_flow", EXAMPLE, endpoints=2)
    batch = next(iter(run))
    assert set(batch.mark[batch.selected].tolist()) == {5}
    assert set(batch.state[batch.selected].tolist()) == {6}
    assert set(batch.endpoints[batch.selected].tolist()) == {1, 2}
    some = batch.select(batch.endpoints == 2)
    assert isinstance(some, RunBatch)
    assert set(some.endpoints.tolist()) == {2}
    assert set(some.src_port.tolist()) <= set(batch.src_port.tolist())


def test_batches_stay_valid() -> None:
    with Run(None, [EXAMPLE, DNS]) as run:
        kept = list(run)
    assert len(kept) > 2
    with CaptureFile(EXAMPLE) as one, CaptureFile(DNS) as other:
        wanted = [records.bytes(i) for file in (one, other) for records in file.runs() for i in range(len(records))]
    assert [batch.bytes(i) for batch in kept for i in range(len(batch))] == wanted


@pytest.fixture
def odd_link_types(tmp_path: Path) -> Path:
    """Ethernet, WLAN and raw IP by turns; WLAN is not looked into."""
    path = tmp_path / "odd.pcapng"
    blocks = Blocks()
    interfaces = b"".join(blocks.interface(link_type) for link_type in (1, 105, 101))
    packets = [blocks.packet(data, number=i) for i, data in enumerate((TCP, TCP, TCP[14:]))]
    path.write_bytes(blocks.section() + interfaces + b"".join(packets * 4))
    return path


def test_link_types_that_cannot_be_looked_into_are_filtered(odd_link_types: Path) -> None:
    for options in ({"program": "inc 1"}, {"program": None, "filter": ""}, {"program": None, "vlans": [0]}):
        run = Run(**options, paths=odd_link_types)  # type: ignore[arg-type]
        outcomes = [outcome for batch in run for outcome in batch.outcome.tolist()]
        assert outcomes == [2, 0, 2] * 4
        group = run.statistics().groups[0]
        assert (group.arrived, group.filtered, group.selected) == (12, 4, 8)
        assert run.warnings == ["4 packets of link type 105 could not be read as Ethernet or IP, and were filtered"]
    run = Run("inc 1", odd_link_types)
    list(run)
    assert run.statistics().groups[0].counters[1] == 8


def test_with_neither_program_nor_filter_everything_passes(odd_link_types: Path) -> None:
    run = Run(None, odd_link_types)
    assert [batch.outcome.tolist() for batch in run] == [[2] * 12]
    assert run.warnings == []


def test_events() -> None:
    """Every one is told, with the packet and the time of the file."""
    run = Run('tcp >-> filter is_syn >-> log_msg "call" >-> log_packet', EXAMPLE)
    selected = [(batch.bytes(i)[:192], int(batch.ts_ns[i])) for batch in run for i in np.flatnonzero(batch.selected)]
    events = run.events()
    assert [(event.data, event.ts_ns) for event in events[::2]] == selected
    assert [event.kind for event in events] == [EventKind.MESSAGE, EventKind.PACKET] * len(selected)
    assert len(selected) > 5
    assert run.events() == []


def test_more_events_than_there_is_room_for_at_once() -> None:
    run = Run("trace >-> inc 0", EXAMPLE)
    packets = [(batch.bytes(i)[:192], int(batch.ts_ns[i])) for batch in run for i in np.flatnonzero(batch.selected)]
    assert [(event.data, event.ts_ns) for event in run.events()] == packets
    assert len(packets) == 4631
    assert run.statistics().groups[0].counters[0] == 4631


def test_a_damaged_file(tmp_path: Path) -> None:
    """Everything before the damage is given and counted, then the error comes; the files behind it are not read."""
    path = tmp_path / "cut.pcap"
    path.write_bytes(EXAMPLE.read_bytes()[:300_000])
    for jobs in (1, 2):
        run = Run("ip", [DNS, path, DNS], jobs=jobs)
        batches: list[RunBatch] = []
        with pytest.raises(FileFormatError, match="at offset 299258"):
            batches.extend(run)
        assert sum(map(len, batches)) == run.statistics().arrived == 464 + 446


def test_sources(tmp_path: Path) -> None:
    """Compressed, from an open file, and through a named pipe, which can be opened once only."""
    packed = tmp_path / "x.pcap.gz"
    packed.write_bytes(gzip.compress(DNS.read_bytes()))
    pipe, end = os.pipe()
    os.write(end, pcap_header() + pcap_record(TCP) + pcap_record(UDP))
    os.close(end)
    run = Run("udp", [packed, io.BytesIO(DNS.read_bytes()), f"/dev/fd/{pipe}"])  # type: ignore[list-item]
    assert sum(map(len, run)) == 2 * 464 + 2
    os.close(pipe)


REFUSED: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "no file": ({"paths": []}, UsageError, "there is no file to read"),
    "missing": ({"paths": [DNS, "none.pcap"]}, FileAccessError, "cannot open none.pcap"),
    "not a capture": ({"paths": [DNS, __file__]}, FileFormatError, "neither pcap nor pcapng"),
    "end-points": ({"endpoints": 65}, UsageError, "1 to 64 end-points, not 65"),
    "jobs": ({"jobs": 0}, UsageError, "0 files cannot be worked on"),
    "filter": ({"filter": "tcp prot 1"}, LiteralError, "libpcap refuses the filter"),
    "vlans": ({"vlans": [5000]}, UsageError, "there is no VLAN id 5000"),
}


@pytest.mark.parametrize(("arguments", "error", "message"), REFUSED.values(), ids=REFUSED)
def test_wrong_use(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Run(**{"program": "ip", "paths": DNS, **arguments})


def test_iterating_goes_on() -> None:
    run = Run(None, [DNS, EXAMPLE])
    first = next(iter(run))
    assert len(first) + sum(map(len, run)) == 464 + 4631
    assert list(run) == []


def test_closing_ends_it() -> None:
    for jobs in (1, 2):
        with Run(None, [DNS, EXAMPLE], jobs=jobs) as run:
            next(iter(run))
        assert list(run) == []
        assert run.statistics().arrived >= 464
