"""A process that kills others of its kind: engines that die at a chosen step, and what the next one makes of it.

It runs in a network namespace of its own, where `pfqt-a` and `pfqt-b` are a veth pair. Everything is compiled once;
then one child after the other is forked, goes through all that an engine does, and kills itself after the n-th call
by which it changes anything outside of itself. This process takes over and looks at what it finds. The hook `move`
is for a program that moves from XDP to TC.
"""

from __future__ import annotations

import ctypes
import itertools
import json
import os
import shutil
import signal
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from root.network import eventually, numbered

from pfq.engine.egress import Egress
from pfq.engine.engine import Engine
from pfq.engine.store import Store
from pfq.errors import KernelRefusedError
from pfq.kernel import abi, attach, netlink
from pfq.kernel import sys as kernel_sys
from pfq.kernel.abi import Command
from pfq.kernel.programs import wait_for_running_programs
from pfq.kernel.sys import Kind

COUNTED = {
    Command.MAP_UPDATE_ELEM,
    Command.MAP_DELETE_ELEM,
    Command.OBJ_PIN,
    Command.LINK_CREATE,
    Command.LINK_UPDATE,
    Command.LINK_DETACH,
}
"""What other processes can see; a map or program that nobody has pinned is gone with its process."""
REQUESTS = {netlink.RTM_NEWQDISC, netlink.RTM_DELQDISC, netlink.RTM_NEWTFILTER, netlink.RTM_DELTFILTER}
FRAMES = 20


class Steps:
    """Counts calls that change something, and dies after one of them."""

    def __init__(self, last: int | None) -> None:
        self.count = 0
        self.names: list[str] = []
        self.last = last

    def after(self, name: str) -> None:
        self.count += 1
        self.names.append(name)
        if self.count == self.last:
            os.kill(os.getpid(), signal.SIGKILL)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Every change counts, whoever makes it."""
        before = kernel_sys._bpf, netlink.Netlink.request, os.replace, os.unlink, os.rmdir, os.mkdir

        def bpf(command: Command, attr: ctypes.Structure) -> int:
            result: int = before[0](command, attr)
            if command in COUNTED:
                self.after(command.name)
            return result

        def request(link: netlink.Netlink, kind: int, *args: Any) -> None:
            before[1](link, kind, *args)
            if kind in REQUESTS:
                self.after(f"netlink {kind}")

        def counted(function: Callable[..., Any]) -> Callable[..., Any]:
            def call(*args: Any, **named: Any) -> Any:
                result = function(*args, **named)
                self.after(function.__name__)
                return result

            return call

        kernel_sys._bpf = bpf
        netlink.Netlink.request = request  # type: ignore[method-assign, assignment]
        os.replace, os.unlink, os.rmdir, os.mkdir = map(counted, before[2:])
        try:
            yield
        finally:
            kernel_sys._bpf, netlink.Netlink.request = before[:2]  # type: ignore[method-assign]
            os.replace, os.unlink, os.rmdir, os.mkdir = before[2:]


class Scene:
    """Where it all happens."""

    def __init__(self, hook: Any) -> None:
        self.hook = hook
        self.options: dict[str, Any] = {"hook": "auto", "binding": "inline"} if hook == "move" else {"hook": hook}
        self.folder = Path(tempfile.mkdtemp(prefix="pfqt"))
        self.pins = Path(f"/sys/fs/bpf/pfqt{os.getpid()}")
        self.state = self.folder / "state"
        self.sender = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self.sender.bind(("pfqt-a", 0))
        self.index = socket.if_nametoindex("pfqt-b")
        self._numbers = itertools.count()

    def engine(self) -> Engine:
        return Engine(store=Store(self.pins, self.state))

    def life(self, steps: Steps) -> None:
        """All that an engine does."""
        with steps.watching():
            engine = self.engine()
            first = engine.group(0)
            first.bind("pfqt-b", **self.options)
            first.set_program('inc 0 >-> flow_inc key_5tuple 64 60 >-> when (addr_in "10.0.0.0/8") unit >-> steer_flow')
            one = engine.endpoint(snaplen=64, slots=64)
            first.join(one)
            two = engine.endpoint(snaplen=64, slots=64, tag="two")
            first.join(two)
            two.weight = 3
            if self.hook == "move":
                first.join(engine.endpoint(egress=Egress("lo")))
            first.set_program("inc 0 >-> broadcast")
            second = engine.group(5, held=True)
            second.set_filter("ip")
            second.bind("pfqt-b", **self.options)
            second.join(two)
            second.set_vlans([0])
            first.leave(two)
            two.close()
            second.unbind("pfqt-b")
            second.bind("pfqt-b", direction="out" if self.hook in ("tcx", "clsact") else "in", **self.options)
            second.close()
            first.leave(one)
            engine.close()

    def die(self, step: int) -> bool:
        """A child lives until a step; whether it got that far."""
        child = os.fork()
        if child == 0:
            try:
                self.life(Steps(step))
            finally:
                os._exit(0)
        _, status = os.waitpid(child, 0)
        return os.WIFSIGNALED(status)

    def look(self) -> list[str]:
        """What is wrong with what a dead engine has left."""
        wrong = []
        engine = self.engine()
        try:
            store = engine.keeper
            assert isinstance(store, Store)
            if (there := store._pins.names()) != store._live:
                wrong.append(f"pins {sorted(there ^ store._live)}")
            wrong += self._attached(engine)
            wrong += self._works(engine)
            wrong += self._attached(engine)
        finally:
            engine.close()
        if self.pins.exists() or any(self.folder.iterdir()):
            wrong.append(f"after the end: {self.pins.exists()} {list(self.folder.iterdir())}")
        return wrong

    def _attached(self, engine: Engine) -> list[str]:
        """Each side of the device has one program of ours, and nobody else has any."""
        links = {number for number in kernel_sys.ids(Kind.LINK) if device_of(number) == self.index}
        ours = {s.attachment.id for s in engine.sides.values() if isinstance(s.attachment, attach.Link)}
        found = [] if links == ours else [f"links {links}, but the engine has {ours}"]
        wanted = {key for group in engine.groups.values() for key in group.sides()}
        if engine.sides.keys() != wanted:
            found.append(f"programs for {engine.sides.keys()}, but wanted are {wanted}")
        sides = engine.sides.values()
        off = [side.name for side in sides if side.attachment is None or not side.attachment.info().alive]
        return [*found, *(f"{name} is not attached" for name in off)]

    def _works(self, engine: Engine) -> list[str]:
        """Packets are seen once, and everything can be changed."""
        found = []
        if 0 in engine.groups and engine.groups[0].sides():
            found += self._seen(engine, 0, "found")
        group = engine.group(0)
        group.bind("pfqt-b", **self.options)
        group.set_program("inc 1 >-> broadcast")
        group.set_filter(None)
        member = engine.endpoint(snaplen=64, slots=64)
        group.join(member)
        selected = {each.number: each.statistics().selected for each, _ in group.members.values()}
        found += self._seen(engine, 0, "changed")
        for each, _ in group.members.values():
            if each.statistics().selected != selected[each.number] + FRAMES:
                found.append(
                    f"end-point {each.number} got {each.statistics().selected - selected[each.number]} packets"
                )
        group.set_program("inc 2 >-> steer_flow")
        found += self._seen(engine, 0, "swapped")
        for each in list(engine.endpoints.values()):
            each.close()
        return found

    def _seen(self, engine: Engine, number: int, when: str) -> list[str]:
        before = engine.groups[number].statistics()
        for _ in range(FRAMES):
            self.sender.send(numbered(next(self._numbers)))
        eventually(lambda: engine.groups[number].statistics().arrived >= before.arrived + FRAMES, 0.5)
        wait_for_running_programs()
        after = engine.groups[number].statistics()
        count = after.arrived - before.arrived
        return [] if count == FRAMES else [f"{when}: group {number} saw {count} of {FRAMES} packets"]

    def close(self) -> None:
        self.sender.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def device_of(link: int) -> int:
    """The device of a link, by a number that no other device of the machine has; 0 when the link is gone."""
    try:
        with kernel_sys.fd_by_id(Kind.LINK, link) as fd:
            return int(kernel_sys.info(fd.fileno(), abi.LinkInfo).ifindex)
    except KernelRefusedError:
        return 0


def main(hook: str, part: int, parts: int) -> None:
    """Prints as JSON how many steps there are, after how many of them a process died, and what was wrong by step."""
    scene = Scene(hook)
    scene.life(Steps(None))  # compiles
    every = Steps(None)
    scene.life(every)
    with scene.engine() as warm:
        scene._works(warm)
    wrong: dict[str, list[str]] = {}
    died = 0
    for step in range(1 + part, every.count + 1, parts):
        died += scene.die(step)
        try:
            found = scene.look()
        except Exception as error:
            found = [f"{type(error).__name__}: {error}"]
            Store(scene.pins, scene.state).remove()
        if found:
            wrong[f"{step} {every.names[step - 1]}"] = found
    scene.close()
    print(json.dumps({"steps": every.count, "died": died, "wrong": wrong}), flush=True)
