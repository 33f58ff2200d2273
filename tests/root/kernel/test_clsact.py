"""The clsact filter: what it removes, what it leaves alone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from root.kernel.counted import TC_NEXT, Counted
from root.network import Pair, numbered

from pfq.codegen.spec import Hook
from pfq.errors import AttachConflictError, DeviceGoneError
from pfq.kernel.clsact import Clsact, remove_kept

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("nothing_left")]


def tc(pair: Pair, *words: str) -> str:
    return pair.b.run("tc", *words)


def qdisc(pair: Pair) -> str:
    """The kind of the ingress-side discipline of `dev_b`, or nothing."""
    found = re.search(r"qdisc (\w+) ffff:", tc(pair, "qdisc", "show", "dev", pair.dev_b))
    return found[1] if found else ""


def filters(pair: Pair, side: str = "ingress") -> list[str]:
    """Names of the BPF filters on one side."""
    return re.findall(r"handle 0x\w+ (\S+)", tc(pair, "filter", "show", "dev", pair.dev_b, side))


def add_filter(pair: Pair, side: str, priority: int) -> None:
    """A filter that is not BPF."""
    what = ["protocol", "all", "u32", "match", "u32", "0", "0", "flowid", "1:1"]
    tc(pair, "filter", "add", "dev", pair.dev_b, side, "pref", str(priority), *what)


@contextmanager
def attached(pair: Pair, hook: Hook = Hook.TC_INGRESS) -> Iterator[Counted]:
    with Counted(TC_NEXT, hook, tcx=False) as counted:
        filter = pair.b.call(Clsact.attach, counted.program, pair.ifindex_b)
        try:
            yield counted
        finally:
            filter.detach()


def test_the_discipline_goes_when_we_made_it(netns_pair: Pair) -> None:
    with attached(netns_pair):
        assert qdisc(netns_pair) == "clsact"
    assert qdisc(netns_pair) == ""


def test_the_discipline_stays_when_somebody_else_made_it(netns_pair: Pair) -> None:
    tc(netns_pair, "qdisc", "add", "dev", netns_pair.dev_b, "clsact")
    with attached(netns_pair):
        pass
    assert qdisc(netns_pair) == "clsact"
    assert filters(netns_pair) == []


def test_the_discipline_stays_for_the_filters_of_others(netns_pair: Pair) -> None:
    with attached(netns_pair):
        add_filter(netns_pair, "egress", 7)
    assert qdisc(netns_pair) == "clsact"
    assert "pref 7 u32" in tc(netns_pair, "filter", "show", "dev", netns_pair.dev_b, "egress")


def test_both_sides_at_once(netns_pair: Pair) -> None:
    with attached(netns_pair, Hook.TC_INGRESS) as incoming, attached(netns_pair, Hook.TC_EGRESS) as outgoing:
        with netns_pair.sender() as sender:
            sender.send(numbered(n) for n in range(30))
        assert (incoming.seen, outgoing.seen) == (30, 0)
    assert qdisc(netns_pair) == ""


def test_two_of_ours_on_one_side_both_run(netns_pair: Pair) -> None:
    with attached(netns_pair) as first, attached(netns_pair) as second:
        assert len(filters(netns_pair)) == 2
        with netns_pair.sender() as sender:
            sender.send(numbered(n) for n in range(30))
        assert (first.seen, second.seen) == (30, 30)


def test_D5_the_place_is_taken_by_another_kind_of_filter(netns_pair: Pair) -> None:
    tc(netns_pair, "qdisc", "add", "dev", netns_pair.dev_b, "clsact")
    add_filter(netns_pair, "ingress", 1)
    with pytest.raises(AttachConflictError, match=r"kind `u32` and priority 1"), attached(netns_pair):
        pass
    assert "pref 1 u32" in tc(netns_pair, "filter", "show", "dev", netns_pair.dev_b, "ingress")


def test_D5_an_old_ingress_discipline_has_no_egress_side(netns_pair: Pair) -> None:
    tc(netns_pair, "qdisc", "add", "dev", netns_pair.dev_b, "ingress")
    with pytest.raises(AttachConflictError, match=r"`ingress`.*no egress"), attached(netns_pair, Hook.TC_EGRESS):
        pass
    with attached(netns_pair, Hook.TC_INGRESS) as counted, netns_pair.sender() as sender:
        sender.send(numbered(n) for n in range(30))
        assert counted.seen == 30
    assert qdisc(netns_pair) == "ingress"


def test_a_filter_that_somebody_removed(netns_pair: Pair) -> None:
    with Counted(TC_NEXT, Hook.TC_INGRESS, tcx=False) as counted:
        filter = netns_pair.b.call(Clsact.attach, counted.program, netns_pair.ifindex_b)
        tc(netns_pair, "filter", "del", "dev", netns_pair.dev_b, "ingress")
        assert not filter.info().alive
        with pytest.raises(DeviceGoneError):
            filter.swap(counted.program)
        filter.detach()


CHILD = """
import signal
from root.kernel.counted import *
from pfq.kernel.clsact import *
counted = Counted(TC_NEXT, Hook.TC_INGRESS, tcx=False)
filter = Clsact.attach(counted.program, {ifindex})
print("attached", flush=True)
signal.pause()
"""


@pytest.mark.parametrize("made_by_child", [True, False])
def test_C5_the_filter_of_a_killed_process_is_replaced(netns_pair: Pair, made_by_child: bool) -> None:
    if not made_by_child:
        tc(netns_pair, "qdisc", "add", "dev", netns_pair.dev_b, "clsact")
    with netns_pair.b.python(CHILD.format(ifindex=netns_pair.ifindex_b)) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "attached\n"
        with attached(netns_pair):
            assert len(filters(netns_pair)) == 2, "a living process keeps its filter"
    (left,) = filters(netns_pair)
    assert left.startswith(f"pfq:{child.pid}:")
    with attached(netns_pair):
        (ours,) = filters(netns_pair)
        assert ours != left
    assert filters(netns_pair) == []
    assert qdisc(netns_pair) == ("" if made_by_child else "clsact")


def test_a_filter_that_outlives_its_process_is_adopted(netns_pair: Pair) -> None:
    """Whoever has another mark, or none, leaves it alone."""
    pair = netns_pair
    with Counted(TC_NEXT, Hook.TC_INGRESS, tcx=False) as counted:
        first = pair.b.call(Clsact.attach, counted.program, pair.ifindex_b, "mark1")
        first.close()
        with attached(pair):
            pair.b.call(remove_kept, "mark2")
            pair.b.call(remove_kept, "mark1", {(pair.ifindex_b, Hook.TC_INGRESS, first.name, first.handle)})
            assert first.name in filters(pair)
        place = (pair.ifindex_b, Hook.TC_INGRESS, first.name)
        assert pair.b.call(Clsact.adopt, *place, first.handle + 1) is None
        again = pair.b.call(Clsact.adopt, *place, first.handle)
        assert again is not None
        assert again.info().alive
        with Counted(TC_NEXT, Hook.TC_INGRESS, tcx=False) as other:
            again.swap(other.program)
            assert again.info().program_id == other.program.id
            again.detach()
    assert filters(pair) == []
    assert qdisc(pair) == ""


def test_filters_with_a_mark_are_removed(netns_pair: Pair) -> None:
    with Counted(TC_NEXT, Hook.TC_INGRESS, tcx=False) as counted:
        netns_pair.b.call(Clsact.attach, counted.program, netns_pair.ifindex_b, "mark1").close()
        netns_pair.b.call(remove_kept, "mark1")
    assert filters(netns_pair) == []
    assert qdisc(netns_pair) == ""
