"""The demonstration itself: sets up, shows, checks."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
from rich.console import Console
from rich.live import Live
from rich.table import Table

from pfq.cli.demo.checks import Check, offline_checks, online_checks
from pfq.cli.demo.namespaces import NEAR, enter_new_namespace, join, quiet
from pfq.cli.demo.sender import Sender
from pfq.cli.demo.traffic import FlowFinder, Numbers, Traffic
from pfq.engine.capture import Capture
from pfq.engine.steering import Member, SteeringTable
from pfq.errors import PfqError
from pfq.kernel.privilege import missing_privilege
from pfq.lang.action import DEFAULT_CLASSES
from pfq.lang.compile import compile_text
from pfq.lang.interp import decide
from pfq.lang.program import Program
from pfq.ring.reader import Reader

PROGRAM = "ip >-> steer_flow"
REFRESH_S = 0.25
SETTLE_S = 0.3


@click.command("demo")
@click.argument("capture", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--endpoints", "-E", default=4, show_default=True, type=click.IntRange(1, 64), help="End-points.")
@click.option("--duration", default=5.0, show_default=True, help="Seconds to replay for.")
@click.option("--rate", default=100_000, show_default=True, help="Packets per second to send.")
def main(capture: Path, endpoints: int, duration: float, rate: int) -> None:
    """Replay CAPTURE over a veth pair of its own and steer it by flow.

    Makes two network namespaces, which end with the command. Without the rights for eBPF it runs
    the same program over the file instead.
    """
    console = Console(highlight=False)
    program = compile_text(PROGRAM, "<demo>")
    traffic = Traffic.load(capture, program)
    console.print(f"{capture.name}: {len(traffic.frames)} packets, {traffic.flow_count} flows; program: {PROGRAM}")
    if (why := missing_privilege()) is not None:
        console.print(f"No eBPF here ({why}): running the program over the file instead.")
        checks = run_offline(console, traffic, program, endpoints)
    else:
        checks = run_online(console, traffic, endpoints, duration, rate)
    for check in checks:
        console.print(f"{'ok    ' if check.holds else 'FAILED'} {check.text}")
    if not all(check.holds for check in checks):
        raise PfqError(
            "the demonstration's checks do not hold", hint="please report this with the output of `pfq probe`"
        )


@dataclass
class Tally:
    """What one end-point read: packets of each flow."""

    flows: Numbers
    strangers: int = 0

    @property
    def packets(self) -> int:
        return int(self.flows.sum())

    @property
    def flows_seen(self) -> int:
        return int((self.flows > 0).sum())


def read_all(reader: Reader, finder: FlowFinder, tally: Tally) -> None:
    """Counts the packets of an end-point by flow, until it ends."""
    for batch in reader:
        flows = finder.flows(batch.data, np.asarray(batch.caplen, np.int64))
        known = flows[flows >= 0]
        tally.flows += np.bincount(known, minlength=len(tally.flows))
        tally.strangers += len(flows) - len(known)


@contextmanager
def sending(traffic: Traffic, rate: int) -> Iterator[Sender]:
    """The sender and the veth pair, ready to start; gone afterwards."""
    sender = Sender(traffic.frames, rate)
    try:
        enter_new_namespace()
        quiet()
        join(sender.pid)
        yield sender
    finally:
        sender.close()


def run_online(console: Console, traffic: Traffic, endpoints: int, duration: float, rate: int) -> list[Check]:
    """The demonstration in the kernel."""
    finder = FlowFinder(traffic)
    tallies = [Tally(np.zeros(traffic.flow_count, np.int64)) for _ in range(endpoints)]
    with (
        sending(traffic, rate) as sender,
        Capture(NEAR, PROGRAM, endpoints=endpoints, binding="inline", slots=1 << 14) as cap,
    ):
        console.print(f"capturing with {cap.attachment}")
        threads = [
            threading.Thread(target=read_all, args=(reader, finder, tally))
            for reader, tally in zip(cap, tallies, strict=True)
        ]
        for thread in threads:
            thread.start()
        sender.start()
        show(console, cap, tallies, duration)
        sent = sender.finish()
        time.sleep(SETTLE_S)
        cap.stop()
        for thread in threads:
            thread.join()
        console.print(table(cap, tallies, duration))
        statistics = cap.statistics()
    return online_checks(
        statistics, sent, [tally.flows for tally in tallies], sum(tally.strangers for tally in tallies), traffic
    )


def show(console: Console, cap: Capture, tallies: list[Tally], duration: float) -> None:
    """The live table, for a while; on a terminal only."""
    start = time.monotonic()
    if not console.is_terminal:
        time.sleep(duration)
        return
    with Live(console=console, transient=True, auto_refresh=False) as live:
        while (passed := time.monotonic() - start) < duration:
            live.update(table(cap, tallies, max(passed, REFRESH_S)), refresh=True)
            time.sleep(REFRESH_S)


def table(cap: Capture, tallies: list[Tally], seconds: float) -> Table:
    """One row for each end-point, and the sum."""
    result = Table(title=f"{seconds:.1f} s")
    for heading in ("end-point", "packets/s", "packets", "flows", "lost"):
        result.add_column(heading, justify="right")
    endpoints = cap.statistics().endpoints
    rows = [(t.packets, t.flows_seen, e.lost) for t, e in zip(tallies, endpoints, strict=True)]
    total = tuple(map(sum, zip(*rows, strict=True)))
    for name, (packets, flows, lost) in zip([*map(str, range(len(rows))), "all"], [*rows, total], strict=True):
        result.add_row(name, f"{packets / seconds:,.0f}", f"{packets:,}", str(flows), str(lost))
    return result


def run_offline(console: Console, traffic: Traffic, program: Program, endpoints: int) -> list[Check]:
    """The same program over the capture file, by the interpreter."""
    steering = SteeringTable.of([Member(number) for number in range(endpoints)], DEFAULT_CLASSES)
    counts = [np.zeros(traffic.flow_count, np.int64) for _ in range(endpoints)]
    dropped = 0
    for frame, flow in zip(traffic.frames, traffic.flows, strict=True):
        chosen = steering.select(decide(program, frame))
        dropped += not chosen
        for number in chosen:
            counts[number][flow] += 1
    for number, flows in enumerate(counts):
        console.print(f"end-point {number}: {int(flows.sum()):,} packets, {int((flows > 0).sum())} flows")
    return offline_checks(counts, dropped, traffic)
