"""What goes to the daemon and comes from it, as plain data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from ipaddress import IPv4Address, IPv6Address, summarize_address_range
from typing import Any

from pfq.engine.egress import Egress
from pfq.engine.events import ProgramEvent
from pfq.engine.statistics import Change, GroupStatistics
from pfq.errors import UsageError
from pfq.lang import to_json, to_program
from pfq.lang.action import Action, EventKind, Fanout
from pfq.lang.berkeley import BerkeleyFilter
from pfq.lang.group import vlan_filter
from pfq.lang.prefixset import PrefixSet


def program(wanted: Any) -> dict[str, str]:
    """The arguments that say which program: text as it is, so that the daemon's errors have places in it."""
    if wanted is None:
        return {}
    return {"text": wanted} if isinstance(wanted, str) else {"json": to_json(to_program(wanted))}


def filter(wanted: str | Sequence[Sequence[int]] | BerkeleyFilter | None) -> dict[str, Any]:
    """Those that say which filter; what is no filter raises as it does in an engine."""
    if wanted is None:
        return {}
    if isinstance(wanted, str):
        return {"expression": wanted}
    return {"instructions": [list(map(int, each)) for each in BerkeleyFilter.of(wanted).instructions]}


def vlans(wanted: Iterable[int] | None) -> list[int] | None:
    """Ids, checked as an engine does."""
    ids = None if wanted is None else list(wanted)
    vlan_filter(ids)
    return ids


def prefixes(wanted: Iterable[str] | PrefixSet) -> list[str]:
    """Prefixes as text."""
    if isinstance(wanted, PrefixSet):
        return [str(each) for each in _networks(wanted)]
    if isinstance(wanted, str) or not isinstance(wanted, Iterable):
        raise UsageError(f"a set is a list of prefixes, not {wanted!r}", hint='for example ["10.0.0.0/8"]')
    return list(map(str, wanted))


def _networks(found: PrefixSet) -> Iterator[Any]:
    for kind, bits, boundaries in ((IPv4Address, 32, found.boundaries4), (IPv6Address, 128, found.boundaries6)):
        ends = [*boundaries, 1 << bits][: len(boundaries) + len(boundaries) % 2]
        for first, after in zip(ends[::2], ends[1::2], strict=True):
            yield from summarize_address_range(kind(first), kind(after - 1))


def egress(where: Egress | None) -> dict[str, Any] | None:
    """The device and queue that an egress end-point sends to."""
    return None if where is None else {"device": where.device, "queue": where.queue}


def change(record: Mapping[str, Any]) -> Change:
    return Change(tuple(record["devices"]), record["compile"], record["load"], record["swap"])


def group_statistics(record: Mapping[str, Any]) -> GroupStatistics:
    return GroupStatistics(**{**record, "counters": tuple(record["counters"])})


def event(record: Mapping[str, Any]) -> ProgramEvent:
    """One thing that a program told."""
    done = record["action"]
    return ProgramEvent(
        kind=EventKind[record["kind"].upper()],
        text=record["text"],
        ts_ns=record["ts_ns"],
        len=record["len"],
        data=bytes.fromhex(record["data"]),
        ifindex=record["ifindex"],
        action=Action(
            Fanout[done["fanout"].upper()],
            done["classes"],
            done["hash"],
            done["hash2"],
            done["kernel"],
            done["mark"],
            done["state"],
        ),
        group=record["group"],
    )
