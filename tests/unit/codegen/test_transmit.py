"""Egress end-points in the program of a device: the code is there when it is asked for, and costs nothing otherwise."""

from __future__ import annotations

import io

from elftools.elf.elffile import ELFFile

from pfq.codegen import layouts
from pfq.codegen.device import Device, DeviceCode, Group, compile_device
from pfq.codegen.memory import EGRESS, RingShape
from pfq.codegen.spec import Hook
from pfq.lang.compile import compile_text

RINGS = RingShape(slots=64, slot_bytes=128, snaplen=96)
CLONE_REDIRECT = "call 13\n"


def compiled(*shapes: RingShape) -> DeviceCode:
    return compile_device(Device(Hook.TC_INGRESS, (Group(0, compile_text("ip >-> steer_flow")),), 6, shapes))


def functions(code: DeviceCode) -> dict[str, int]:
    """Sizes by name."""
    symbols = ELFFile(io.BytesIO(code.object.elf)).get_section_by_name(".symtab")
    return {each.name: each["st_size"] for each in symbols.iter_symbols() if each["st_info"]["type"] == "STT_FUNC"}


def test_nothing_is_sent_without_egress_end_points() -> None:
    assert CLONE_REDIRECT not in compiled(RINGS).assembly()
    assert CLONE_REDIRECT not in compiled(RINGS, RingShape(2, 128, 96)).assembly()


def test_the_delivery_into_rings_is_the_same() -> None:
    """The choice between the two is what is added to the program itself."""
    without, both = functions(compiled(RINGS)), functions(compiled(RINGS, EGRESS))
    assert both["deliver"] == without["deliver"]
    assert both["deliver1"] < without["deliver"] / 2
    assert both["pfq"] - without["pfq"] < 30 * 8


def test_sending_is_one_call() -> None:
    code = compiled(RINGS, EGRESS)
    assert code.assembly().count(CLONE_REDIRECT) == 1
    assert functions(compiled(EGRESS)).keys() == {"pfq", "deliver"}


def test_its_rings_are_none_of_a_reader() -> None:
    """Those have two slots at least."""
    code = compiled(RingShape(2, 128, 96), EGRESS)
    rings = [spec for spec in code.object.maps if spec.name.startswith(layouts.RINGS_MAP)]
    assert [spec.name for spec in rings] == ["rings128x2", "rings128x1"]
    assert rings[1].inner is not None
    assert (rings[1].inner.entries, rings[1].inner.value_bytes) == (2, 128)
    assert EGRESS.number not in {RingShape(2, size, 1).number for size in (128, 256)}
