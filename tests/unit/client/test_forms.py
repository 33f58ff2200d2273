"""Plain data to the daemon and from it."""

from __future__ import annotations

from typing import Any

import pytest
from support.fakepfqd import FakeDaemon

from pfq.client import forms
from pfq.client.engine import RemoteEngine
from pfq.engine.events import ProgramEvent
from pfq.errors import UsageError
from pfq.lang.action import Action, EventKind, Fanout
from pfq.lang.prefixset import PrefixSet

RECORD: dict[str, Any] = {
    "kind": "trace",
    "text": "",
    "ts_ns": 1_700_000_000_000_000_001,
    "len": 60,
    "data": "0102ff",
    "ifindex": 3,
    "group": 7,
    "action": {
        "fanout": "steer",
        "classes": 1,
        "hash": 5,
        "hash2": 0,
        "kernel": True,
        "mark": 8,
        "state": 9,
    },
}
EVENT = ProgramEvent(
    EventKind.TRACE,
    "",
    1_700_000_000_000_000_001,
    60,
    b"\x01\x02\xff",
    3,
    Action(Fanout.STEER, 1, 5, 0, True, 8, 9),
    7,
)


@pytest.mark.parametrize(
    "prefixes",
    [
        ["10.0.0.0/8"],
        ["0.0.0.0/0", "::/0"],
        ["10.0.0.1", "10.0.0.2", "255.255.255.255", "2001:db8::/32", "ffff::/16"],
    ],
)
def test_sets_of_prefixes_go_as_text_and_mean_the_same(prefixes: list[str]) -> None:
    made = PrefixSet.of(prefixes, "some.txt")
    assert PrefixSet.of(forms.prefixes(made)).same_addresses(made)
    assert PrefixSet.of(forms.prefixes(iter(prefixes))).same_addresses(made)


@pytest.mark.parametrize("wrong", ["10.0.0.0/8", 8])
def test_a_set_is_a_list(wrong: Any) -> None:
    with pytest.raises(UsageError, match="a set is a list of prefixes"):
        forms.prefixes(wrong)


def test_events_come_as_those_of_an_engine(daemon: FakeDaemon, engine: RemoteEngine) -> None:
    daemon.answers["events"] = lambda request: {"events": [RECORD], "missed": 4}
    assert forms.event(RECORD) == EVENT
    assert engine.events() == [EVENT]
    assert engine.events_missed() == 4
    daemon.answers["events"] = lambda request: {"events": [], "missed": 4}
    assert engine.events() == [EVENT], "asking what was missed loses none"
    assert engine.events() == []


def test_an_empty_set_is_empty() -> None:
    assert forms.prefixes([]) == []
