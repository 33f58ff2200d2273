"""What engines leave behind and how it is found: C9, states that cannot be used, and taking everything down."""

from __future__ import annotations

import errno
import itertools
import json
import logging
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from ctypes import Structure, addressof, c_uint32, c_uint64
from pathlib import Path

import pytest
from root.capture.harness import flow_frame, send
from root.engine.adopting import BODY, Place, links, place
from root.engine.harness import arrived
from root.network import Pair, eventually

from pfq.engine import statefile
from pfq.engine.engine import Engine
from pfq.engine.store import Store
from pfq.errors import KernelRefusedError, LimitError, OutputError, PfqError, StateError
from pfq.kernel import devices
from pfq.kernel import sys as kernel_sys
from pfq.kernel.abi import AttachType

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("nothing_left")]

NEEDS_TCX = pytest.mark.feature("tcx")


@pytest.fixture
def here(netns_pair: Pair) -> Iterator[Place]:
    with place(netns_pair) as found:
        yield found


@contextmanager
def mounted(kind: str, where: Path, *options: str) -> Iterator[None]:
    subprocess.run(["mount", "-t", kind, *options, "test", str(where)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", str(where)], check=True)


def refused(here: Place) -> StateError:
    """The error of an engine that cannot take over."""
    with pytest.raises(StateError) as caught:
        here.engine()
    assert "pfqd --stop" in (caught.value.hint or "")
    return caught.value


class QueryAttr(Structure):
    """For BPF_PROG_QUERY: the beginning of it, for the links of tcx."""

    _fields_ = (
        ("target_ifindex", c_uint32),
        ("attach_type", c_uint32),
        ("query_flags", c_uint32),
        ("attach_flags", c_uint32),
        ("prog_ids", c_uint64),
        ("count", c_uint32),
        ("_pad", c_uint32),
        ("prog_attach_flags", c_uint64),
        ("link_ids", c_uint64),
        ("link_attach_flags", c_uint64),
        ("revision", c_uint64),
    )


PROG_QUERY, ROOM = 16, 16


def attached(here: Place) -> list[int]:
    """Programs on the device of the test, by the numbers of their links; that of XDP by its own."""

    def ask() -> list[int]:
        found = devices.device(here.pair.dev_b)
        programs, numbers = (c_uint32 * ROOM)(), (c_uint32 * ROOM)()
        attr = QueryAttr(found.index, AttachType.TCX_INGRESS, count=ROOM)
        attr.prog_ids, attr.link_ids = addressof(programs), addressof(numbers)
        assert kernel_sys._bpf(PROG_QUERY, attr) == 0  # type: ignore[arg-type]
        return [*([found.xdp.id] if found.xdp else []), *numbers[: attr.count]]

    return here.pair.b.call(ask)


@NEEDS_TCX
def test_C9_another_file_system_over_the_pins(here: Place) -> None:
    """It is noticed; nothing is attached twice; and the engine that runs goes on with its own."""
    engine = here.engine()
    group = engine.group()
    here.pair.b.call(group.bind, here.pair.dev_b, hook="tcx")
    before = links(engine)
    with mounted("bpf", here.pins):
        group.set_program("inc 1")
        group.join(engine.endpoint(snaplen=64))
        engine.close(keep=True)
        error = refused(here)
        assert f"the pins are not in `{here.pins}` any more" in error.message
        assert attached(here) == before
    with here.engine() as engine:
        assert links(engine) == before
        assert engine.endpoints.keys() == {0}


def test_C9_an_engine_complains_about_what_disturbs_it(here: Place, caplog: pytest.LogCaptureFixture) -> None:
    def complaints() -> set[str]:
        return {record.getMessage() for record in caplog.records if record.name == "pfq.engine.store"}

    with caplog.at_level(logging.ERROR), here.engine() as engine:
        (pin,) = here.pins.glob("counters-*")
        pin.unlink()
        assert eventually(lambda: any(f"`{pin}` was removed" in each for each in complaints()), 3.0)
        with mounted("bpf", here.pins):
            assert eventually(lambda: any("is covered or gone" in each for each in complaints()), 3.0)
        assert len(complaints()) == 2
        engine.group()


@NEEDS_TCX
@pytest.mark.parametrize("kind", ["link", "counters", "ring"])
def test_C9_a_pin_that_was_removed(here: Place, kind: str) -> None:
    """Which one is said, and nothing is attached or taken down."""
    with here.dying(BODY.format(hook="tcx")):
        pass
    (pin, *_) = sorted(here.pins.glob(f"{kind}-*"))
    before = attached(here)
    pin.unlink()
    assert f"`{pin.name}`" in refused(here).message
    if kind != "link":
        assert attached(here) == before
    here.pair.b.call(lambda: here.store().remove())
    assert here.was_removed()


def test_C9_read_only(here: Place, tmp_path: Path) -> None:
    """A change that cannot be kept is refused, with what is wrong, and changes nothing."""
    with mounted("bpf", tmp_path):
        here.pins = tmp_path / "pins"
        with here.engine() as engine, here.pair.sender() as sender:
            group = engine.group()
            here.pair.b.call(group.bind, here.pair.dev_b)
            send(sender, [flow_frame(0)])
            arrived(group, 1)
            subprocess.run(["mount", "-o", "remount,ro", str(tmp_path)], check=True)
            with pytest.raises(StateError, match="read-only"):
                engine.endpoint(snaplen=64)
            with pytest.raises(StateError, match="read-only"):
                here.pair.b.call(group.bind, "lo")
            assert not engine.endpoints
            assert [bound.device.name for bound in group.bindings] == [here.pair.dev_b]
            send(sender, [flow_frame(0)])
            arrived(group, 2)
            subprocess.run(["mount", "-o", "remount,rw", str(tmp_path)], check=True)
            group.join(engine.endpoint(snaplen=64))
        assert here.was_removed()


def test_C9_no_room_for_pins(here: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    with here.engine() as engine:
        group = engine.group()

        def full(fd: int, path: str) -> None:
            raise kernel_sys.refusal(f"pinning to {path}", errno.ENOSPC)

        with monkeypatch.context() as patch:
            patch.setattr(kernel_sys, "obj_pin", full)
            with pytest.raises(LimitError, match=rf"`{here.pins}/.*no room"):
                engine.endpoint(snaplen=64)
            with pytest.raises(LimitError, match="no room"):
                here.pair.b.call(group.bind, here.pair.dev_b)
        assert not engine.endpoints
        assert not engine.sides
        here.pair.b.call(group.bind, here.pair.dev_b)


def fill(path: Path) -> None:
    """A file that takes all the room that there is."""
    done = subprocess.run(["dd", "if=/dev/zero", f"of={path}", "bs=512"], capture_output=True, text=True, check=False)
    assert "No space left" in done.stderr


def test_no_room_for_the_state(here: Place, tmp_path: Path) -> None:
    """What begins is refused; what ends, ends, and is written down when there is room again."""
    with mounted("tmpfs", tmp_path, "-o", "size=40k"):
        here.state = tmp_path / "state"
        engine = here.engine()
        group = engine.group()
        here.pair.b.call(group.bind, here.pair.dev_b)
        endpoint = engine.endpoint(snaplen=64)
        group.join(endpoint)
        fill(tmp_path / "ballast")
        with pytest.raises(OutputError, match="No space left"):
            engine.endpoint(snaplen=64)
        with pytest.raises(OutputError, match="No space left"):
            group.set_program("drop")
        assert str(group.settings.program) == "unit"
        endpoint.close()
        assert not engine.endpoints
        assert engine.keeper.behind
        (tmp_path / "ballast").unlink()
        assert eventually(lambda: not engine.keeper.behind, 3.0)
        assert not list(here.pins.glob("ring-*"))
        engine.close(keep=True)
        with here.engine() as engine:
            assert not engine.endpoints


def test_one_engine_at_a_time(here: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pfq.kernel.pins.LOCK_SECONDS", 0.1)
    with here.engine(), pytest.raises(StateError, match="another process holds"):
        here.store()
    assert here.was_removed()


@NEEDS_TCX
def test_a_state_of_another_version(here: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    with here.dying(BODY.format(hook="tcx")):
        pass
    before = attached(here)
    with monkeypatch.context() as patch:
        patch.setattr(statefile, "VERSION", 2)
        assert "another version" in refused(here).message
    with monkeypatch.context() as patch:
        patch.setattr(statefile.layouts, "TABLE_ENTRIES", 256)
        assert "another version" in refused(here).message
    assert attached(here) == before
    with here.engine() as engine:
        assert links(engine) == before


def damaged(text: str) -> Iterator[str]:
    """Texts that are not a state."""
    yield from ("", "[]", "{}", text[: len(text) // 2], "\0" * 100)
    for name in ("groups", "endpoints", "maps", "cpus", "pool"):
        whole = json.loads(text)
        del whole["engine"][name]
        yield json.dumps(whole)
    whole = json.loads(text)
    whole["engine"]["groups"][0]["members"] = [[7, 1]]
    yield json.dumps(whole)
    whole = json.loads(text)
    whole["engine"]["groups"][0]["tables"][0][1] = "rubbish"
    yield json.dumps(whole)


@NEEDS_TCX
def test_a_state_that_is_damaged(here: Place) -> None:
    """Every time it is said, nothing is touched, and with the right one all is there."""
    with here.dying(BODY.format(hook="tcx")):
        pass
    right = here.state.read_text()
    before, pins = attached(here), sorted(here.pins.iterdir())
    for text in damaged(right):
        here.state.write_text(text)
        refused(here)
        assert (attached(here), sorted(here.pins.iterdir())) == (before, pins)
    here.state.unlink()
    assert "is missing" in refused(here).message
    here.state.write_text(right)
    with here.engine() as engine:
        assert links(engine) == before


def test_a_program_that_is_damaged(here: Place) -> None:
    with here.dying(BODY.format(hook="xdp")):
        pass
    (program,) = here.state.with_name("state.json.programs").iterdir()
    right = program.read_text()
    program.write_text(right.replace("steer", "sneer"))
    assert "is damaged" in refused(here).message
    program.write_text(right)
    here.engine().close()


def test_a_state_of_another_boot_is_nothing(here: Place) -> None:
    here.state.write_text(json.dumps({"version": 99, "boot": "another"}))
    with here.engine() as engine:
        assert not engine.adopted


@pytest.mark.parametrize("hook", ["xdp", "clsact", pytest.param("tcx", marks=pytest.mark.feature("tcx"))])
def test_remove_takes_down_what_is_left(here: Place, hook: str) -> None:
    """Also when nobody can read what it was; and again is harmless."""
    for text in (None, "rubbish"):
        with here.dying(BODY.format(hook=hook)):
            pass
        if text is not None:
            here.state.write_text(text)
        here.pair.b.call(lambda: here.store().remove())
        assert here.was_removed()
        assert not attached(here)
    here.pair.b.call(lambda: here.store().remove())
    assert here.was_removed()


@NEEDS_TCX
def test_remove_when_the_pins_are_hidden(here: Place) -> None:
    """The links are found by their numbers."""
    with here.dying(BODY.format(hook="tcx")):
        pass
    with mounted("bpf", here.pins):
        assert attached(here)
        here.store().remove()
        assert not attached(here)
        assert not here.state.exists()
    here.store().remove()


def test_pins_are_in_a_bpf_file_system_only(here: Place, tmp_path: Path) -> None:
    with pytest.raises(StateError, match="not in a BPF file system") as caught:
        Store(tmp_path / "pins", here.state)
    assert caught.value.hint == "mount -t bpf bpf /sys/fs/bpf"
    assert not (tmp_path / "pins").exists()


def test_nobody_else_may_look(here: Place) -> None:
    with here.engine() as engine:
        engine.group()
        assert here.pins.stat().st_mode & 0o777 == 0o700
        assert here.state.stat().st_mode & 0o777 == 0o600
        assert here.state.with_name("state.json.programs").stat().st_mode & 0o777 == 0o700
        assert {path.stat().st_mode & 0o777 for path in here.pins.iterdir()} == {0o600}


def test_an_engine_that_cannot_start_leaves_nothing(here: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(engine: Engine) -> None:
        raise LimitError("no threads")

    monkeypatch.setattr("pfq.engine.upkeep.Upkeep.start", fail)
    with pytest.raises(PfqError, match="no threads"):
        here.engine()
    assert here.was_removed()


@NEEDS_TCX
def test_an_adoption_that_fails_leaves_all_as_it_was(here: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    with here.dying(BODY.format(hook="tcx")):
        pass
    before, pins = attached(here), sorted(here.pins.iterdir())

    def fail(*_: object) -> None:
        raise LimitError("the compiler has no memory")

    with monkeypatch.context() as patch:
        patch.setattr("pfq.engine.compiler.LocalCompiler.compile", fail)
        with pytest.raises(LimitError, match="the compiler has no memory"):
            here.engine()
    assert (attached(here), sorted(here.pins.iterdir())) == (before, pins)
    with here.engine() as engine:
        assert links(engine) == before


@NEEDS_TCX
@pytest.mark.parametrize("which", [1, 2])
def test_C8_a_swap_that_the_kernel_refuses_changes_nothing(
    here: Place, monkeypatch: pytest.MonkeyPatch, which: int
) -> None:
    """The first of two devices, or the second, when the first has the new program already."""
    really, count = kernel_sys.link_update, itertools.count(1)

    def refuse(link: int, program: int, what: str) -> None:
        if next(count) == which:
            raise kernel_sys.refusal(what, errno.EINVAL)
        really(link, program, what)

    with here.engine() as engine, here.pair.sender() as sender:
        group = engine.group()
        for device in (here.pair.dev_b, "lo"):
            here.pair.b.call(group.bind, device, hook="tcx")
        group.set_program("inc 1")
        with monkeypatch.context() as patch:
            patch.setattr(kernel_sys, "link_update", refuse)
            with pytest.raises(KernelRefusedError, match="EINVAL"):
                group.set_program("inc 2")
        assert str(group.settings.program) == "inc 1"
        send(sender, [flow_frame(0)])
        arrived(group, 1)
        assert group.counters()[1:3] == (1, 0)
        before = links(engine)
        engine.close(keep=True)
        with here.engine() as engine:
            assert links(engine) == before
            assert str(engine.groups[0].settings.program) == "inc 1"
            engine.groups[0].set_program("inc 2")
    assert here.was_removed()
