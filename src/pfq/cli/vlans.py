"""The option `--vlan`: VLAN filters as they are written on the command line."""

from __future__ import annotations

import click

from pfq.errors import UsageError


def vlan_ids(text: str) -> frozenset[int]:
    """Numbers, ranges and words with commas between, as `0,10,100-199`; raises UsageError for anything else."""
    from pfq.lang.group import ANY_VLAN, LAST_VLAN, UNTAGGED  # late: options are there before anything is asked for

    words = {"untagged": UNTAGGED, "any": ANY_VLAN}
    found: set[int] = set()
    for word in map(str.strip, text.split(",")):
        if word in words:
            found.add(words[word])
            continue
        first, dash, last = word.partition("-")
        last = last if dash else first
        if not (first.isdecimal() and last.isdecimal()):
            hint = "numbers, ranges, `any` and `untagged`, with commas between: --vlan 0,10,100-199"
            raise UsageError(f"`{word}` is no VLAN", hint=hint)
        low, high = int(first), int(last)
        if not low <= high <= LAST_VLAN:
            raise UsageError(
                f"`{word}` are no VLANs", hint=f"they have ids up to {LAST_VLAN}, in a range the smaller first"
            )
        found.update(range(low, high + 1))
    return frozenset(found)


def _convert(context: click.Context, parameter: click.Parameter, value: str | None) -> frozenset[int] | None:
    return None if value is None else vlan_ids(value)


vlan_option = click.option(
    "--vlan",
    "vlans",
    callback=_convert,
    metavar="IDS",
    help="Only packets with one of these VLAN tags: numbers, ranges, `any`, and 0 or `untagged` for no tag.",
)
