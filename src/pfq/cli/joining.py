"""`pfq capture --group`: the options with which it joins a group of pfqd."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from pfq.cli.connecting import connected, socket_option
from pfq.errors import UsageError

if TYPE_CHECKING:
    from pfq.cli.capture import Settings
    from pfq.client.capture import GroupCapture

# fmt: off
_OPTIONS = (
    click.option("--group", type=click.IntRange(0), metavar="N",
                 help="Join this group of pfqd, which has a program already. Needs no privilege."),
    click.option("--class", "class_numbers", type=click.IntRange(0, 63), multiple=True, metavar="N",
                 help="With --group: the class to be in, 0 otherwise; can be repeated."),
    click.option("--weight", type=click.IntRange(1, 8), metavar="N",
                 help="With --group: the share of what is steered, 1 to 8."),
    socket_option,
)
# fmt: on


def joining_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds them to a command, in the order in which they stand here."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def check_joining(settings: Settings) -> None:
    """Raises UsageError for options that make no sense with --group, or without it."""
    of_groups = {
        "-i": settings.device,
        "-P": settings.program,
        "-F": settings.file,
        "-p": settings.modest,
        "-Q": settings.direction != "in",
        "--inline": settings.inline,
        "--hook": settings.hook != "auto",
        "--vlan": settings.vlans is not None,
        "a filter": settings.expression,
    }
    of_members = {
        "--class": settings.class_numbers,
        "--weight": settings.weight is not None,
        "--socket": settings.socket is not None,
    }
    if settings.group is None:
        for name in (name for name, given in of_members.items() if given):
            raise UsageError(f"{name} is for end-points of pfqd", hint="say which group they join: --group N")
    else:
        for name in (name for name, given in of_groups.items() if given):
            raise UsageError(
                f"{name} makes no sense with --group: the group has its devices, program and filters already",
                hint="`pfq groups` shows them; the configuration of pfqd sets them",
            )


def joined(settings: Settings, snaplen: int | None, slots: int | None) -> GroupCapture:
    """The group, joined by as many end-points as the command line says."""
    from pfq.client.capture import GroupCapture

    assert settings.group is not None
    engine = connected(settings.socket)
    try:
        return GroupCapture(
            engine,
            settings.group,
            endpoints=settings.endpoints,
            classes=sum(1 << number for number in set(settings.class_numbers)) or 1,
            weight=settings.weight or 1,
            snaplen=snaplen,
            slots=slots,
            clock=settings.clock,
        )
    except BaseException:
        engine.close()
        raise
