"""The C library as a client of daemons that are not what they should be; no privilege, but the sanitizers."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from support.c_client import ANY, DEFAULT, SHARED, CClient
from support.fakedaemon import GREETING, SHAPE, TOKEN, Behaviour, FakeDaemon, error, result, usual

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler"),
]

Run = Callable[[Behaviour | None], tuple[CClient, FakeDaemon]]
TIMEOUT_MS = 300


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    """A client, and a daemon that behaves in some way."""
    with ExitStack() as undo:

        def begin(behave: Behaviour | None = None) -> tuple[CClient, FakeDaemon]:
            daemon = undo.enter_context(FakeDaemon(tmp_path, behave))
            return undo.enter_context(CClient(daemon.path)), daemon

        yield begin


def only(call: str, *said: Any) -> Behaviour:
    """Says something else to one call, and is as usual otherwise."""

    def behave(request: dict[str, Any]) -> list[Any] | None:
        if request["call"] != call:
            return None
        return [each(request) if callable(each) else each for each in said]

    return behave


def test_what_is_sent(run: Run) -> None:
    c, daemon = run(None)
    assert c.open("nogroup", snaplen=100, slots=64, clock=2, weight=3).code == 0
    assert c("join_group", 0, ANY, DEFAULT, SHARED).code == 0
    assert c("join_group", 0, 5, (1 << 64) - 1, 2).code == 5
    c.must("bind", 0, "eth0", ANY)
    c.must("bind_group", 0, 5, "eth1.7", 2, "inout", "inline", "tcx", 1)
    c.must("unbind", 0, "eth0", 1)
    c.must("set_group_program", 0, 5, 'mark "a\\b\x01\x7fé€\U0001f980"')
    c.must("set_group_program_json", 0, 5, "[]")
    c.must("set_group_program", 0, 5, "NULL")
    c.must("group_filter", 0, 5, "tcp")
    c.must("group_fprog", 0, 5, "0x28 0 0 12 6 1 2 4294967295")
    c.must("group_fprog_reset", 0, 5)
    c.must("vlan_filters_enable", 0, 5, 1)
    c.must("vlan_set_filter", 0, 5, -1)
    c.must("vlan_reset_filter", 0, 5, 9)
    c.must("egress_bind", 0, "eth3", ANY)
    c.must("egress_bind", 0, "eth3", 1)
    c.must("egress_unbind", 0)
    c.must("set_promisc", 0, "eth0", 1)
    c.must("close", 0)
    sent = [(request.pop("call"), request.pop("id"), request) for request in daemon.requests]
    assert [number for _, number, _ in sent] == list(range(len(sent)))
    assert [(call, rest) for call, _, rest in sent] == [
        ("hello", {"version": 1, "client": "libpfq 0.1.0"}),
        ("endpoint.open", {"enabled": False, "snaplen": 100, "slots": 64, "weight": 3, "clock": "none"}),
        ("group.join", {"endpoint": 3, "classes": 1, "policy": "shared"}),
        ("group.join", {"group": 5, "endpoint": 3, "classes": (1 << 64) - 1, "policy": "restricted"}),
        ("group.bind", {"group": 0, "device": "eth0"}),
        (
            "group.bind",
            {
                "group": 5,
                "device": "eth1.7",
                "queue": 2,
                "direction": "inout",
                "binding": "inline",
                "hook": "tcx",
                "promiscuous": True,
            },
        ),
        ("group.unbind", {"group": 0, "device": "eth0", "queue": 1}),
        ("group.set_program", {"group": 5, "text": 'mark "a\\b\x01\x7fé€\U0001f980"'}),
        ("group.set_program", {"group": 5, "json": "[]"}),
        ("group.set_program", {"group": 5}),
        ("group.set_filter", {"group": 5, "expression": "tcp"}),
        ("group.set_filter", {"group": 5, "instructions": [[40, 0, 0, 12], [6, 1, 2, 4294967295]]}),
        ("group.set_filter", {"group": 5}),
        ("group.vlan", {"group": 5, "on": True}),
        ("group.vlan", {"group": 5, "set": -1}),
        ("group.vlan", {"group": 5, "reset": 9}),
        ("endpoint.set", {"endpoint": 3, "egress": {"device": "eth3"}}),
        ("endpoint.set", {"endpoint": 3, "egress": {"device": "eth3", "queue": 1}}),
        ("endpoint.set", {"endpoint": 3, "egress": None}),
        ("promiscuous", {"device": "eth0", "on": True}),
        ("endpoint.close", {"endpoint": 3}),
    ]


def test_what_is_read(run: Run) -> None:
    c, _ = run(None)
    c.open(SHARED)
    assert c("id", 0).code == 3
    assert [c(f"get_{name}", 0).code for name in ("snaplen", "slots", "slot_size", "clock")] == [2016, 4096, 2048, 0]
    assert c("get_group_stats", 0, 0).numbers == list(range(8))
    assert c("get_group_counters", 0, 0).numbers == list(range(64))


GREETINGS = {
    "another version": (lambda r: result(r, **GREETING | {"version": 2}), errno.EPROTO),
    "refused for the version": (lambda r: error(r, code="PFQ205", message="no", errno=22), errno.EPROTO),
    "another layout": (lambda r: result(r, **GREETING | {"layout": 2}), errno.EPROTO),
    "no token": (lambda r: result(r, version=1, layout=1), errno.EPROTO),
    "a short token": (lambda r: result(r, **GREETING | {"token": "ab"}), errno.EPROTO),
    "a long token": (lambda r: result(r, **GREETING | {"token": TOKEN * 100}), errno.EPROTO),
    "the end": (None, errno.EACCES),
    "a quota": (b'{"id":null,"error":{"code":"PFQ304","message":"too many","errno":28}}', errno.ENOSPC),
    "another's answer": (b'{"id":7,"result":{}}', errno.EPROTO),
}


@pytest.mark.parametrize("name", GREETINGS)
def test_greetings(run: Run, name: str) -> None:
    said, number = GREETINGS[name]
    c, _ = run(only("hello", said))
    found = c.open("nogroup", timeout_ms=TIMEOUT_MS)
    assert found.code == -number
    assert found.text


NONSENSE = [
    b"x",
    b"{",
    b"[]",
    b"null",
    b'"id"',
    b"\xff\xfe",
    b"{}",
    b'{"id":1}',
    b'{"id":1,"result":{}',
    b'{"id":1,"result":{}}x',
    b'{"id":1,"id":1,"result":{}}',
    b'{"id":-1,"result":{}}',
    b'{"id":1.0,"result":{}}',
    b'{"id":1e0,"result":{}}',
    b'{"id":18446744073709551616,"result":{}}',
    b'{"id":"1","result":{}}',
    b'{"id":99,"result":{}}',
    b'{"id":2,"result":{},"x":' + b"[" * 40 + b"]" * 40 + b"}",
    b'{"id":2,"result":NaN}',
    b'{"id":2,"result":{"a":01}}',
    b'{"id":2,"result":{"a":"\\ud800"}}',
    b'{"id":2,"result":{"a":"\n"}}',
    b'{"id":2,"result":{"a":"\xed\xa0\x80"}}',
    b'{"event":7}',
    b'{"event":"failed"}',
    b'{"event":"failed","endpoint":-3,"error":{}}',
    b'{"id":2,"result":{},"pad":"' + b"x" * 140_000 + b'"}',
]


@pytest.mark.parametrize("said", NONSENSE, ids=[repr(each[:30]) for each in NONSENSE])
def test_nonsense_ends_the_session(run: Run, said: bytes) -> None:
    c, _ = run(only("group.vlan", said))
    c.open(SHARED, timeout_ms=TIMEOUT_MS)
    for _ in range(2):
        found = c("vlan_set_filter", 0, 0, 5)
        assert (found.code, bool(found.text)) == (-errno.EPROTO, True)


def test_shapes_that_cannot_be(run: Run) -> None:
    wrong = [
        {"slots": -1},
        {"slots": 1 << 40},
        {"slot_bytes": "2048"},
        {"clock": "sun"},
        {"weight": None},
        {"endpoint": 1e9},
    ]
    shapes = iter([SHAPE | each for each in wrong] + [{}, SHAPE])
    c, _ = run(only("endpoint.open", lambda r: result(r, **next(shapes))))
    for _ in range(len(wrong) + 1):
        assert c.open("nogroup").code == -errno.EPROTO
    assert c.open("nogroup").code == 0


def test_counters_that_cannot_be(run: Run) -> None:
    good: dict[str, Any] = json.loads(usual({"id": 0, "call": "group.statistics"}))["result"]
    wrong = [{}, good | {"unsent": -1}, good | {"arrived": 1.5}]
    lists: list[Any] = [[], list(range(63)), [-1] * 64, {}, 7, ["0"] * 64]
    answers = iter([*wrong, *(good | {"counters": each} for each in lists)])
    c, _ = run(only("group.statistics", lambda r: result(r, **next(answers))))
    c.open(SHARED)
    for _ in wrong:
        assert c("get_group_stats", 0, 0).code == -errno.EPROTO
    for _ in lists:
        assert c("get_group_counters", 0, 0).code == -errno.EPROTO
    assert c("id", 0).code == 3


def test_errors_are_told_whole_and_within_bounds(run: Run) -> None:
    faults = [{"code": f"PFQ10{n}", "message": f"fault {n}", "file": "a.pfq", "line": n, "column": 2} for n in range(3)]
    cases: list[tuple[dict[str, Any], int, str]] = [
        ({"code": "PFQ204", "message": "no", "hint": "ask", "errno": 13}, errno.EACCES, "no [PFQ204]; ask"),
        ({"message": "no"}, errno.EINVAL, "no"),
        ({}, errno.EINVAL, "pfqd refused"),
        ({"errno": 0}, errno.EINVAL, "pfqd refused"),
        ({"errno": 1 << 60}, errno.EINVAL, "pfqd refused"),
        ({"errno": -5, "message": 7, "code": [], "hint": {}}, errno.EINVAL, "pfqd refused"),
        ({"message": "a\0b"}, errno.EINVAL, "pfqd refused"),
        ({"code": "PFQ100", "faults": faults}, errno.EINVAL, "a.pfq:0:2: fault 0 [PFQ100] (and 2 more)"),
        ({"message": "é" * 50_000, "hint": "x" * 9000, "file": "f" * 5000}, errno.EINVAL, "f" * 127 + ":0:0: éé"),
        ({"message": "%s%n%d"}, errno.EINVAL, "%s%n%d"),
    ]
    answers = iter([record for record, _, _ in cases])
    c, _ = run(
        only("group.vlan", lambda r: json.dumps({"id": r["id"], "error": next(answers)}, ensure_ascii=False).encode())
    )
    c.open(SHARED)
    for record, number, text in cases:
        found = c("vlan_set_filter", 0, 0, 5)
        assert found.code == -number, record
        assert found.text.startswith(text)
        assert len(found.text.encode()) < 2048


def descriptors(count: int) -> list[int]:
    return [os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC) for _ in range(count)]


def open_in(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def test_descriptors_that_nobody_asked_for_are_closed(run: Run) -> None:
    given = descriptors(200)
    try:
        c, _ = run(only("group.vlan", lambda r: (b'{"event":"news"}', given), lambda r: (result(r), given)))
        c.open(SHARED)
        before = open_in(c.process.pid)
        assert c("vlan_set_filter", 0, 0, 5).code == -errno.EPROTO
        assert open_in(c.process.pid) <= before
    finally:
        for each in given:
            os.close(each)


@pytest.mark.parametrize(
    ("rings", "parts"),
    [(2, [3]), (2, [5]), (2, [1, 4]), (0, []), (8193, [4]), (2, [2, 2]), (2, [4]), (300, [200, 102])],
)
def test_descriptors_that_are_no_rings(run: Run, rings: int, parts: list[int]) -> None:
    """Too few, too many, or of something else: nothing stays open, and the handle can be used."""
    given = descriptors(max(parts, default=0))
    shape = SHAPE | {"rings": rings, "enabled": True}

    def answer(request: dict[str, Any]) -> list[Any] | None:
        if request["call"] != "endpoint.enable":
            return None
        more = json.dumps({"id": request["id"], "more": True}).encode()
        last = parts[-1] if parts else 0
        return [*((more, given[:count]) for count in parts[:-1]), (result(request, **shape), given[:last])]

    try:
        c, daemon = run(answer)
        c.open(SHARED)
        before = open_in(c.process.pid)
        found = c("enable", 0)
        assert found.code in (-errno.EPROTO, -errno.ENODEV, -errno.EACCES)
        assert open_in(c.process.pid) == before
        assert c("is_enabled", 0).code == 0
        assert c("drain", 0).code == -errno.EINVAL
        assert daemon.requests[-1]["call"] == "endpoint.disable"
        c.must("set_weight", 0, 1)
    finally:
        for each in given:
            os.close(each)


def test_an_answer_that_comes_too_late(run: Run) -> None:
    late: list[bytes] = []

    def answer(request: dict[str, Any]) -> list[Any] | None:
        if request["call"] != "group.vlan":
            return None
        late.append(result(request))
        return [] if len(late) == 1 else late

    c, _ = run(answer)
    c.open(SHARED, timeout_ms=TIMEOUT_MS)
    assert c("vlan_set_filter", 0, 0, 5).code == -errno.ETIMEDOUT
    assert c("vlan_set_filter", 0, 0, 6).code == 0, "the first answer is not taken for the second"
    c.must("set_weight", 0, 1)


def test_a_connection_that_ends_is_made_again(run: Run) -> None:
    ended: list[str] = []

    def answer(request: dict[str, Any]) -> list[Any] | None:
        name = f"{request['call']}{request.get('set', '')}"
        if name in ended or not name.startswith("group.vlan"):
            return None
        ended.append(name)
        return [None]

    c, daemon = run(answer)
    c.open(SHARED)
    for vid in (5, 6, 7):
        c.must("vlan_set_filter", 0, 0, vid)
    greetings = [request for request in daemon.requests if request["call"] == "hello"]
    assert [request.get("resume") for request in greetings] == [None, TOKEN, TOKEN, TOKEN]
    assert [r["set"] for r in daemon.requests if r["call"] == "group.vlan"] == [5, 5, 6, 6, 7, 7]


def test_what_must_not_be_done_twice_is_not(run: Run) -> None:
    c, daemon = run(only("group.join", None))
    c.open("nogroup")
    found = c("join_group", 0, ANY, DEFAULT, SHARED)
    assert (found.code, "perhaps" in found.text) == (-errno.ECONNRESET, True)
    assert len([request for request in daemon.requests if request["call"] == "group.join"]) == 1
    assert c("join_group", 0, 4, DEFAULT, SHARED).code == -errno.ECONNRESET
    assert len([request for request in daemon.requests if request["call"] == "group.join"]) == 3
    c.must("set_weight", 0, 1)


def test_a_session_that_is_not_known_any_more(run: Run) -> None:
    def answer(request: dict[str, Any]) -> list[Any] | None:
        if request["call"] == "hello" and "resume" in request:
            return [result(request, **GREETING)]
        return [None] if request["call"] == "group.vlan" else None

    c, _ = run(answer)
    c.open(SHARED)
    for call in (("vlan_set_filter", 0, 0, 5), ("set_weight", 0, 2), ("join_group", 0, 1, 1, SHARED)):
        found = c(*call)
        assert (found.code, "does not know" in found.text) == (-errno.ECONNRESET, True)
    c.must("close", 0)
    assert c.open(SHARED).code == 0


def test_events_are_heard_between_answers(run: Run) -> None:
    c, _ = run(
        only(
            "group.vlan",
            b'{"event":"something new","x":[1,2]}',
            b'{"event":"failed","endpoint":9,"error":{"message":"not ours"}}',
            lambda r: result(r),
            b'{"event":"stopping"}',
        )
    )
    c.open(SHARED)
    c.must("vlan_set_filter", 0, 0, 5)
    assert c("set_weight", 0, 2).code == -errno.ESHUTDOWN
    assert c("set_weight", 0, 2).code == -errno.ESHUTDOWN
