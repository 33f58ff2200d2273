"""`pfq run`: what it prints, writes and counts, and how it ends."""

from __future__ import annotations

import gzip
import json
import os
import select
import shutil
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.capturefiles import STATISTICS, Blocks
from support.captures import Run
from support.frames import CAPTURES

from pfq.cli.running.orders import orders_by_signal
from pfq.cli.vlans import vlan_ids
from pfq.errors import UsageError
from pfq.files import Frame, read_frames
from pfq.files.capfile import CaptureFile

EXAMPLE = str(CAPTURES / "pcapplusplus-example.pcap")
DNS = str(CAPTURES / "pcapplusplus-DnsPackets.pcap")
COOKED = str(CAPTURES / "pcapplusplus-sll.pcap")
SEVERAL = str(CAPTURES / "pcapplusplus-many_interfaces-1.pcapng")
GOLDEN = Path(__file__).parent / "run"


def content(path: str | Path) -> list[tuple[int, int, bytes, int]]:
    return [key(frame) for frame in read_frames(path)]


def key(frame: Frame) -> tuple[int, int, bytes, int]:
    return (frame.ts_ns, frame.len, frame.data, frame.link_type)


def is_tcp(frame: Frame) -> bool:
    return frame.data[12:14] == b"\x08\x00" and frame.data[23] == 6


# lines


def test_lines(run: Run, golden: Callable[[Path, str], None]) -> None:
    done = run("run", "-r", DNS, "-r", COOKED, "-P", "ip >-> steer_flow", "-E", "2", "-c", "467", "udp")
    assert done.exit_code == 0
    golden(GOLDEN / "lines.txt", "".join(done.stdout.splitlines(keepends=True)[-8:]) + done.stderr)


def test_lines_of_link_types_that_nobody_knows(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "wlan.pcap"
    path.write_bytes(struct.pack("<IHHiIIIIIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 105, 5, 0, 3, 9) + b"abc")
    done = run("run", "-r", str(path))
    assert done.stdout == "00:00:05.000000 link-type 105, length 9\n"
    assert run("run", "-r", str(path), "ip").stderr == (
        "warning: 1 packet of link type 105 could not be read as Ethernet or IP, and was filtered\n"
        "0 packets selected\n1 packet read\n  1 not selected: rejected by the filter\n"
    )


@pytest.mark.skipif(shutil.which("tcpdump") is None, reason="needs tcpdump")
@pytest.mark.parametrize("path", [EXAMPLE, DNS, COOKED])
@pytest.mark.parametrize("options", ["-x", "-xx", "-XX"])
def test_dumps_are_those_of_tcpdump(run: Run, path: str, options: str) -> None:
    """Also of cooked captures, whose packets the decoder sees with another header."""
    command = ["tcpdump", "-r", path, "-nt", options, "-c", "20", "ip", "and", "udp"]
    theirs = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    ours = run("run", "-r", path, "-nt", options, "-c", "20", "ip", "and", "udp").stdout
    assert dump_lines(ours) == dump_lines(theirs)
    assert dump_lines(ours)


def dump_lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("\t0x")]


def test_json(run: Run, golden: Callable[[Path, str], None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(CAPTURES)
    program = 'when is_udp (mark 7 >-> inc 2) >-> log_msg "seen" >-> broadcast'
    done = run("run", "-r", Path(SEVERAL).name, "-P", program, "-E", "2", "-c", "2", "--json", "--vlan", "0", "udp")
    assert done.stderr == ""
    records = [json.loads(line) for line in done.stdout.splitlines()]
    golden(GOLDEN / "records.json", json.dumps(records, indent=1) + "\n")


def test_counts_as_json(run: Run) -> None:
    done = run("run", "-r", DNS, "--count", "--json", "-P", "ip")
    (end,) = [json.loads(line) for line in done.stdout.splitlines()]
    assert (end["type"], end["captured"], end["arrived"], end["selected"]) == ("end", None, 464, 449)
    assert end["arrived"] == end["filtered"] + end["dropped"] + end["selected"]
    assert end["endpoints"] == [{"selected": 449, "delivered": 449, "lost": 0, "read": 449, "waiting": 0}]


def test_counts(run: Run) -> None:
    program = "when is_udp (inc 3) >-> conditional (has_port 53) steer_flow (classify 3)"
    done = run("run", "-r", DNS, "-r", EXAMPLE, "--count", "-P", program, "-E", "2", "--vlan", "untagged", "ip")
    assert done.stdout == (
        "5080 packets selected\n"
        "5095 packets read\n"
        "  15 not selected: rejected by the filter\n"
        "  4514 selected for a class that has no end-point\n"
        "  285 packets for end-point 0\n"
        "  281 packets for end-point 1\n"
        "  counter 3: 588\n"
    )
    assert done.stderr == ""


# files


def test_writing(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "out.pcapng"
    done = run("run", "-r", EXAMPLE, "-r", DNS, "-w", str(out), "tcp")
    assert (done.exit_code, done.stdout) == (0, "")
    assert content(out) == [key(frame) for path in (EXAMPLE, DNS) for frame in read_frames(path) if is_tcp(frame)]
    assert done.stderr.startswith("4492 packets selected\n5095 packets read\n")


def test_writing_classic_pcap(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "out.pcap"
    run("run", "-r", EXAMPLE, "--pcap", "-w", str(out))
    assert out.read_bytes()[24:] == Path(EXAMPLE).read_bytes()[24:]


def test_link_types_and_interfaces_are_kept(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "out.pcapng"
    run("run", "-r", SEVERAL, "-r", COOKED, "-w", str(out))
    assert content(out) == content(SEVERAL) + content(COOKED)


@pytest.mark.parametrize("last", [[], ["-r", DNS]])
@pytest.mark.parametrize("option", ["-w", "--split"])
def test_drop_counters_are_kept(run: Run, tmp_path: Path, last: list[str], option: str) -> None:
    source, out = tmp_path / "in.pcapng", tmp_path / "0.pcapng"
    blocks = Blocks()
    counts = [(4, struct.pack("<Q", 1000)), (5, struct.pack("<Q", 70)), (7, struct.pack("<Q", 5))]
    packet = blocks.packet(b"abcd" * 20, number=1)
    statistics = blocks.block(STATISTICS, struct.pack("<III", 1, 0, 0) + blocks.options(counts))
    source.write_bytes(blocks.section() + blocks.interface() + blocks.interface(113) + packet + statistics)
    run("run", "-r", str(source), *last, option, str(out if option == "-w" else tmp_path))
    with CaptureFile(out) as file:
        assert sum(map(len, file.runs())) == 1 + (464 if last else 0)
        assert [(n, found.received, found.dropped) for n, found in file.statistics.items()] == [(1, 1000, 70)]


def test_splitting(run: Run, tmp_path: Path) -> None:
    """Every selected packet is in one file, in the order of the input; files without packets are there as well."""
    folder = tmp_path / "new" / "parts"
    done = run("run", "-r", EXAMPLE, "-P", "ip >-> steer_flow", "-E", "11", "--split", str(folder), "host 10.0.0.6")
    assert done.exit_code == 0
    names = [f"{number:02}.pcapng" for number in range(11)]
    assert sorted(os.listdir(folder)) == names
    parts = [content(folder / name) for name in names]
    whole = tmp_path / "whole.pcapng"
    run("run", "-r", EXAMPLE, "-P", "ip", "-w", str(whole), "host 10.0.0.6")
    together = content(whole)
    assert sorted(packet for part in parts for packet in part) == sorted(together)
    for part in parts:
        left = iter(together)
        assert all(packet in left for packet in part)
    for number, part in enumerate(parts):
        assert f"  {len(part)} packet{'s' * (len(part) != 1)} for end-point {number}\n" in done.stderr
    done = run("run", "-r", EXAMPLE, "-P", "drop", "-E", "2", "--pcap", "--split", str(tmp_path / "none"))
    assert [content(tmp_path / "none" / name) for name in ("0.pcap", "1.pcap")] == [[], []]


def test_copies_are_written_once(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "out.pcapng"
    done = run("run", "-r", DNS, "-P", "broadcast", "-E", "3", "-w", str(out))
    assert content(out) == content(DNS)
    assert "1392 copies for end-points were made of 464 packets\n" in done.stderr


def test_rotation(run: Run, tmp_path: Path) -> None:
    run("run", "-r", EXAMPLE, "-C", "1", "-w", str(tmp_path / "out"))
    names = sorted(os.listdir(tmp_path))
    assert names == ["out", "out1", "out2", "out3"]
    assert [packet for name in names for packet in content(tmp_path / name)] == content(EXAMPLE)


@pytest.mark.parametrize("jobs", ["2", "5"])
def test_jobs(run: Run, tmp_path: Path, jobs: str) -> None:
    """What is written and counted is the same, whatever is worked on first."""
    files = [word for path in (DNS, EXAMPLE, COOKED, DNS, EXAMPLE) for word in ("-r", path)]
    results = []
    for options in ([], ["--jobs", jobs]):
        out = tmp_path / f"out{len(options)}.pcapng"
        done = run("run", *files, *options, "-P", "ip >-> steer_flow", "-E", "3", "-w", str(out), "udp or port 443")
        counted = run("run", *files, *options, "-P", "ip >-> steer_flow", "-E", "3", "--count", "udp or port 443")
        assert counted.stdout == done.stderr
        results.append((content(out), done.stderr))
    assert results[0] == results[1]


def test_stopping_after_some(run: Run, tmp_path: Path) -> None:
    """The counts are those of the packets up to the last one that is taken."""
    wanted = [i for i, frame in enumerate(read_frames(EXAMPLE)) if is_tcp(frame)]
    out = tmp_path / "out.pcapng"
    for count in (1, 7, 4000):
        done = run("run", "-r", EXAMPLE, "-c", str(count), "-w", str(out), "tcp")
        assert len(content(out)) == count
        assert done.stderr.startswith(
            f"{count} packet{'s' * (count > 1)} selected\n{wanted[count - 1] + 1} packets read\n"
        )


def test_stopping_among_packets_that_nothing_looks_into(run: Run, tmp_path: Path) -> None:
    path, blocks = tmp_path / "in.pcapng", Blocks()
    packets = [blocks.packet(b"\x45" * 40, number=number) for number in (0, 1, 1, 0, 1, 0, 1)]
    path.write_bytes(blocks.section() + blocks.interface(101) + blocks.interface(105) + b"".join(packets))
    for count, read in ((1, 1), (2, 4), (3, 6), (4, 7)):
        out = tmp_path / "out.pcapng"
        done = run("run", "-r", str(path), "-c", str(count), "--count", "-P", "unit", "-w", str(out))
        selected = min(count, 3)
        assert len(content(out)) == selected
        filtered = f"  {read - selected} not selected: rejected by the filter\n" if read > selected else ""
        assert done.stdout.replace("packets", "packet") == f"{selected} packet selected\n{read} packet read\n{filtered}"


# how it ends


def start(*arguments: str, **options: object) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", "from pfq.cli import main; main()", "run", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)  # type: ignore[call-overload,no-any-return]


def test_standard_input_and_output() -> None:
    child = start("-r", "-", "-w", "-", "--pcap", "--json", stdin=subprocess.PIPE)
    out, err = child.communicate(gzip.compress(Path(EXAMPLE).read_bytes()), timeout=60)
    assert child.returncode == 0
    assert out[24:] == Path(EXAMPLE).read_bytes()[24:]
    assert json.loads(err)["captured"] == 4631


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_end_it_cleanly(tmp_path: Path, number: int) -> None:
    """What was read is written; the end is noticed while it waits for input."""
    out = tmp_path / "out.pcapng"
    child = start("-r", "-", "-w", str(out), stdin=subprocess.PIPE)
    assert child.stdin is not None
    child.stdin.write(Path(EXAMPLE).read_bytes())
    child.stdin.flush()
    wait_for(lambda: out.exists() and out.stat().st_size > 3_000_000)
    time.sleep(0.5)
    child.send_signal(number)
    assert child.wait(60) == 130  # and standard input is still open
    _, err = child.communicate()
    found = content(out)
    assert found == content(EXAMPLE)[: len(found)]
    assert err.decode().startswith(f"{len(found)} packets selected\n{len(found)} packets read\n")


def test_a_signal_ends_a_wait_that_has_just_begun() -> None:
    reading, writing = os.pipe()

    def packets() -> Iterator[int]:
        signal.raise_signal(signal.SIGINT)
        select.select([reading], [], [], 10)
        yield 1

    try:
        with orders_by_signal() as orders:
            assert list(orders.among(packets())) == []
    finally:
        os.close(reading)
        os.close(writing)
    assert orders.stop
    assert signal.getitimer(signal.ITIMER_REAL)[0] == 0


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_counts_on_request() -> None:
    child = start("-r", "-", "--count", stdin=subprocess.PIPE)
    assert child.stdin is not None
    assert child.stdout is not None
    data = Path(EXAMPLE).read_bytes()
    try:
        child.stdin.write(data)
        child.stdin.flush()
        time.sleep(1.5)
        child.send_signal(signal.SIGUSR1)
        child.stdin.write(data[24:])
        child.stdin.flush()
        assert b"packets selected" in child.stdout.readline()
    finally:
        out, _ = child.communicate(timeout=60)
    assert out.endswith(b"9262 packets selected\n9262 packets read\n")


def test_a_reader_that_has_seen_enough() -> None:
    child = start("-r", EXAMPLE)
    assert child.stdout is not None
    assert child.stderr is not None
    child.stdout.readline()
    child.stdout.close()
    assert b"Error" not in child.stderr.read()
    child.stderr.close()
    assert child.wait(60) == 0


def test_full_disk(run: Run) -> None:
    done = run("run", "-r", EXAMPLE, "-w", "/dev/full")
    assert done.exit_code == 2
    assert "error[PFQ504]: writing /dev/full failed after 0 packets: No space left on device" in done.stderr


@pytest.mark.parametrize("option", ["-w", "--split"])
def test_the_counts_say_what_a_full_disk_holds(tmp_path: Path, option: str) -> None:
    out = tmp_path / "0.pcapng"
    limit = 1_500_000
    command = f"import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); " \
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit})); from pfq.cli import main; main()"  # fmt: skip
    arguments = [sys.executable, "-c", command, "run", "-r", EXAMPLE, option, str(out if option == "-w" else tmp_path)]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    written = len(content(out))
    assert 1000 < written < 4631
    selected = int(done.stderr.split(maxsplit=1)[0])
    assert f"  {selected - written} selected, but the output ended\n" in done.stderr
    assert f"failed after {written} packets: File too large" in done.stderr


def test_a_damaged_file(run: Run, tmp_path: Path) -> None:
    cut, out = tmp_path / "cut.pcap", tmp_path / "out.pcapng"
    cut.write_bytes(Path(EXAMPLE).read_bytes()[:300_000])
    done = run("run", "-r", str(cut), "-r", DNS, "-w", str(out))
    assert done.exit_code == 1
    assert content(out) == content(EXAMPLE)[:446]
    assert done.stderr == (
        "446 packets selected\n446 packets read\n"
        f"error[PFQ202]: {cut}: at offset 299258: the file ends in a packet (726 of 1414 bytes)\n"
    )


def test_what_is_read_is_not_overwritten(run: Run, tmp_path: Path) -> None:
    data = Path(DNS).read_bytes()
    for name in ("0.pcap", "x.pcap1", "x-12.pcap"):
        (tmp_path / name).write_bytes(data)
    (tmp_path / "link").symlink_to("0.pcap")
    for name, *options in (
        ("0.pcap", "-w", str(tmp_path / "link")),
        ("link", "-w", str(tmp_path / "0.pcap")),
        ("0.pcap", "--pcap", "--split", str(tmp_path)),
        ("x.pcap1", "-C", "1k", "-w", str(tmp_path / "x.pcap")),
        ("x-12.pcap", "-G", "60", "-w", str(tmp_path / "x-%M.pcap")),
    ):
        source = str(tmp_path / name)
        done = run("run", "-r", DNS, "-r", source, *options)
        assert done.stderr == (f"error[PFQ201]: {source} is read and would be written\n  hint: write to another file\n")
        assert (tmp_path / name).read_bytes() == data
    with open(tmp_path / "0.pcap", "rb") as file:
        child = start("-r", "-", "-w", file.name, stdin=file)
        assert b"- is read and would be written" in child.communicate(timeout=60)[1]
    assert (tmp_path / "0.pcap").read_bytes() == data


REFUSED = {
    "no file": (["tcp"], "which file?\n  hint: give it with -r"),
    "missing file": (["-r", "none.pcap"], "error[PFQ203]: cannot open none.pcap: No such file or directory"),
    "no capture": (["-r", __file__], "neither pcap nor pcapng"),
    "filter": (["-r", DNS, "tcp prot 80"], "error[PFQ113]: libpcap refuses the filter"),
    "file as filter": (["-r", DNS, EXAMPLE], f"hint: `{EXAMPLE}` is a file; files to read are named by `pfq run -r`"),
    "program": (["-r", DNS, "-P", "steer_flwo"], "error[PFQ103]: unknown name `steer_flwo`"),
    "two programs": (["-r", DNS, "-P", "ip", "-F", "x.pfq"], "give a file or a program, one of them"),
    "two outputs": (["-r", DNS, "-w", "x", "--split", "y"], "-w writes one file and --split many"),
    "no output": (["-r", DNS, "--pcap"], "--pcap says how files are written, but none is"),
    "standard input twice": (["-r", "-", "-F", "-"], "standard input is read once only"),
    "count in turns": (["-r", DNS, "-c", "1", "--jobs", "2"], "-c counts packets in the order of the files"),
    "end-points": (["-r", DNS, "-E", "65"], "there are 1 to 64 end-points, not 65"),
    "VLANs": (["-r", DNS, "--vlan", "1-5000"], "error[PFQ201]: `1-5000` are no VLANs"),
    "folder": (["-r", DNS, "--split", "/proc/x"], "error[PFQ203]: cannot create /proc/x"),
}


@pytest.mark.parametrize(("arguments", "message"), REFUSED.values(), ids=REFUSED)
def test_wrong_use(run: Run, arguments: list[str], message: str) -> None:
    done = run("run", *arguments)
    assert done.exit_code == 1
    assert message in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("text", "ids"),
    [("0", {0}), ("untagged,any", {0, -1}), ("7, 10-12", {7, 10, 11, 12}), ("1-4094", set(range(1, 4095)))],
)
def test_vlan_ids(text: str, ids: set[int]) -> None:
    assert vlan_ids(text) == ids


@pytest.mark.parametrize("text", ["", "x", "-1", "1-", "5-3", "4095", "1--2", "1,,2", "²"])
def test_wrong_vlan_ids(text: str) -> None:
    with pytest.raises(UsageError):
        vlan_ids(text)
