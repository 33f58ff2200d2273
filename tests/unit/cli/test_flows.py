"""`pfq flows` without a kernel."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from support.captures import MakeCapture, Run
from support.frames import CAPTURES, ethernet, ip4, ip6, tcp, udp

import pfq
from pfq.cli.flowing.text import FIELDS, HEADINGS, values
from pfq.errors import DeviceGoneError, RingClosedError
from pfq.lang.berkeley import BerkeleyFilter

EXAMPLE = CAPTURES / "pcapplusplus-example.pcap"
FRAGMENTS = CAPTURES / "pcapplusplus-ip4_fragments.pcap"
S = 1_000_000_000


def expected(path: Path, **options: Any) -> list[dict[str, Any]]:
    """The flows that Python gives, as records."""
    return [dict(zip(FIELDS, row, strict=True)) for row in values(pfq.flows(path, **options).all())]


def test_a_table_has_those_with_the_most_bytes_first(run: Run) -> None:
    done = run("flows", "-r", str(EXAMPLE))
    assert done.exit_code == 0
    head, *lines = done.stdout.splitlines()
    assert tuple(head.split("  ")[0:1]) == HEADINGS[:1]
    assert len(lines) == 136
    assert lines[0].split()[:8] == [
        *("2013-05-02", "20:20:37.134719", "2.739146", "tcp"),
        *("10.0.0.6:44150", "212.199.202.9:80", "175", "357"),
    ]
    assert lines[0].split()[-2:] == ["SPA/SPA", "end"]
    totals = [record["bytes"] + record["bytes_back"] for record in expected(EXAMPLE)]
    assert [sum(map(int, line.split()[8:10])) for line in lines] == sorted(totals, reverse=True)
    assert done.stderr.splitlines() == [
        "4631 packets read",
        "4631 packets in 136 flows",
        "0 packets in no flow: not IP",
    ]


def test_the_top_of_the_table(run: Run) -> None:
    whole = run("flows", "-r", str(EXAMPLE), "--idle", "0.001")
    top = run("flows", "-r", str(EXAMPLE), "--idle", "0.001", "--top", "3")
    cells = [[line.split() for line in done.stdout.splitlines()] for done in (whole, top)]
    assert len(cells[0]) > 1000
    assert cells[1] == cells[0][:4]


@pytest.mark.parametrize("where", ["output", "file"])
def test_json(run: Run, where: str, tmp_path: Path) -> None:
    path = tmp_path / "flows.json"
    done = run("flows", "-r", str(EXAMPLE), *(["--json"] if where == "output" else ["-w", str(path)]))
    records = [json.loads(line) for line in (done.stdout if where == "output" else path.read_text()).splitlines()]
    if where == "output":
        end = records.pop()
        assert (end["type"], end["packets"], end["in_flows"], end["not_ip"]) == ("end", 4631, 4631, 0)
        assert done.stderr == ""
    else:
        assert done.stderr.startswith("4631 packets read\n")
    assert records == [{"type": "flow"} | record for record in expected(EXAMPLE)]


def test_csv(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "flows.csv"
    assert run("flows", "-r", str(EXAMPLE), "-w", str(path)).exit_code == 0
    assert run("flows", "-r", str(EXAMPLE), "--format", "csv").stdout == path.read_text()
    with path.open(newline="") as file:
        found = list(csv.DictReader(file))
    assert found == [{name: str(value) for name, value in record.items()} for record in expected(EXAMPLE)]


def test_parquet(run: Run, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")
    path = tmp_path / "flows.parquet"
    assert run("flows", "-r", str(EXAMPLE), "--idle", "0.5", "-w", str(path)).exit_code == 0
    table, want = parquet.read_table(path), expected(EXAMPLE, idle_timeout=0.5)
    assert parquet.ParquetFile(path).num_row_groups == 1
    for name in FIELDS[2:]:
        assert table[name].to_pylist() == [record[name] for record in want]
    assert [stamp.value for stamp in table["first"]] == [record["first_ns"] for record in want]


def test_parquet_in_groups_of_rows(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")
    monkeypatch.setattr("pfq.cli.flowing.parquet.ROW_GROUP", 50)
    monkeypatch.setattr("pfq.flow.table.BATCH_FLOWS", 20)
    path = tmp_path / "flows.parquet"
    assert run("flows", "-r", str(EXAMPLE), "-w", str(path)).exit_code == 0
    groups = parquet.ParquetFile(path).metadata
    sizes = [groups.row_group(i).num_rows for i in range(groups.num_row_groups)]
    assert (len(sizes), sum(sizes), min(sizes[:2]) >= 50) == (3, 136, True)
    assert parquet.read_table(path)["dst_port"].to_pylist() == [record["dst_port"] for record in expected(EXAMPLE)]


def test_parquet_without_pyarrow(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    path = tmp_path / "flows.parquet"
    done = run("flows", "-r", str(EXAMPLE), "-w", str(path))
    assert done.exit_code == 3
    assert "`pyarrow`" in done.stderr
    assert "hint: pip install" in done.stderr
    assert not path.exists()


def test_an_expression_and_a_program_select(run: Run) -> None:
    one = run("flows", "-r", str(EXAMPLE), "--json", "udp port 53")
    assert {json.loads(line)["dst_port"] for line in one.stdout.splitlines()[:-1]} == {53}
    two = run("flows", "-r", str(EXAMPLE), "-P", "udp >-> port 53", "--json")
    assert two.stdout == one.stdout
    assert json.loads(one.stdout.splitlines()[-1])["selected"] < 4631
    assert "packets selected" in run("flows", "-r", str(EXAMPLE), "udp").stderr


def test_several_files(run: Run) -> None:
    done = run("flows", "-r", str(EXAMPLE), "-r", str(FRAGMENTS), "--top", "1")
    packets = 4631 + sum(flow["packets"] + flow["packets_back"] for flow in expected(FRAGMENTS))
    assert done.stderr.startswith(f"{packets} packets read\n")


def test_a_damaged_file_gives_what_is_before_the_damage(run: Run, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.pcap"
    damaged.write_bytes(EXAMPLE.read_bytes()[:-10])
    done = run("flows", "-r", str(damaged))
    assert done.exit_code == 1
    assert len(done.stdout.splitlines()) > 100
    assert done.stderr.startswith("4630 packets read\n")
    assert "error[PFQ202]" in done.stderr


def test_a_full_table_is_told(run: Run) -> None:
    done = run("flows", "-r", str(EXAMPLE), "--max-flows", "5", "--top", "1")
    assert "flows ended early: the table was full; --max-flows makes it larger" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "read files, or capture from a device"),
        (("-r", "x.pcap", "-i", "v1"), "read files, or capture from a device"),
        (("-r", str(EXAMPLE), "--duration", "1"), "--duration is for live captures"),
        (("-r", str(EXAMPLE), "--json", "--top", "1"), "--top is for the table"),
        (("-r", str(EXAMPLE), "--json", "--format", "csv"), "say different things"),
        (("-r", str(EXAMPLE), "-w", "x.txt"), "a table goes to standard output"),
        (("-r", str(EXAMPLE), "--format", "parquet"), "Parquet goes to a file"),
        (("-r", str(EXAMPLE), "-w", str(EXAMPLE), "--format", "csv"), "is read and would be written"),
        (("-r", str(EXAMPLE), "-w", "/nowhere/x.csv"), "cannot create /nowhere/x.csv"),
        (("-r", str(EXAMPLE), "-w", "/nowhere/x.parquet"), "cannot create /nowhere/x.parquet"),
        (("-r", "nothing.pcap"), "nothing.pcap"),
        (("-r", str(EXAMPLE), "--idle", "nan"), "is not a number of seconds"),
        (("-r", str(EXAMPLE), "--idle", "0"), "0"),
        (("-r", str(EXAMPLE), "no", "such", "words"), "libpcap refuses the filter"),
        (("-r", str(EXAMPLE), str(FRAGMENTS)), f"{FRAGMENTS}` is a file"),
        (("-r", "-", "-r", "-"), "standard input is read once only"),
    ],
)
def test_wrong_command_lines(run: Run, arguments: tuple[str, ...], message: str) -> None:
    before = EXAMPLE.read_bytes()
    done = run("flows", *arguments)
    assert done.exit_code == 1
    assert message in done.stderr
    assert done.stdout == ""
    assert EXAMPLE.read_bytes() == before


def frames() -> list[bytes]:
    return [
        ethernet(ip4(tcp(1000, 80, 2)), 0x0800),
        ethernet(ip6(udp(5, 53), proto=17), 0x86DD),
        b"not IP at all" * 2,
    ]


def test_live_flows_are_lines(run: Run, fake_capture: MakeCapture) -> None:
    fake = fake_capture()
    fake.publish(*frames(), ts_ns=1_700_000_000 * S)
    fake.end(RingClosedError("the end"))
    done = run("flows", "-i", "v1", "--vlan", "any", "tcp", "or", "udp")
    assert done.exit_code == 0
    head, *lines = done.stdout.splitlines()
    assert head.split()[:4] == list(HEADINGS[:4])
    assert [line.split()[2:] for line in lines] == [
        ["0.000000", "tcp", "10.0.0.1:1000", "10.0.0.2:80", "1", "0", "54", "0", "S/", "idle"],
        ["0.000000", "udp", "[2001:db8::1]:5", "[2001:db8::2]:53", "1", "0", "62", "0", "idle"],
    ]
    assert done.stderr.splitlines()[2:] == [
        "3 packets read",
        "2 packets in 2 flows",
        "1 packet in no flow: not IP",
    ]
    assert fake.stops == 1
    assert fake.arguments["filter"] == BerkeleyFilter.of("tcp or udp")
    assert fake.arguments["vlans"] == {-1}
    assert (fake.arguments["direction"], fake.arguments["promiscuous"]) == ("inout", True)


def test_live_flows_end_in_time(run: Run, fake_capture: MakeCapture) -> None:
    fake = fake_capture()
    fake.publish(*frames(), ts_ns=1_700_000_000 * S)  # long ago
    done = run("flows", "-i", "v1", "--json", "--duration", "0.3")
    assert [json.loads(line).get("end_reason") for line in done.stdout.splitlines()] == ["idle", "idle", None]


def test_a_device_that_goes_takes_no_flow_with_it(run: Run, fake_capture: MakeCapture, tmp_path: Path) -> None:
    fake = fake_capture()
    fake.publish(*frames(), ts_ns=1_700_000_000 * S)
    fake.end(DeviceGoneError("the device is gone"))
    path = tmp_path / "flows.csv"
    done = run("flows", "-i", "v1", "-w", str(path))
    assert done.exit_code == 2
    assert len(path.read_text().splitlines()) == 3
    assert "2 packets in 2 flows" in done.stderr
    assert "the device is gone" in done.stderr
