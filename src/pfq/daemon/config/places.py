"""Where packets of groups come from and go to: `input` and `output` of a configuration."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from pfq.daemon.config.positions import Path
from pfq.daemon.config.values import Faults, Section, shown
from pfq.engine.bindings import MAX_QUEUE
from pfq.engine.hooks import BINDINGS, DIRECTIONS, HOOK_CHOICES, Binding, Direction, HookChoice
from pfq.engine.steering import MAX_WEIGHT
from pfq.lang.action import CONTROL_CLASS, DEFAULT_CLASSES
from pfq.source import did_you_mean

CLASSES: Final = {"default": 0, "user_plane": 1, "control_plane": 2, "control": CONTROL_CLASS}
LONGEST_NAME: Final = 15
"""Bytes in the name of a network device."""

_NAME: Final = re.compile(r"[^\s/:]+")
_QUEUE: Final = re.compile(r"(.+)\.([0-9]{1,5})")


@dataclass(frozen=True, slots=True)
class Place:
    """A device, or one of its queues.

    short  it was written as one word: then `eth3.1` is the device of that name when there is one, and otherwise
           queue 1 of `eth3`
    """

    device: str
    queue: int | None = None
    short: bool = False

    def found(self, devices: Collection[str]) -> tuple[str, int | None] | None:
        """The device and its queue, when it is one of these devices."""
        if self.device in devices:
            return self.device, self.queue
        if self.short and (parts := _QUEUE.fullmatch(self.device)) and parts[1] in devices:
            return parts[1], int(parts[2])
        return None

    def __str__(self) -> str:
        return self.device if self.queue is None else f"{self.device}, queue {self.queue}"


@dataclass(frozen=True, slots=True)
class Input:
    """Where packets of a group come from; the fields are those of `Group.bind`."""

    place: Place
    direction: Direction = "in"
    binding: Binding = "tap"
    hook: HookChoice = "auto"
    promiscuous: bool = False


@dataclass(frozen=True, slots=True)
class Output:
    """An end-point whose packets go out of a device.

    classes  mask of the classes it is in
    weight   its share, 1 to 8
    """

    place: Place
    classes: int = DEFAULT_CLASSES
    weight: int = 1


def read_inputs(section: Section) -> list[Input]:
    """The elements of `input`."""
    found: dict[tuple[str, int | None], Input] = {}
    for way, at in _places(section, "input"):
        if isinstance(at, Section):
            place = _place(at)
            made = Input(
                place,
                at.choice("direction", DIRECTIONS, "in"),
                at.choice("binding", BINDINGS, "tap"),
                at.choice("hook", HOOK_CHOICES, "auto"),
                at.flag("promiscuous"),
            )
            at.end()
            if place.queue is not None and made.direction != "in":
                at.fault("direction", "outgoing packets have no receive queue", "leave out `queue`, or take `in`")
        else:
            place, made = at, Input(at)
        key = (place.device, place.queue)
        if key in found:
            section.faults.add(f"`{place}` is an input of the group twice", way, "take one of them out")
        found[key] = made
    return list(found.values())


def read_outputs(section: Section) -> list[Output]:
    """The elements of `output`."""
    found = []
    for _, at in _places(section, "output"):
        if isinstance(at, Section):
            place = _place(at)
            found.append(Output(place, _classes(at), at.integer("weight", 1, MAX_WEIGHT, 1)))
            at.end()
        else:
            found.append(Output(at))
    return found


def _places(section: Section, key: str) -> list[tuple[Path, Place | Section]]:
    """The elements of `input` or `output`: places that are written as one word, and tables."""
    found: list[tuple[Path, Place | Section]] = []
    for number, value in enumerate(section.items(key)):
        way = (*section.at(key), number)
        match value:
            case str():
                _check_name(section.faults, value, way, short=True)
                found.append((way, Place(value, short=True)))
            case dict():
                found.append((way, Section(section.faults, value, way, f"an {key}")))
            case _:
                hint = 'write the name of a device, or a table: { device = "eth0", queue = 1 }'
                section.faults.add(f"an {key} is a device, not {shown(value)}", way, hint)
    return found


def _place(at: Section) -> Place:
    name = at.required_text("device")
    if name is not None:
        _check_name(at.faults, name, at.at("device"), short=False)
    return Place(name or "", at.integer("queue", 0, MAX_QUEUE, None))


def _check_name(faults: Faults, name: str, way: Path, short: bool) -> None:
    parts = _QUEUE.fullmatch(name) if short else None
    device = parts[1] if parts else name
    if not _NAME.fullmatch(device) or len(device.encode()) > LONGEST_NAME:
        faults.add(
            f"{shown(name)} cannot be the name of a network device",
            way,
            f"names have 1 to {LONGEST_NAME} bytes, without blanks, `/` and `:`",
        )


def _classes(at: Section) -> int:
    """The mask of one class or several, each a number or a name."""
    value = at.raw("class", "default")
    mask = 0
    for each in value if isinstance(value, list) and value else [value]:
        number = CLASSES.get(each) if isinstance(each, str) else each
        if type(number) is not int or not 0 <= number <= CONTROL_CLASS:
            near = did_you_mean(each, CLASSES) if isinstance(each, str) else None
            known = f"classes are 0 to {CONTROL_CLASS}, or " + ", ".join(CLASSES)
            at.fault("class", f"there is no class {shown(each)}", near or known)
            return DEFAULT_CLASSES
        mask |= 1 << number
    return mask
