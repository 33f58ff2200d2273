"""What calls of groups say to the daemon."""

from __future__ import annotations

from typing import Any

import pytest
from support.fakepfqd import CHANGE, FakeDaemon

from pfq.client.engine import RemoteEngine
from pfq.engine.statistics import Change
from pfq.errors import LiteralError, ProgramErrors, RingClosedError, TypeMismatchError, UnknownNameError, UsageError
from pfq.lang import compile_text, from_json, ip, steer_flow
from pfq.lang.berkeley import BerkeleyFilter


def said(daemon: FakeDaemon) -> dict[str, Any]:
    """The last request, without its number."""
    return {name: value for name, value in daemon.asked[-1].items() if name != "id"}


def test_a_group_has_the_number_that_the_daemon_gives(daemon: FakeDaemon, engine: RemoteEngine) -> None:
    assert engine.group(7, "private").number == 7
    assert said(daemon) == {"call": "group.open", "group": 7, "policy": "private"}
    assert engine.group().number == 0
    assert said(daemon) == {"call": "group.open", "group": None, "policy": "shared"}


def test_bindings(daemon: FakeDaemon, engine: RemoteEngine) -> None:
    group = engine.group(7)
    assert group.bind("eth0", 3, promiscuous=True) == Change(
        ("eth0",), *(CHANGE[n] for n in ("compile", "load", "swap"))
    )
    assert said(daemon) == {
        "call": "group.bind",
        "group": 7,
        "device": "eth0",
        "queue": 3,
        "direction": "in",
        "binding": "tap",
        "hook": "auto",
        "promiscuous": True,
    }
    group.unbind("eth0")
    assert said(daemon) == {"call": "group.unbind", "group": 7, "device": "eth0", "queue": None}


def test_programs_go_as_they_are_written(daemon: FakeDaemon, engine: RemoteEngine) -> None:
    group = engine.group(7)
    group.set_program("ip >-> tcp")
    assert said(daemon) == {"call": "group.set_program", "group": 7, "text": "ip >-> tcp"}
    group.set_program(None)
    assert said(daemon) == {"call": "group.set_program", "group": 7}
    for program in (ip >> steer_flow, compile_text("ip >-> steer_flow")):
        group.set_program(program)
        assert from_json(said(daemon)["json"]) == compile_text("ip >-> steer_flow")
    with pytest.raises(TypeMismatchError):
        group.set_program(3)


def test_errors_of_programs_come_with_their_places(daemon: FakeDaemon, engine: RemoteEngine) -> None:
    def refuse(request: dict[str, Any]) -> dict[str, Any]:
        compile_text(request["text"])
        return CHANGE

    daemon.answers["group.set_program"] = refuse
    for text, kind in (("ip >-> steer_flwo", UnknownNameError), ("ipp >-> steer_flwo", ProgramErrors)):
        with pytest.raises(kind) as here:
            compile_text(text)
        with pytest.raises(kind) as there:
            engine.group(7).set_program(text)
        assert str(there.value) == str(here.value)


def test_filters(daemon: FakeDaemon, engine: RemoteEngine) -> None:
    group = engine.group(7)
    group.set_filter("tcp port 80")
    assert said(daemon) == {"call": "group.set_filter", "group": 7, "expression": "tcp port 80"}
    group.set_filter(None)
    assert said(daemon) == {"call": "group.set_filter", "group": 7}
    for given in ([(6, 0, 0, 96)], BerkeleyFilter.of([(6, 0, 0, 96)])):
        group.set_filter(given)
        assert said(daemon) == {"call": "group.set_filter", "group": 7, "instructions": [[6, 0, 0, 96]]}
    for wrong in ([(6, 0, 0)], 80):
        with pytest.raises((UsageError, LiteralError)):
            group.set_filter(wrong)  # type: ignore[arg-type]


def test_vlans(daemon: FakeDaemon, engine: RemoteEngine) -> None:
    group = engine.group(7)
    for given, sent in (((0, 10), [0, 10]), ([], []), (None, None)):
        group.set_vlans(given)
        assert said(daemon) == {"call": "group.set_vlans", "group": 7, "vlans": sent}
    with pytest.raises(UsageError):
        group.set_vlans([5000])


def test_sets(daemon: FakeDaemon, engine: RemoteEngine) -> None:
    group = engine.group(7)
    group.replace_set("blocked.txt", ["10.0.0.0/8"])
    assert said(daemon) == {
        "call": "group.replace_set",
        "group": 7,
        "name": "blocked.txt",
        "prefixes": ["10.0.0.0/8"],
    }
    assert group.reload_sets() == ["blocked.txt"]


def test_members(daemon: FakeDaemon, engine: RemoteEngine) -> None:
    group, endpoint = engine.group(7), engine.endpoint()
    group.join(endpoint)
    assert said(daemon) == {"call": "group.join", "group": 7, "endpoint": 0, "classes": 1}
    group.join(endpoint, classes=6, policy="restricted")
    assert said(daemon) == {"call": "group.join", "group": 7, "endpoint": 0, "classes": 6, "policy": "restricted"}
    group.leave(endpoint)
    assert said(daemon) == {"call": "group.leave", "group": 7, "endpoint": 0}


def test_statistics(daemon: FakeDaemon, engine: RemoteEngine) -> None:
    group = engine.group(7)
    found = group.statistics()
    assert (found.arrived, found.filtered, found.counters) == (3, 0, tuple(range(64)))
    assert group.counters() == found.counters
    assert engine.statistics(9) == found
    assert said(daemon) == {"call": "group.statistics", "group": 9}


def test_a_closed_group_is_closed(daemon: FakeDaemon, engine: RemoteEngine) -> None:
    with engine.group(7) as group:
        pass
    assert said(daemon) == {"call": "group.close", "group": 7}
    group.close()
    with pytest.raises(RingClosedError):
        group.statistics()
    assert daemon.calls().count("group.close") == 1
