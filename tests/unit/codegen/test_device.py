"""The program of a device: what is in its object, the same on every run."""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest
from elftools.elf.elffile import ELFFile

from pfq.codegen import layouts
from pfq.codegen.device import Device, DeviceCode, Group, SteeringSet, compile_device
from pfq.codegen.finish import Clock
from pfq.codegen.memory import RingShape
from pfq.codegen.spec import MMAPABLE, Hook, MapSpec, MapType
from pfq.lang.action import ANY_CLASSES, DEFAULT_CLASSES
from pfq.lang.compile import compile_text

RINGS = RingShape(slots=64, slot_bytes=128, snaplen=96)
CPUS = 6


def compiled(
    *texts: str, hook: Hook = Hook.XDP, clock: Clock = Clock.NS, inline: bool = False, trial: bool = False
) -> DeviceCode:
    groups = tuple(Group(number, compile_text(text, "edge.pfq")) for number, text in enumerate(texts))
    return compile_device(Device(hook, groups, CPUS, RINGS, clock, inline, trial))


def elf(code: DeviceCode) -> Any:
    return ELFFile(io.BytesIO(code.object.elf))


def test_the_same_program_gives_the_same_bytes() -> None:
    first, second = (compiled("ip >-> steer_flow", "par udp tcp >-> broadcast") for _ in range(2))
    assert first.object == second.object


@pytest.mark.slow
@pytest.mark.parametrize("seed", ["1", "2"])
def test_another_interpreter_gives_the_same_bytes(seed: str) -> None:
    text = "when is_tcp broadcast >-> when is_udp (classify 3) >-> par steer_flow (steer_to 1)"
    script = (
        "import hashlib\n"
        "from pfq.codegen.device import Device, Group, compile_device\n"
        "from pfq.codegen.memory import RingShape\n"
        "from pfq.codegen.spec import Hook\n"
        "from pfq.lang.compile import compile_text\n"
        f"group = Group(0, compile_text({text!r}))\n"
        f"code = compile_device(Device(Hook.XDP, (group,), {CPUS}, RingShape(64, 128, 96)))\n"
        "print(hashlib.sha256(code.object.elf).hexdigest())"
    )
    environment = {"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(filter(None, sys.path))}
    done = subprocess.run([sys.executable, "-c", script], env=environment, check=True, capture_output=True, text=True)
    assert done.stdout.strip() == hashlib.sha256(compiled(text).object.elf).hexdigest()


@pytest.mark.parametrize("hook", Hook)
def test_the_object_has_the_entry_and_the_delivery(hook: Hook) -> None:
    code = compiled("ip >-> steer_flow", hook=hook)
    found = elf(code)
    symbols = {
        symbol.name: found.get_section(symbol["st_shndx"]).name
        for symbol in found.get_section_by_name(".symtab").iter_symbols()
        if symbol["st_info"]["type"] == "STT_FUNC"
    }
    assert found["e_machine"] == "EM_BPF"
    assert symbols == {"pfq": hook.value, "deliver": hook.value}
    assert (code.object.entry, code.object.hook, code.object.frags) == ("pfq", hook, True)


def test_without_delivery_there_is_one_function() -> None:
    code = compiled("ip >-> steer_flow", trial=True)
    names = [symbol.name for symbol in elf(code).get_section_by_name(".symtab").iter_symbols() if symbol.name]
    assert "deliver" not in names
    assert "pfq" in names


def test_the_maps() -> None:
    def value(name: str, size: int) -> MapSpec:
        return MapSpec(name, MapType.ARRAY, 4, size, 1, flags=MMAPABLE, direct=True)

    def part(name: str, size: int) -> MapSpec:
        return replace(value(name, size), pooled=True)

    ring = MapSpec("ring", MapType.ARRAY, 4, 128, 65, flags=MMAPABLE)
    consumer = MapSpec("consumer", MapType.ARRAY, 4, 128, CPUS, flags=MMAPABLE)
    doorbell = MapSpec("doorbell", MapType.RINGBUF, 0, 0, 4096)
    rows = 8  # 6 CPUs, rounded up
    assert compiled("ip >-> steer_flow", "udp").object.maps == (
        value("scratch", rows * layouts.scratch_bytes(2)),
        value("counters", rows * 64 * layouts.GROUP_COUNTER_BYTES),
        value("engine", layouts.ENGINE_BYTES),
        value("config", layouts.config_bytes(2)),
        MapSpec("rings128x64", MapType.ARRAY_OF_MAPS, 4, 4, 64 * CPUS, inner=ring),
        MapSpec("consumers", MapType.ARRAY_OF_MAPS, 4, 4, 64, inner=consumer),
        MapSpec("doorbells", MapType.ARRAY_OF_MAPS, 4, 4, 64, inner=doorbell),
        part("steering0", layouts.STEERING_BYTES),
        part("robin0", rows * 64),
        part("steering1", layouts.STEERING_BYTES),
        part("robin1", rows * 64),
    )


def test_references_to_maps_are_relocations_against_known_names() -> None:
    code = compiled("steer_rrobin")
    found = elf(code)
    names = {spec.name for spec in code.object.maps}
    symbols = found.get_section_by_name(".symtab")
    section = found.get_section_by_name(".relxdp")
    referred = {symbols.get_symbol(entry["r_info_sym"]).name for entry in section.iter_relocations()}
    assert referred - {"", "deliver"} == names - {"config"}
    with_devices = compiled('link ["lo"]', hook=Hook.TC_INGRESS)
    assert b"config\0" in elf(with_devices).get_section_by_name(".strtab").data()


def test_a_steering_table_for_each_group_and_set_of_classes() -> None:
    assert compiled("ip", "when is_tcp broadcast >-> when is_udp (classify 3) >-> steer_flow").sets == (
        SteeringSet(0, DEFAULT_CLASSES),
        SteeringSet(1, DEFAULT_CLASSES),
        SteeringSet(1, 1 << 3),
        SteeringSet(1, ANY_CLASSES),
    )


def test_places_are_those_of_the_calls() -> None:
    text = "ip >->\n when (is_tcp .&&. has_port 80) (mark 1)"
    places = compiled(text, "udp").object.places
    begins = {place.source.text[place.start :].split()[0].strip("()") for place in places}
    assert begins == {"ip", "when", "is_tcp", "has_port", "mark", "udp"}
    assert len(places) == len(set(places))
    assert [str(place) for place in places[:2]] == ["edge.pfq:1:1", "edge.pfq:2:2"]


def test_a_program_without_headers_reads_none() -> None:
    """Its code is far shorter: no look at the frame before the delivery."""

    def size(text: str) -> int:
        return int(elf(compiled(text, trial=True)).get_section_by_name("xdp")["sh_size"])

    assert size("unit") * 3 < size("ip >-> steer_flow")


@pytest.mark.parametrize(
    ("clock", "helper"), [(Clock.NS, 208), (Clock.COARSE, 160), (Clock.NONE, None)], ids=lambda value: str(value)
)
def test_the_clock_is_one_call(clock: Clock, helper: int | None) -> None:
    assembly = compiled("unit", clock=clock).assembly()
    found = [number for number in (5, 160, 208) if f"call {number}\n" in assembly]
    assert found == ([] if helper is None else [helper])
    if helper:
        assert assembly.count(f"call {helper}\n") == 1


def test_inline_drops_what_no_program_passes_up() -> None:
    """XDP_PASS is 2 and XDP_DROP is 1."""
    assert "ret i32 2" in compiled("ip").ir
    nothing = compiled("ip", inline=True).ir
    assert "ret i32 1" in nothing
    assert "ret i32 2" not in nothing
    inline = compiled("kernel_if is_icmp", inline=True).ir
    assert "ret i32 2" not in inline
    assert "i32 1, i32 2" in inline or "i32 2, i32 1" in inline
