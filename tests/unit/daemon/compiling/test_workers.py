"""Compiling in processes without rights: the same results as in this one, and no harm when they die."""

from __future__ import annotations

import os
import pickle
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from support.confined import children, status

from pfq.codegen.device import Device, DeviceCode, Group, compile_device
from pfq.codegen.memory import RingShape
from pfq.codegen.spec import Hook
from pfq.daemon.compiling import process as worker_process
from pfq.daemon.compiling import workers
from pfq.daemon.compiling.pickling import Fault, packed, result_of, sets_of
from pfq.daemon.compiling.turns import MOST_WAITING, Turns
from pfq.daemon.compiling.workers import WorkerCompiler, on_behalf_of
from pfq.errors import InternalError, LimitError, LiteralError, PfqError, ProgramErrors, UnknownNameError
from pfq.lang import compile_text, ip
from pfq.lang.berkeley import BerkeleyFilter
from pfq.lang.jsonform import to_json
from pfq.lang.program import Chain, Program
from pfq.lang.sent import Sent

EVERYTHING = """
import Services
main = filter is_dns >-> when (addr_in "10.0.0.0/8, 2001:db8::/32") (log_msg "seen") >-> link ["lo"] >-> steer_flow
"""
PATIENCE_S = 20.0


@contextmanager
def started(**work: Callable[[Any], Any]) -> Iterator[WorkerCompiler]:
    """Workers, whose work may be another; at the end no process of theirs is left."""
    before = dict(worker_process.WORK)
    worker_process.WORK.update(work)
    try:
        made = WorkerCompiler()
    finally:
        worker_process.WORK.update(before)
    try:
        yield made
    finally:
        made.close()
        assert made.keeper not in children(os.getpid())


@pytest.fixture(scope="module")
def compiler() -> Iterator[WorkerCompiler]:
    with started() as made:
        yield made


def zygote_of(compiler: WorkerCompiler) -> int:
    return wait_for(lambda: children(compiler.keeper))[0]


def wait_for(question: Callable[[], Any]) -> Any:
    end = time.monotonic() + PATIENCE_S
    while not (found := question()):
        assert time.monotonic() < end
        time.sleep(0.005)
    return found


def spec(program: Program, **more: Any) -> Device:
    filter = BerkeleyFilter.parse("tcp port 80")
    return Device(Hook.XDP, (Group(3, program, filter, frozenset([7])),), 2, RingShape(64, 256, 128), **more)


def asleep(_: Any) -> None:
    time.sleep(60)


# the same results


@pytest.mark.parametrize("text", ["unit", "ip >-> steer_flow", EVERYTHING])
def test_texts_become_the_same_programs(compiler: WorkerCompiler, text: str) -> None:
    found, here = compiler.typed(text), compile_text(text)
    assert found == here
    assert str(found) == str(here)
    assert [call.span for call in found.calls()] == [call.span for call in here.calls()]


def test_the_json_form(compiler: WorkerCompiler) -> None:
    text = to_json(compile_text("ip >-> steer_flow"))
    assert compiler.typed(Sent(text, is_json=True)) == compile_text("ip >-> steer_flow")


def test_what_is_typed_already_stays_here(compiler: WorkerCompiler) -> None:
    program = compile_text("unit")
    assert compiler.typed(program) is program
    assert compiler.typed(ip).main.calls[0].prim.name == "ip"
    assert compiler.typed(None) == program


@pytest.mark.parametrize("text", ["unit", EVERYTHING])
def test_code_is_the_same(compiler: WorkerCompiler, text: str) -> None:
    wanted = spec(compile_text(text))
    found, here = compiler.compile(wanted), compile_device(wanted)
    assert found.object == here.object
    assert (found.memory, found.groups, found.filters, found.facts) == (
        *(here.memory, here.groups, here.filters),
        here.facts,
    )


def test_sets_of_a_program_come_back_as_they_are(compiler: WorkerCompiler) -> None:
    """Those of files among them, which the engine reads again from there."""
    wanted = spec(compile_text('filter (addr_in "10.0.0.0/8, 10.9.9.9")'))
    (mine,) = sets_of(wanted)
    assert [each is mine for each in compiler.compile(wanted).groups[0].plan.sets] == [True]


def test_filters(compiler: WorkerCompiler) -> None:
    assert compiler.filter("tcp port 80") == BerkeleyFilter.parse("tcp port 80")
    assert compiler.filter([(6, 0, 0, 1)]) == BerkeleyFilter.of([(6, 0, 0, 1)])
    assert compiler.filter(None) is None
    with pytest.raises(LiteralError, match="libpcap refuses the filter"):
        compiler.filter("tcp prot 80")


def test_errors_are_the_same(compiler: WorkerCompiler) -> None:
    for text, kind in (("ip >-> stear_flow", UnknownNameError), ("foo >-> bar\nx =", ProgramErrors)):
        with pytest.raises(kind) as there:
            compiler.typed(Sent(text, "some.pfq"))
        with pytest.raises(kind) as here:
            compile_text(text, "some.pfq")
        assert str(there.value) == str(here.value)
        assert there.value.args == here.value.args


@pytest.mark.parametrize("text", ['filter (addr_in "/etc/hosts")', "import Own\nmain = unit"])
def test_no_files(compiler: WorkerCompiler, text: str) -> None:
    with pytest.raises(PfqError, match=r"cannot name files|there is no module"):
        compiler.typed(text)


def test_equal_jobs_share_a_result(compiler: WorkerCompiler) -> None:
    first = compiler.compile(spec(compile_text("udp")))
    before = compiler.work()
    assert compiler.compile(spec(compile_text("udp"))) is first
    assert compiler.work() == before
    assert before[0] > 0


def test_results_are_not_kept_without_end() -> None:
    kept = workers._Kept()
    for number in range(workers.KEPT_RESULTS + 5):
        kept.put(number, str(number), 10)
    assert (kept.get(4), kept.get(5)) == (None, "5")
    kept.put("large", "large", workers.KEPT_BYTES - 15)
    assert (kept.get("large"), kept.get(6), kept.get(5)) == ("large", None, "5")
    kept.put("too large", "x", workers.KEPT_BYTES + 1)
    assert kept.get("too large") is None


# no rights


def test_workers_have_no_rights(compiler: WorkerCompiler) -> None:
    zygote = zygote_of(compiler)
    compiler.filter("udp port 1")
    for pid in (compiler.keeper, zygote):
        found = status(pid, "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Uid")
        if os.geteuid() == 0:
            assert found.pop("Uid").split() == ["65534"] * 4
            assert found["CapBnd"] == "0" * 16
        assert (found["CapEff"], found["CapPrm"], found["CapInh"], found["CapAmb"]) == ("0" * 16,) * 4
        assert found["NoNewPrivs"] == "1"
        assert status(pid, "Seccomp") == {"Seccomp": "2"}
        if os.geteuid() == 0:
            # Nothing of the daemon's; the zygote may be about to close the socket of the last job.
            assert wait_for(lambda pid=pid: len(os.listdir(f"/proc/{pid}/fd")) == 4)  # type: ignore[misc]


@pytest.mark.parametrize(
    "attempt",
    [
        "open('/etc/passwd')",
        "open('/tmp/pfqt-never', 'w')",
        "os.fork()",
        "__import__('socket').socket()",
        "os.kill(1, 0)",
    ],
)
def test_what_a_worker_that_was_taken_over_cannot_do(attempt: str) -> None:
    def work(_: Any) -> str:
        try:
            eval(attempt, {"os": os})
        except OSError as error:
            return f"refused: {error.errno}"
        return "done"

    with started(filter=work) as compiler:
        answer = compiler._answer(packed(("filter", "x")))
        assert str(result_of(answer, str)).startswith("refused")


# what workers send is not trusted


class Evil:
    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, ("touch /tmp/pfqt-evil",)


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"garbage",
        pickle.dumps(Evil()),
        pickle.dumps(os.getpid),
        pickle.dumps(42),
        packed(compile_text("unit"))[:-5],
        packed(replace(compile_text("unit"), source=7)),
        packed(Program(Chain((7,)))),  # type: ignore[arg-type]
        packed(Program(7)),  # type: ignore[arg-type]
        packed(BerkeleyFilter("x", ())),
        packed(Fault("LiteralError", 7, None, None, ())),  # type: ignore[arg-type]
    ],
    ids=range(11),
)
def test_what_is_not_a_program_is_refused(message: bytes) -> None:
    with pytest.raises(InternalError, match="a compile worker sent what it never sends"):
        result_of(message, Program)
    assert not os.path.exists("/tmp/pfqt-evil")


def test_a_worker_invents_no_sets_from_files() -> None:
    (mine,) = sets_of(wanted := spec(compile_text('filter (addr_in "10.0.0.0/8")')))
    code = compile_device(wanted)
    result_of(packed(code, [mine]), DeviceCode, [mine])
    with pytest.raises(InternalError):
        result_of(packed(code), DeviceCode, [mine])


def test_unknown_errors_become_ours() -> None:
    fault = result_of(packed(Fault("SystemExit", "x", None, None, ())), Program)
    assert isinstance(fault.error(), InternalError)


# when they die


def test_U16_a_worker_that_is_killed_is_an_error_for_whoever_asked() -> None:
    with started(filter=asleep) as compiler, ThreadPoolExecutor() as pool:
        found: Future[Any] = pool.submit(compiler.filter, "udp")
        zygote = zygote_of(compiler)
        os.kill(wait_for(lambda: children(zygote))[0], signal.SIGKILL)
        with pytest.raises(LimitError, match="its worker was killed"):
            found.result(PATIENCE_S)
        assert compiler.typed("ip") == compile_text("ip")
        assert compiler.work()[:2] == (2, 1)


def test_U16_the_zygote_is_forked_again() -> None:
    with started() as compiler:
        compiler.typed("ip")
        before = zygote_of(compiler)
        os.kill(before, signal.SIGKILL)
        assert wait_for(lambda: before not in (found := children(compiler.keeper)) and found)
        assert compiler.typed("udp") == compile_text("udp")


def test_without_the_keeper_there_is_a_sentence() -> None:
    with started() as compiler:
        compiler.typed("ip")
        zygote = zygote_of(compiler)
        os.kill(compiler.keeper, signal.SIGKILL)
        wait_for(lambda: not os.path.exists(f"/proc/{zygote}"))
        with pytest.raises(LimitError, match="the compile workers are gone"):
            compiler.typed("udp")


def test_whoever_takes_too_long_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_process, "JOB_SECONDS", 1)
    with started(filter=asleep) as compiler:
        with pytest.raises(LimitError, match="killed"):
            compiler.filter("udp")
        assert wait_for(lambda: not children(zygote_of(compiler)))


def test_whoever_takes_too_much_memory_ends() -> None:
    def greedy(_: Any) -> int:
        return len(bytearray(2 * worker_process.MEMORY_BYTES))

    with started(filter=greedy) as compiler, pytest.raises(PfqError, match="takes more memory"):
        compiler.filter("udp")


def test_signals_are_for_the_daemon() -> None:
    """Ctrl-C reaches all processes of a terminal."""
    with started() as compiler:
        compiler.typed("ip")
        for pid in (compiler.keeper, zygote_of(compiler)):
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                os.kill(pid, number)
        assert compiler.typed("udp") == compile_text("udp")


# taking turns


def test_U16_nobody_has_all_places() -> None:
    turns, busy, free = Turns(3), threading.Event(), threading.Event()
    order: list[str] = []

    def work(who: str) -> None:
        with turns.turn(who):
            order.append(who)
            if len(order) == 2:
                busy.set()
            free.wait(PATIENCE_S)

    with ThreadPoolExecutor(8) as pool:
        for _ in range(5):
            pool.submit(work, "greedy")
        assert busy.wait(PATIENCE_S)
        pool.submit(work, "other")
        wait_for(lambda: "other" in order)
        assert order == ["greedy", "greedy", "other"]
        free.set()
    assert sorted(order) == ["greedy"] * 5 + ["other"]
    assert not turns._working
    assert not turns._waiting


def test_U16_not_too_many_wait() -> None:
    turns, free = Turns(2), threading.Event()

    def work() -> None:
        with turns.turn("greedy"):
            free.wait(PATIENCE_S)

    with ThreadPoolExecutor(MOST_WAITING + 1) as pool:
        for _ in range(MOST_WAITING + 1):
            pool.submit(work)
        wait_for(lambda: len(turns._waiting) == MOST_WAITING)
        with pytest.raises(LimitError, match="wait to be compiled"), turns.turn("greedy"):
            pass
        free.set()


def test_whoever_asks_is_known(monkeypatch: pytest.MonkeyPatch, compiler: WorkerCompiler) -> None:
    asked = []
    monkeypatch.setattr(compiler._turns, "turn", lambda who, turn=compiler._turns.turn: asked.append(who) or turn(who))
    with on_behalf_of(1000):
        compiler.filter("udp port 1000")
    compiler.filter("udp port 1001")
    assert asked == [1000, None]
