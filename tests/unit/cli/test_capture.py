from __future__ import annotations

import json
import os
import signal
import struct
import threading
import time
from pathlib import Path

import pytest
from support.captures import FakeCapture, MakeCapture, Run
from support.packets import ether, ip4, ip6, tcp, udp

from pfq.engine.events import ProgramEvent
from pfq.errors import DeviceGoneError, NoPrivilegeError
from pfq.files import read_frames
from pfq.lang.action import Action, EventKind
from pfq.lang.berkeley import BerkeleyFilter
from pfq.lang.show import show

UDP = ether(0x0800, ip4(17, udp()))
TCP = ether(0x0800, ip4(6, tcp(2)))
TEN_O_CLOCK = 36_000_000_000_000
UDP_LINE = "IP 10.0.0.1.1 > 10.0.0.2.2: UDP, length 4"
TCP_LINE = "IP 10.0.0.1.1000 > 10.0.0.2.2000: Flags [S], seq 100, win 512, length 0"


def test_lines_and_counts(run: Run, fake_capture: MakeCapture) -> None:
    fake = fake_capture()
    fake.publish(UDP, TCP, ts_ns=TEN_O_CLOCK)
    fake.dropped = 3
    done = run("capture", "-i", "v1", "-c", "2")
    assert done.stdout == f"10:00:00.000000 {UDP_LINE}\n10:00:00.000001 {TCP_LINE}\n"
    assert done.stderr == (
        "listening on v1, link-type EN10MB (Ethernet), snapshot length 2016 bytes\n"
        "XDP (native) on v1\n"
        "2 packets captured\n"
        "5 packets received by filter\n"
        "0 packets dropped by kernel\n"
        "  3 not captured: dropped by the program\n"
    )
    assert done.exit_code == 0
    assert fake.stops == 1


def test_arguments_reach_the_engine(run: Run, fake_capture: MakeCapture) -> None:
    fake = fake_capture()
    fake.publish(UDP)
    run("capture", "-i", "v1", "-P", "ip >-> tcp", "-c1", "-s", "96", "-pQ", "inout", "--clock", "coarse", "--inline",
        "--hook", "tcx", "--vlan", "0,10", "tcp", "port", "443", "-n")  # fmt: skip
    program = fake.arguments.pop("program")
    assert show(program) == "ip >-> tcp"
    assert fake.arguments == {
        "device": "v1", "endpoints": 1, "snaplen": 96, "slots": None, "clock": "coarse", "binding": "inline",
        "direction": "inout", "hook": "tcx", "promiscuous": False,
        "filter": BerkeleyFilter.of("tcp port 443"), "vlans": {0, 10},
    }  # fmt: skip


def test_without_options_everything_is_captured_whole(run: Run, fake_capture: MakeCapture) -> None:
    fake = fake_capture()
    fake.publish(UDP)
    run("capture", "-i", "v1", "-c", "1")
    assert fake.arguments == {
        "device": "v1", "program": None, "endpoints": 1, "snaplen": None, "slots": None, "clock": "ns",
        "binding": "tap", "direction": "in", "hook": "auto", "promiscuous": True, "filter": None, "vlans": None,
    }  # fmt: skip


@pytest.mark.parametrize(("option", "snaplen"), [("-s0", None), ("-s1500", 1500), ("-s262144", 65_535)])
def test_snap_length(run: Run, fake_capture: MakeCapture, option: str, snaplen: int | None) -> None:
    fake = fake_capture()
    fake.publish(UDP)
    run("capture", "-i", "v1", "-c", "1", option)
    assert fake.arguments["snaplen"] == snaplen


def test_program_from_a_file(run: Run, fake_capture: MakeCapture, tmp_path: Path) -> None:
    path = tmp_path / "edge.pfq"
    path.write_text("main = ip >-> steer_flow\n")
    fake = fake_capture()
    fake.publish(UDP)
    assert run("capture", "-i", "v1", "-F", str(path), "-c", "1").exit_code == 0
    assert show(fake.arguments["program"]) == "ip >-> steer_flow"


def test_clustered_letters(run: Run, fake_capture: MakeCapture) -> None:
    """The classic of tcpdump's users."""
    fake = fake_capture()
    fake.publish(UDP, ts_ns=TEN_O_CLOCK)
    done = run("capture", "-i", "v1", "-nnvvXSs0", "-c1")
    assert done.stdout == (
        "10:00:00.000000 IP (tos 0x0, ttl 64, id 1, offset 0, flags [none], proto UDP (17), length 32, "
        "bad cksum 0 (->66ca)!)\n"
        "    10.0.0.1.1 > 10.0.0.2.2: [bad udp cksum 0x1111 -> 0x270a!] UDP, length 4\n"
        "\t0x0000:  4500 0020 0001 0000 4011 0000 0a00 0001  E...............\n"
        "\t0x0010:  0a00 0002 0001 0002 000c 1111 6162 6364  ............abcd\n"
    ).replace("E...............", "E.......@.......")


def test_end_points_are_named_and_in_order_of_time(run: Run, fake_capture: MakeCapture) -> None:
    fake = fake_capture(2)
    fake.publish(UDP, ts_ns=TEN_O_CLOCK + 2000)
    fake.publish(TCP, endpoint=1, ts_ns=TEN_O_CLOCK)
    done = run("capture", "-i", "v1", "-E", "2", "-c", "2", "-q")
    assert done.stdout == (
        "10:00:00.000000 [1] IP 10.0.0.1.1000 > 10.0.0.2.2000: tcp 0\n"
        "10:00:00.000002 [0] IP 10.0.0.1.1 > 10.0.0.2.2: UDP, length 4\n"
    )
    assert "XDP (native) on v1, 2 end-points\n" in done.stderr


@pytest.mark.parametrize("endpoints", [1, 3])
@pytest.mark.parametrize("count", [1, 5, 29])
def test_count_is_exact(run: Run, fake_capture: MakeCapture, count: int, endpoints: int, tmp_path: Path) -> None:
    for output in ([], ["-w", str(tmp_path / "out.pcapng")]):
        fake = fake_capture(endpoints)
        for endpoint in range(endpoints):
            fake.publish(*[UDP] * 10 * (4 - endpoints), endpoint=endpoint)
        done = run("capture", "-i", "v1", "-E", str(endpoints), "-c", str(count), *output)
        assert f"\n{count} packet{'s' * (count > 1)} captured\n" in done.stderr
        assert len(done.stdout.splitlines()) == (0 if output else count)
        assert fake.statistics().endpoints[0].read <= count
    assert len(list(read_frames(tmp_path / "out.pcapng"))) == count


def test_what_was_left_and_lost_is_said(run: Run, fake_capture: MakeCapture) -> None:
    fake = fake_capture()
    fake.publish(*[UDP] * 70)
    done = run("capture", "-i", "v1", "-c", "10")
    assert done.stderr.splitlines()[2:] == [
        "10 packets captured",
        "70 packets received by filter",
        "6 packets dropped by kernel",
        "  6 dropped by kernel: a ring was full, its reader was too slow",
        "  54 not captured: still in the rings at the end",
    ]


def test_json(run: Run, fake_capture: MakeCapture) -> None:
    fake = fake_capture()
    fake.publish(TCP, ts_ns=5, mark=7, queue=2)
    done = run("capture", "-i", "v1", "-P", "ip", "-c", "1", "--json")
    start, packet, end = (json.loads(line) for line in done.stdout.splitlines())
    assert start == {
        "type": "start", "device": "v1", "program": "ip", "endpoints": 1, "snaplen": 2016,
        "attachment": "XDP (native) on v1",
    }  # fmt: skip
    assert packet | {"ifindex": 0, "state": 0, "group": 0, "vlan_tci": 0} == {
        "type": "packet", "ts_ns": 5, "endpoint": 0, "len": 54, "caplen": 54, "mark": 7, "queue": 2, "ifindex": 0,
        "state": 0, "group": 0, "vlan_tci": 0, "eth_src": "0a:0b:0c:0d:0e:0f", "eth_dst": "01:02:03:04:05:06",
        "ethertype": 2048, "src": "10.0.0.1", "dst": "10.0.0.2", "proto": 6, "src_port": 1000, "dst_port": 2000,
        "tcp_flags": "S", "text": TCP_LINE,
    }  # fmt: skip
    assert end == {
        "type": "end", "captured": 1, "arrived": 1, "filtered": 0, "dropped": 0, "selected": 1, "nobody": 0, "lost": 0,
        "forwarded": 0, "unsent": 0, "to_linux": 0, "events_missed": 0,
        "endpoints": [{"selected": 1, "delivered": 1, "lost": 0, "read": 1, "waiting": 0}],
    }  # fmt: skip
    assert done.stderr == ""


def message(text: str, ts_ns: int = TEN_O_CLOCK) -> ProgramEvent:
    return ProgramEvent(EventKind.MESSAGE, text, ts_ns, len(UDP), UDP, 12, Action())


def test_events_are_talk(run: Run, fake_capture: MakeCapture, tmp_path: Path) -> None:
    """On stderr as they come, with the time in the form of the packets' own; standard output is for packets."""
    for options, said in (([], "10:00:00.000000 "), (["-t"], ""), (["-w", str(tmp_path / "out")], "10:00:00.000000 ")):
        fake = fake_capture()
        fake.publish(UDP)
        fake.told = [message("ping")]
        done = run("capture", "-i", "v1", "-c", "1", *options)
        assert done.stderr.splitlines()[2:4] == [f"{said}[program] ping", "1 packet captured"]
        assert "ping" not in done.stdout


def test_events_as_json(run: Run, fake_capture: MakeCapture) -> None:
    fake = fake_capture()
    fake.publish(UDP)
    fake.told = [message("ping", ts_ns=5)]
    done = run("capture", "-i", "v1", "-c", "1", "--json")
    records = [json.loads(line) for line in done.stdout.splitlines()]
    assert [record["type"] for record in records] == ["start", "event", "packet", "end"]
    assert (records[1]["kind"], records[1]["text"], records[1]["ts_ns"]) == ("message", "ping", 5)
    assert done.stderr == ""


def test_events_beside_packets_on_standard_output(run: Run, fake_capture: MakeCapture) -> None:
    """`-w -` takes standard output, so even JSON goes to stderr."""
    fake = fake_capture()
    fake.publish(UDP)
    fake.told = [message("ping")]
    done = run("capture", "-i", "v1", "-c", "1", "--json", "-w", "-")
    assert [json.loads(line)["type"] for line in done.stderr.splitlines()] == ["start", "event", "end"]


def test_events_of_the_last_moment_are_shown(run: Run, fake_capture: MakeCapture) -> None:
    fake = fake_capture()
    fake.on_stop = lambda: fake.told.append(message("the end"))
    fake.missed = 3
    done = run("capture", "-i", "v1", "--duration", "0.05")
    assert "[program] the end\n0 packets captured\n" in done.stderr
    assert done.stderr.endswith("  3 not shown: events of the program beyond 100 a second\n")


def test_the_file_is_finished_when_nobody_reads_the_talk(
    run: Run, fake_capture: MakeCapture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An event that cannot be printed does not cost the end of the capture file."""
    path = tmp_path / "out.pcapng"
    fake = fake_capture()
    fake.publish(UDP)

    def events() -> list[ProgramEvent]:
        if fake.stops:
            raise BrokenPipeError(32, "Broken pipe")
        return []

    monkeypatch.setattr(fake, "events", events)
    run("capture", "-i", "v1", "-c", "1", "-w", str(path))
    assert [frame.data for frame in read_frames(path)] == [UDP]
    assert has_statistics(path)


def has_statistics(path: Path) -> bool:
    """Whether a pcapng file ends with a block of interface statistics, type 5."""
    data = path.read_bytes()
    (size,) = struct.unpack("<I", data[-4:])
    return struct.unpack_from("<I", data, len(data) - size) == (5,)


def test_file(run: Run, fake_capture: MakeCapture, tmp_path: Path) -> None:
    path = tmp_path / "out.pcapng"
    fake = fake_capture(2)
    fake.publish(UDP, ts_ns=1000)
    fake.publish(TCP, endpoint=1, ts_ns=3000)
    done = run("capture", "-i", "v1", "-E", "2", "-c", "2", "-w", str(path))
    assert done.exit_code == 0
    assert done.stdout == ""
    assert sorted((frame.ts_ns, frame.data) for frame in read_frames(path)) == [(1000, UDP), (3000, TCP)]


def test_full_disk(run: Run, fake_capture: MakeCapture) -> None:
    fake = fake_capture()
    fake.publish(*[UDP] * 10)
    done = run("capture", "-i", "v1", "-w", "/dev/full")
    assert done.exit_code == 2
    assert "error[PFQ504]: writing /dev/full failed" in done.stderr


def test_duration(run: Run, fake_capture: MakeCapture) -> None:
    """At the end the capture is stopped first; what its rings have by then is captured too."""
    fake = fake_capture()
    fake.on_stop = lambda: fake.publish(UDP) if fake.stops == 1 else None
    done = run("capture", "-i", "v1", "--duration", "0.05")
    assert "\n1 packet captured\n" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_end_it_cleanly(run: Run, fake_capture: MakeCapture, number: int) -> None:
    fake = fake_capture()
    fake.publish(UDP)
    send_when_read(fake, number)
    done = run("capture", "-i", "v1")
    assert done.exit_code == 0
    assert "\n1 packet captured\n1 packet received by filter\n" in done.stderr


def test_counts_on_request(run: Run, fake_capture: MakeCapture) -> None:
    fake = fake_capture()
    fake.publish(UDP)
    send_when_read(fake, signal.SIGUSR1, signal.SIGINT)
    done = run("capture", "-i", "v1")
    assert done.stderr.count("1 packet captured\n") == 2


def send_when_read(fake: FakeCapture, *numbers: int) -> None:
    """Sends signals to this process after the first packet was read, each when the one before was noticed."""

    def send() -> None:
        while not fake.statistics().endpoints[0].read:
            time.sleep(0.01)
        for number in numbers:
            os.kill(os.getpid(), number)
            time.sleep(0.3)

    threading.Thread(target=send, daemon=True).start()


def test_device_gone(run: Run, fake_capture: MakeCapture) -> None:
    """What was there is printed, the counts are shown, then the reason."""
    fake = fake_capture(2)
    fake.publish(UDP, ts_ns=TEN_O_CLOCK)
    fake.publish(TCP, endpoint=1, ts_ns=TEN_O_CLOCK + 1000)
    fake.end(DeviceGoneError("the device `v1` disappeared while it was captured from"))
    done = run("capture", "-i", "v1", "-E", "2")
    assert len(done.stdout.splitlines()) == 2
    assert "2 packets captured\n" in done.stderr
    assert done.stderr.endswith("error[PFQ503]: the device `v1` disappeared while it was captured from\n")
    assert done.exit_code == 2


def test_dump_below_the_line(run: Run, fake_capture: MakeCapture) -> None:
    fake = fake_capture()
    fake.publish(ether(0x86DD, ip6(59, b"")))
    done = run("capture", "-i", "v1", "-c", "1", "-tx")
    assert done.stdout == (
        "IP6 fe80::1 > ff02::1:ff00:2: no next header\n"
        "\t0x0000:  6000 0000 0000 3b40 fe80 0000 0000 0000\n"
        "\t0x0010:  0000 0000 0000 0001 ff02 0000 0000 0000\n"
        "\t0x0020:  0000 0001 ff00 0002\n"
    )


def test_without_a_clock_there_is_no_time(run: Run, fake_capture: MakeCapture) -> None:
    fake = fake_capture()
    fake.publish(UDP)
    assert run("capture", "-i", "v1", "-c", "1", "--clock", "none").stdout == f"{UDP_LINE}\n"


REFUSED = {
    "filter expression": (["-i", "v1", "tcp", "prot", "443"], "error[PFQ113]: libpcap refuses the filter: "),
    "VLANs": (["-i", "v1", "--vlan", "5000"], "error[PFQ201]: `5000` are no VLANs\n"),
    "no device": (
        ["-c", "1"],
        "error[PFQ201]: which device?\n  hint: give it with -i; `pfq capture -D` lists the devices\n",
    ),
    "two programs": (
        ["-i", "v1", "-P", "ip", "-F", "x.pfq"],
        "error[PFQ201]: give a file or a program, one of them\n",
    ),
    "wrong program": (
        ["-i", "v1", "-P", "ip >-> steer_flwo"],
        "error[PFQ103]: unknown name `steer_flwo`\n",
    ),
    "no such file": (["-i", "v1", "-F", "none.pfq"], "error[PFQ203]: "),
    "count": (["-i", "v1", "-c", "0"], "error[PFQ201]: Invalid value for '-c' / '--count': 0 is not in the range"),
    "option": (["-i", "v1", "--offline"], "error[PFQ201]: No such option '--offline'"),
}  # fmt: skip


@pytest.mark.parametrize(("arguments", "message"), REFUSED.values(), ids=REFUSED)
def test_wrong_use(run: Run, fake_capture: MakeCapture, arguments: list[str], message: str) -> None:
    fake_capture()
    done = run("capture", *arguments)
    assert done.exit_code == 1
    assert message in done.stderr
    assert done.stdout == ""


def test_errors_of_the_engine_have_their_status(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def capture(*of: object, **options: object) -> None:
        raise NoPrivilegeError("eBPF is not allowed here", hint="run as root")

    monkeypatch.setattr("pfq.capture", capture, raising=False)
    done = run("capture", "-i", "v1")
    assert (done.exit_code, done.stderr) == (3, "error[PFQ302]: eBPF is not allowed here\n  hint: run as root\n")
    done = run("capture", "-i", "v1", "--json")
    error = {"code": "PFQ302", "message": "eBPF is not allowed here", "hint": "run as root"}
    assert json.loads(done.stderr) == {"errors": [error]}


def test_buffer_size(run: Run, fake_capture: MakeCapture) -> None:
    """-B is the memory of one ring; slots are a power of two that fits into it. `lo` has an MTU of 65536."""
    fake = fake_capture()
    fake.publish(UDP)
    run("capture", "-i", "lo", "-c", "1", "-B", "1000", "-s", "96")
    assert fake.arguments["slots"] == 4096
    fake = fake_capture()
    fake.publish(UDP)
    run("capture", "-i", "lo", "-c", "1", "-B", "1000")
    assert fake.arguments["slots"] == 8


def test_list_devices(run: Run) -> None:
    assert run("capture", "-D").stdout.startswith("1.lo [")
    assert json.loads(run("capture", "-D", "--json").stdout)[0]["name"] == "lo"
