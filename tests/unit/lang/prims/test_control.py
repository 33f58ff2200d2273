"""Control and the logic of predicates: behaviour statements 1 to 4, 10 to 14, 30, 32 and 39, on single frames."""

from __future__ import annotations

import pytest
from support.frames import ip4, ip6, tcp, udp
from support.handmade import FRAMES, action, passed, v4, v6

from pfq.errors import ProgramError, TooBigError
from pfq.lang.action import ANY_CLASSES, DEFAULT_CLASSES, Action, Fanout
from pfq.lang.compile import compile_text
from pfq.lang.limits import MAX_SHIFT

TCP, UDP, ARP = FRAMES["tcp4"], FRAMES["udp4"], FRAMES["arp"]


def test_unit_changes_nothing() -> None:
    assert action("unit", TCP) == Action()


def test_filter() -> None:
    assert action("filter is_tcp", TCP) == Action()
    assert action("filter is_tcp", UDP) == Action(fanout=Fanout.DROP)
    assert action("keep is_tcp", UDP) == Action(fanout=Fanout.DROP)


def test_s10_when() -> None:
    assert action("when is_tcp (mark 1)", TCP).mark == 1
    assert action("when is_tcp (mark 1)", UDP) == Action()


def test_s10_unless() -> None:
    assert action("unless is_tcp (mark 1)", TCP) == Action()
    assert action("unless is_tcp (mark 1)", UDP).mark == 1


def test_s10_conditional() -> None:
    text = "conditional is_tcp (mark 1) (mark 2)"
    assert action(text, TCP).mark == 1
    assert action(text, UDP).mark == 2


def test_a_drop_inside_a_branch_ends_the_whole_chain() -> None:
    assert action("when is_tcp drop >-> mark 1", TCP) == Action(fanout=Fanout.DROP)
    assert action("when is_tcp drop >-> mark 1", UDP) == Action(mark=1)
    assert action("when is_tcp (when is_ip drop) >-> mark 1", TCP) == Action(fanout=Fanout.DROP)


def test_s11_inv_passes_what_is_dropped() -> None:
    assert action("inv udp", TCP) == Action()
    assert action("inv udp", UDP) == Action(fanout=Fanout.DROP)


def test_s11_inv_cancels_an_earlier_steering_and_keeps_the_classes() -> None:
    found = action("steer_to 3 >-> classify 2 >-> inv drop", TCP)
    assert (found.fanout, found.classes) == (Fanout.COPY, 1 << 2)


def test_s11_effects_inside_inv_stay() -> None:
    assert action("inv (mark 7 >-> drop)", TCP) == Action(mark=7)
    assert action("inv (mark 7)", TCP) == Action(fanout=Fanout.DROP, mark=7)


def test_s12_par_passes_when_one_passes() -> None:
    assert [passed("par udp tcp", frame) for frame in (TCP, UDP, ARP)] == [True, True, False]


def test_s12_the_second_is_not_run_when_the_first_passes() -> None:
    assert action("par (mark 1) (mark 2)", TCP).mark == 1


def test_s12_the_second_starts_from_the_fanout_before_the_first() -> None:
    found = action("steer_to 3 >-> par (broadcast >-> drop) (mark 1)", TCP)
    assert (found.fanout, found.hash, found.classes) == (Fanout.MEMBER, 3, DEFAULT_CLASSES)
    first = action("steer_to 3 >-> par (broadcast) (mark 1)", TCP)
    assert (first.fanout, first.classes, first.mark) == (Fanout.COPY, ANY_CLASSES, 0)


def test_s13_side_effects_of_a_failed_alternative_stay() -> None:
    text = "par (mark 5 >-> put_state 6 >-> inc 7 >-> kernel >-> drop) unit"
    assert action(text, TCP) == Action(mark=5, state=6, counters={7: 1}, kernel=True)


@pytest.mark.parametrize("count", range(3, 9))
@pytest.mark.parametrize("first", range(9))
def test_s12_alternatives_are_run_until_one_does_not_drop(count: int, first: int) -> None:
    """Alternative number `first` is the first that passes; with 8 of 8, say, none does."""
    bodies = [f"(inc {number}{'' if number >= first else ' >-> drop'})" for number in range(count)]
    found = action(f"par{count} {' '.join(bodies)}", TCP)
    run = min(first + 1, count)
    fanout = Fanout.COPY if first < count else Fanout.DROP
    assert found == Action(fanout=fanout, counters=dict.fromkeys(range(run), 1))


def test_s12_each_alternative_starts_from_the_fanout_before_all() -> None:
    lost = "(broadcast >-> steer_rrobin >-> drop)"
    found = action(f"steer_to 3 >-> classify 2 >-> par4 {lost} (classify 5 >-> drop) {lost} unit", TCP)
    assert (found.fanout, found.hash, found.classes) == (Fanout.MEMBER, 3, 1 << 2)


def test_s13_side_effects_of_all_failed_alternatives_stay() -> None:
    text = 'par3 (mark 5 >-> forward "a" >-> drop) (put_state 6 >-> drop) (kernel >-> drop) >-> inc 1'
    assert action(text, TCP) == Action(fanout=Fanout.DROP, mark=5, state=6, kernel=True, forwards=["a"])


IN_4_IN_4 = v4(ip4(udp(1024, 53), 17, b"\1\1\1\1", b"\2\2\2\2"), 4)
IN_6_IN_4 = v4(ip6(tcp(2000, 443)), 41)
IN_4_IN_6 = v6(ip4(udp(1024, 53), 17), 4)
TWICE = v4(ip4(ip4(udp(1024, 53), 17, b"\3\3\3\3", b"\4\4\4\4"), 4, b"\1\1\1\1", b"\2\2\2\2"), 4)


def test_s39_shift_looks_at_the_packet_inside() -> None:
    assert passed("shift (udp >-> dst_port 53 >-> src_addr 1.1.1.1 >-> dst_addr 2.2.2.2)", IN_4_IN_4)
    assert not passed("udp", IN_4_IN_4)
    assert not passed("shift (addr 10.0.0.1)", IN_4_IN_4)
    assert passed("shift (ip6 >-> tcp >-> port 443)", IN_6_IN_4)
    assert passed("shift (ip >-> udp >-> port 53)", IN_4_IN_6)


def test_s39_a_packet_without_a_tunnel_is_not_ip_inside() -> None:
    for frame in (TCP, UDP, ARP, FRAMES["tcp6"], FRAMES["nothing"]):
        assert passed("shift (filter (not (is_ip .||. is_ip6 .||. is_flow)))", frame)


def test_s39_shifts_nest() -> None:
    assert passed("shift (shift (udp >-> src_addr 3.3.3.3))", TWICE)
    assert passed("shift (src_addr 1.1.1.1 >-> shift (src_addr 3.3.3.3) >-> dst_addr 2.2.2.2)", TWICE)
    assert not passed("shift (shift ip)", IN_4_IN_4)


def test_s39_after_shift_the_program_looks_outside_again() -> None:
    assert passed("shift udp >-> addr 10.0.0.1", IN_4_IN_4)
    assert action("par (shift drop) (src_addr 10.0.0.1)", IN_4_IN_4).fanout is Fanout.COPY
    assert action("inv (shift tcp) >-> shift udp >-> src_addr 10.0.0.1", IN_4_IN_4).fanout is Fanout.COPY


def test_s39_a_drop_inside_shift_ends_the_whole_chain() -> None:
    assert action("shift (mark 1 >-> tcp) >-> inc 0", IN_4_IN_4) == Action(fanout=Fanout.DROP, mark=1)


def test_shift_nests_so_deep_and_no_deeper() -> None:
    def nested(count: int) -> str:
        return "shift (" * count + "ip" + ")" * count

    compile_text(nested(MAX_SHIFT))
    compile_text(f"when is_ip ({nested(MAX_SHIFT)}) >-> {nested(MAX_SHIFT)}")
    with pytest.raises(TooBigError, match="the program nests `shift` more than 4 deep"):
        compile_text(nested(MAX_SHIFT + 1))
    with pytest.raises(ProgramError, match="nests `shift`"):
        compile_text(f"main = shift (inside >-> udp)\n  where inside = src ({nested(MAX_SHIFT)})")


PORTS = v4(tcp(53, 4000))


@pytest.mark.parametrize(
    ("text", "passes"),
    [
        ("src (port 53)", True),
        ("src (port 4000)", False),
        ("dst (port 4000)", True),
        ("dst (port 53)", False),
        ("src (addr 10.0.0.1)", True),
        ("src (addr 10.0.0.2)", False),
        ("dst (addr 10.0.0.2)", True),
        ("dst (addr 10.0.0.1)", False),
        ("src (filter (has_port 53 .&&. not (has_port 4000)))", True),
        ("src (dst_port 4000)", True),
        ("src (dst (port 4000))", True),
        ("src (dst (port 53))", False),
        ("src (when is_tcp (par drop (port 53)) >-> addr 10.0.0.1)", True),
        ("src (dst (port 4000) >-> port 53)", True),
        ("src (shift unit >-> port 53)", True),
    ],
)
def test_s30_s32_src_and_dst_choose_the_side(text: str, passes: bool) -> None:
    assert passed(text, PORTS) is passes


def test_src_holds_inside_shift() -> None:
    assert passed("src (shift (port 1024 >-> addr 1.1.1.1))", IN_4_IN_4)
    assert not passed("src (shift (port 53))", IN_4_IN_4)
    assert passed("shift (dst (port 53)) >-> addr 10.0.0.1 >-> addr 10.0.0.2", IN_4_IN_4)


def test_after_src_both_sides_count_again() -> None:
    assert passed("src (port 53) >-> port 4000", PORTS)
    assert passed("par (src (port 4000)) (port 4000 >-> port 53)", PORTS)
    assert passed("inv (dst drop) >-> port 53", PORTS)


@pytest.mark.parametrize("p", [False, True])
@pytest.mark.parametrize("q", [False, True])
def test_s14_logic(p: bool, q: bool) -> None:
    a, b = ("is_tcp" if truth else "is_udp" for truth in (p, q))
    assert passed(f"filter ({a} .&&. {b})", TCP) == (p and q)
    assert passed(f"filter ({a} .||. {b})", TCP) == (p or q)
    assert passed(f"filter ({a} .^^. {b})", TCP) == (p != q)
    assert passed(f"filter (not {a})", TCP) == (not p)
