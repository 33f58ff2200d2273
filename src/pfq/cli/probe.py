"""`pfq probe`: can this machine do it, and what helps when it cannot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from pfq.cli.output import json_option, print_json, print_table

if TYPE_CHECKING:
    from pfq.kernel.devices import Device
    from pfq.kernel.xdp_support import XdpSupport


@click.command()
@json_option
def command(as_json: bool) -> None:
    """Show what this kernel and these devices can do, what is missing, and the remedy."""
    from pfq.kernel.features import release
    from pfq.kernel.privilege import missing_privilege

    lacking = missing_privilege()
    found: dict[str, Any] = {
        "kernel": release(),
        "privilege": lacking or "sufficient",
        "features": feature_records(),
        "devices": device_records(),
    }
    if as_json:
        print_json(found)
        return
    print(f"kernel {found['kernel']}; {lacking or 'this process may use eBPF'}")
    if lacking:
        print(
            "  what only the privileged may ask for is shown as not known; `pfq probe` as root gives the whole answer"
        )
    print()
    print_table(
        "Features of the kernel", FEATURE_COLUMNS, [feature_row(feature, not lacking) for feature in found["features"]]
    )
    print()
    print_table("Devices", DEVICE_COLUMNS, [device_row(device) for device in found["devices"]])


FEATURE_COLUMNS = ("feature", "since", "here", "needed for", "remedy")
DEVICE_COLUMNS = ("device", "driver", "MTU", "queues", "state", "native XDP", "XDP now", "a capture attaches at")


def feature_records() -> list[dict[str, Any]]:
    from pfq.kernel.features import features

    return [
        {
            "name": feature.name,
            "since": "{}.{}".format(*feature.since),
            "missing": why,
            "needed_for": feature.needed,
            "remedy": feature.remedy,
        }
        for feature, why in features()
    ]


def feature_row(record: dict[str, Any], sure: bool) -> tuple[str, ...]:
    """sure: the probes had the privilege they need, so that a failure means something."""
    missing = record["missing"]
    here = "yes" if not missing else f"no: {missing}" if sure else "not known"
    return record["name"], record["since"], here, record["needed_for"], record["remedy"] if missing and sure else ""


def device_records() -> list[dict[str, Any]]:
    from pfq.kernel.devices import devices
    from pfq.kernel.xdp_support import xdp_support

    told = xdp_support()
    return [device_record(device, None if told is None else told.get(device.index)) for device in devices()]


def device_record(device: Device, support: XdpSupport | None) -> dict[str, Any]:
    """support: what the driver does natively; None when the kernel does not tell."""
    from pfq.engine.hooks import XDP_NATIVE, incoming_ways
    from pfq.kernel.devices import driver, rx_queues

    impossible = {XDP_NATIVE} if support is not None and not support else set()
    ways = [str(way) for way in incoming_ways(device, "auto", "tap") if way not in impossible]
    return {
        "name": device.name,
        "driver": driver(device.name) or device.kind,
        "mtu": device.mtu,
        "queues": rx_queues(device),
        "up": device.up,
        "running": device.running,
        "xdp_program": {"id": device.xdp.id, "mode": device.xdp.mode.value} if device.xdp else None,
        "native_xdp": None if support is None else [bit.name.lower() for bit in support if bit.name],
        "attach": ways,
    }


def device_row(record: dict[str, Any]) -> tuple[str, ...]:
    state = "running" if record["running"] else "up" if record["up"] else "down"
    program = record["xdp_program"]
    xdp = f"program {program['id']} ({program['mode']})" if program else "free"
    ways = ", else ".join(record["attach"])
    return (
        record["name"], record["driver"], str(record["mtu"]), str(record["queues"]), state, native(record), xdp, ways
    )  # fmt: skip


def native(record: dict[str, Any]) -> str:
    """What the driver does for XDP, the parts that matter here."""
    can = record["native_xdp"]
    if can is None:
        return "not known"
    extras = {"frags": "large frames", "zero_copy": "zero copy"}
    return ", ".join(["yes", *(text for name, text in extras.items() if name in can)]) if can else "no"
