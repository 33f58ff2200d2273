"""Compiling goes on without the engine's lock: others are not held up, and an old plan is never carried out."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from root.capture.harness import flow_frame, send
from root.engine.harness import arrived, joined
from root.network import Pair

from pfq.codegen.device import Device as DeviceSpec
from pfq.codegen.device import DeviceCode
from pfq.engine.compiler import LocalCompiler
from pfq.engine.engine import Engine
from pfq.errors import ProgramError, RingClosedError, TooBigError

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("nothing_left")]

PATIENCE_S = 20.0


class SlowCompiler(LocalCompiler):
    """Waits before it compiles what has a word in it, until it is let."""

    def __init__(self) -> None:
        self.asked: list[DeviceSpec] = []
        self.waiting = threading.Event()
        self._go = threading.Event()
        self._word = "\0"

    def hold(self, word: str) -> None:
        self._word = word

    def let(self) -> None:
        self._go.set()

    def compile(self, spec: DeviceSpec) -> DeviceCode:
        self.asked.append(spec)
        if any(self._word in str(group.program) for group in spec.groups):
            self.waiting.set()
            assert self._go.wait(PATIENCE_S)
        return super().compile(spec)


@contextmanager
def elsewhere(function: Callable[..., object], *args: object) -> Iterator[Future[object]]:
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(function, *args)


@pytest.fixture
def slow(netns_pair: Pair) -> Iterator[tuple[Engine, SlowCompiler]]:
    compiler = SlowCompiler()
    with netns_pair.b.call(lambda: Engine(compiler=compiler)) as engine:
        yield engine, compiler


def test_others_go_on_while_one_compiles(netns_pair: Pair, slow: tuple[Engine, SlowCompiler]) -> None:
    engine, compiler = slow
    group, other = engine.group(), engine.group()
    netns_pair.b.call(group.bind, netns_pair.dev_b)
    member = joined(group)
    compiler.hold("mark 7")
    with elsewhere(group.set_program, "mark 7") as change, netns_pair.sender() as sender:
        assert compiler.waiting.wait(PATIENCE_S)
        send(sender, map(flow_frame, range(5)))
        arrived(group, 5)
        second = joined(group)
        joined(other)
        second.weight = 4
        group.leave(member)
        other.close()
        assert str(group.settings.program) == "unit"
        assert not change.done()
        compiler.let()
        assert change.result(PATIENCE_S).compile > 0  # type: ignore[attr-defined]
        send(sender, map(flow_frame, range(5)))
        arrived(group, 10)
        assert second.statistics().selected == 5
        assert str(group.settings.program) == "mark 7"


def test_a_plan_that_is_old_is_made_anew(netns_pair: Pair, slow: tuple[Engine, SlowCompiler]) -> None:
    """Meanwhile another group came to the device: the program that was compiled first would not serve it."""
    engine, compiler = slow
    group, other = engine.group(), engine.group()
    netns_pair.b.call(group.bind, netns_pair.dev_b)
    compiler.hold("mark 8")
    with elsewhere(group.set_program, "mark 8") as change, netns_pair.sender() as sender:
        assert compiler.waiting.wait(PATIENCE_S)
        netns_pair.b.call(other.bind, netns_pair.dev_b)
        compiler.let()
        change.result(PATIENCE_S)
        assert [len(spec.groups) for spec in compiler.asked if "mark 8" in str(spec.groups[0].program)] == [1, 2]
        send(sender, map(flow_frame, range(5)))
        arrived(group, 5)
        arrived(other, 5)


def test_a_group_that_ended_meanwhile(netns_pair: Pair, slow: tuple[Engine, SlowCompiler]) -> None:
    engine, compiler = slow
    group = engine.group()
    netns_pair.b.call(group.bind, netns_pair.dev_b)
    compiler.hold("mark 9")
    with elsewhere(group.set_program, "mark 9") as change:
        assert compiler.waiting.wait(PATIENCE_S)
        group.close()
        compiler.let()
        with pytest.raises(RingClosedError, match="has ended"):
            change.result(PATIENCE_S)
    assert not engine.sides


def test_whoever_holds_the_lock_compiles_with_it(netns_pair: Pair, slow: tuple[Engine, SlowCompiler]) -> None:
    engine, _ = slow
    group = engine.group()
    with engine.lock:
        group.set_program("mark 1")
        group.join(engine.endpoint(snaplen=64))
    assert str(group.settings.program) == "mark 1"


def test_a_compiler_that_refuses_changes_nothing(
    netns_pair: Pair, slow: tuple[Engine, SlowCompiler], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, compiler = slow
    group = engine.group()
    netns_pair.b.call(group.bind, netns_pair.dev_b)

    def refuse(spec: DeviceSpec) -> DeviceCode:
        raise TooBigError("too many rings")

    with monkeypatch.context() as patch:
        patch.setattr(compiler, "compile", refuse)
        with pytest.raises(ProgramError, match="too many rings"):
            group.set_program("mark 2")
        with pytest.raises(ProgramError, match="too many rings"):
            group.join(engine.endpoint(snaplen=1000, slots=16))
    assert str(group.settings.program) == "unit"
    assert not group.members
    assert group.rights.owner is None
    joined(group)
