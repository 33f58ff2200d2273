"""Row S4 of the catalogue of reliability: the order of our TC program and those of others, under a daemon."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from root.capture.harness import NEEDS_TCX
from root.daemon.process import Pfqd, pfqd_of
from root.kernel.counted import TC_NEXT, TC_SHOT, Counted
from root.network import Pair, eventually, numbered, traffic

import pfq
from pfq.codegen.spec import Hook
from pfq.kernel.attach import TcxLink
from pfq.kernel.clsact import Clsact

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("nothing_left"), NEEDS_TCX]


@pytest.fixture
def daemon(netns_pair: Pair) -> Iterator[Pfqd]:
    with pfqd_of(netns_pair) as made:
        made.configure(
            f'[[group]]\nnumber = 3\nprogram = "inc 1"\ninput = [{{ device = "{netns_pair.dev_b}", hook = "tcx" }}]\n'
        )
        yield made


def arrived(daemon: Pfqd) -> int:
    found: int = daemon.ask("group.statistics", group=3)["arrived"]
    return found


def send(pair: Pair, count: int = 100) -> None:
    with pair.sender() as sender:
        sender.send(map(numbered, range(count)))


@pytest.mark.parametrize("code", [TC_NEXT, TC_SHOT], ids=["next", "shot"])
def test_S4_ours_is_in_front_of_what_was_there(netns_pair: Pair, daemon: Pfqd, code: int) -> None:
    """Whatever theirs decides, ours has seen the packet; theirs sees all of them too."""
    with Counted(code, Hook.TC_INGRESS) as theirs, Counted(TC_NEXT, Hook.TC_INGRESS, tcx=False) as older:
        link = netns_pair.b.call(TcxLink.attach, theirs.program, netns_pair.ifindex_b)
        filter = netns_pair.b.call(Clsact.attach, older.program, netns_pair.ifindex_b)
        daemon.start()
        send(netns_pair)
        assert eventually(lambda: arrived(daemon) == 100, 5.0)
        assert eventually(lambda: theirs.seen == 100, 5.0)
        assert older.seen == (100 if code == TC_NEXT else 0), "filters of the older kind come last"
        link.detach()
        filter.detach()


def test_S4_who_comes_later_and_takes_packets_is_in_front_of_ours(netns_pair: Pair, daemon: Pfqd) -> None:
    daemon.start()
    with Counted(TC_SHOT, Hook.TC_INGRESS) as theirs:
        link = netns_pair.b.call(TcxLink.attach, theirs.program, netns_pair.ifindex_b)
        send(netns_pair)
        assert eventually(lambda: theirs.seen == 100, 5.0)
        assert arrived(daemon) == 0
        link.detach()
    send(netns_pair)
    assert eventually(lambda: arrived(daemon) == 100, 5.0)


def test_S4_others_miss_nothing_while_ours_is_replaced(netns_pair: Pair, daemon: Pfqd) -> None:
    with Counted(TC_NEXT, Hook.TC_INGRESS) as theirs:
        link = netns_pair.b.call(TcxLink.attach, theirs.program, netns_pair.ifindex_b)
        daemon.start()
        with pfq.connect(daemon.path) as engine:
            joined = engine.group(3)
            joined.join(engine.endpoint(slots=8, enabled=False))
            with traffic(netns_pair, 10_000) as sender:
                for number in range(8):
                    joined.set_program(f"inc {number % 2}")
            assert eventually(lambda: theirs.seen == sender.sent, 5.0)
            assert eventually(lambda: arrived(daemon) == sender.sent, 5.0)
        link.detach()
