"""`pfq capture`: the packets of a device on the terminal or in a file, with tcpdump's options."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import click

from pfq.cli.filters import read_filter
from pfq.cli.joining import check_joining, joined, joining_options
from pfq.cli.printing.options import Shown, printing_options
from pfq.cli.rotating import check_rotation, rotation_options
from pfq.cli.vlans import vlan_option
from pfq.errors import UsageError

if TYPE_CHECKING:
    from pfq.engine.capture import ClockName
    from pfq.engine.hooks import Direction, HookChoice
    from pfq.lang.program import Program

LONGEST_SNAPLEN = 65_535


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(Shown):
    """The command line, as it was given; the names are those of the options below and of those shared."""

    device: str | None
    list_devices: bool
    program: str | None
    file: str | None
    endpoints: int
    count: int | None
    duration: float | None
    snaplen: int
    buffer_kib: int | None
    output: str | None
    packet_buffered: bool
    pcap: bool
    file_size: int | None
    file_seconds: int | None
    file_count: int | None
    modest: bool
    direction: Direction
    clock: ClockName
    inline: bool
    hook: HookChoice
    vlans: frozenset[int] | None
    group: int | None
    class_numbers: tuple[int, ...]
    weight: int | None
    socket: str | None
    expression: tuple[str, ...]

    def program_text(self) -> str:
        """The program as it was given, for the JSON records."""
        return self.program or self.file or "unit"


def finite(context: click.Context, parameter: click.Parameter, value: float | None) -> float | None:
    """Refuses `nan` and `inf`, which are floating-point numbers too."""
    if value is not None and not math.isfinite(value):
        raise click.BadParameter(f"{value} is not a number of seconds", context, parameter)
    return value


# fmt: off
@click.command()
@click.option("-i", "--interface", "device", metavar="DEV", help="Device to capture from.")
@click.option("-D", "--list-interfaces", "list_devices", is_flag=True, help="List the devices and exit.")
@click.option("-P", "--program", "program", metavar="PROGRAM", help="Program that selects and steers the packets.")
@click.option("-F", "--file", "file", metavar="FILE.pfq", help="The same from a file.")
@click.option("-E", "--endpoints", "endpoints", type=int, default=1, metavar="N", show_default=True,
              help="End-points the program steers to; each line says which one.")
@click.option("-c", "--count", "count", type=click.IntRange(1), metavar="N", help="Stop after N packets.")
@click.option("--duration", type=click.FloatRange(0, min_open=True), callback=finite, metavar="S",
              help="Stop after S seconds.")
@click.option("-s", "--snapshot-length", "snaplen", type=click.IntRange(0), default=0, metavar="BYTES",
              help="Keep so many bytes of a frame, at most 65535; 0: as many as the MTU needs.")
@click.option("-B", "--buffer-size", "buffer_kib", type=click.IntRange(1), metavar="KIB",
              help="Memory of a ring; there is one for each end-point and CPU.")
@click.option("-w", "output", metavar="FILE", help="Write a capture file; `-` is standard output.")
@click.option("-U", "--packet-buffered", is_flag=True, help="With -w: write packets as they come (always so here).")
@rotation_options
@printing_options
@click.option("-p", "--no-promiscuous-mode", "modest", is_flag=True, help="Only frames for this machine.")
@click.option("-Q", "--direction", "direction", type=click.Choice(("in", "out", "inout")), default="in",
              show_default=True, help="Incoming packets, outgoing, or both.")
@click.option("--clock", type=click.Choice(("ns", "coarse", "none")), default="ns", show_default=True,
              help="Time stamps: exact, of the last tick (cheaper), or none.")
@click.option("--inline", is_flag=True, help="Linux gets only the packets that the program passes up.")
@click.option("--hook", type=click.Choice(("auto", "xdp", "xdp-generic", "tcx", "clsact")), default="auto",
              show_default=True, help="Where in the kernel to attach.")
@vlan_option
@joining_options
@click.argument("expression", nargs=-1)
def command(**options: Any) -> None:
    """Print or save the packets that a program selects on a device.

    Options have the letters and meanings of tcpdump where it has them; -P, -E and the long ones are
    our own. EXPRESSION is a filter as tcpdump takes it, for the packets that the program shall see.
    Without a program every packet is captured. Ctrl-C ends and prints the counts, SIGUSR1
    prints them in between, SIGUSR2 reads the files of sets of prefixes again.

    With --group it reads a group that pfqd runs, together with its other members, and needs no
    privilege.

    \b
    pfq capture -i eth0 -c 10 tcp port 443
    pfq capture -i eth0 -P 'ip >-> tcp >-> port 443' -w https.pcapng
    pfq capture -i eth0 -P 'ip >-> steer_flow' -E 4 -nn
    pfq capture --group 7 -w mine.pcapng
    """
    settings = Settings(**options)
    if settings.list_devices:
        list_devices(settings.as_json)
        return
    program = checked(settings)
    filter = read_filter(settings.expression)
    snaplen = min(settings.snaplen, LONGEST_SNAPLEN) or None
    import pfq
    from pfq.cli.live import follow  # before packets arrive, because importing takes time

    if settings.group is not None:
        with joined(settings, snaplen, slots(settings)) as members:
            follow(members, replace(settings, program=members.program))
        return
    assert settings.device is not None
    with pfq.capture(
        settings.device,
        program,
        filter=filter,
        vlans=settings.vlans,
        endpoints=settings.endpoints,
        snaplen=snaplen,
        slots=slots(settings),
        clock=settings.clock,
        binding="inline" if settings.inline else "tap",
        direction=settings.direction,
        hook=settings.hook,
        promiscuous=not settings.modest,
    ) as capture:
        follow(capture, settings)


# fmt: on


def checked(settings: Settings) -> Program | None:
    """The program, compiled, when the command line makes sense."""
    check_joining(settings)
    if settings.device is None and settings.group is None:
        raise UsageError("which device?", hint="give it with -i; `pfq capture -D` lists the devices")
    check_rotation(settings)
    if settings.program is None and settings.file is None:
        return None
    from pfq.cli.program import read_program

    return read_program(settings.file, settings.program)


def slots(settings: Settings) -> int | None:
    """Slots of a ring of the size asked for with -B; None leaves the choice to the engine."""
    if settings.buffer_kib is None:
        return None
    from pfq.engine.shapes import MAX_SLOTS, USUAL_MTU, shape_for
    from pfq.kernel.devices import device

    mtu = USUAL_MTU if settings.device is None else device(settings.device).mtu
    shape = shape_for(mtu, min(settings.snaplen, LONGEST_SNAPLEN) or None, None)
    wanted = max(1, settings.buffer_kib * 1024 // shape.slot_bytes)
    if wanted > MAX_SLOTS:
        most = MAX_SLOTS * shape.slot_bytes // 1024
        raise UsageError(f"a buffer of {settings.buffer_kib} KiB is too large", hint=f"-B takes at most {most} here")
    return int(1 << (wanted.bit_length() - 1))


def list_devices(as_json: bool) -> None:
    """Numbers, names and states, as tcpdump lists them."""
    from pfq.kernel.devices import ARPHRD_LOOPBACK, devices

    found = [
        (
            device.name,
            [
                state
                for state, holds in (
                    ("Up", device.up),
                    ("Running", device.running),
                    ("Loopback", device.link_type == ARPHRD_LOOPBACK),
                )
                if holds
            ],
        )
        for device in devices()
    ]
    if as_json:
        print(json.dumps([{"name": name, "states": states} for name, states in found]))
    for number, (name, states) in enumerate(found if not as_json else (), 1):
        print(f"{number}.{name}" + (f" [{', '.join(states)}]" if states else ""))
