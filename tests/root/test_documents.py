"""The examples of the README and the manual that need root: those in Python on a device `eth0` with some traffic, the
terminal sessions of root as they stand, and the XDP programs in C."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from root.network import Namespace, Pair, eventually, is_running, namespace
from support import examples_in_c
from support.documents import Snippet, snippets
from support.frames import ethernet, ip4, tcp
from support.terminal import commands, lay_out, needs_root, run

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.usefixtures("nothing_left")]

FLOWS = [ethernet(ip4(tcp(1024 + flow, 80, payload=bytes(100)), 6), 0x0800) for flow in range(64)]
SECONDS = 30
TRIES = 3

SESSIONS = [session for session in snippets("console") if needs_root(session)]
CAPTURES = [session for session in SESSIONS if "pfq capture" in session.code]


@contextmanager
def web_traffic(pair: Pair) -> Iterator[None]:
    """64 flows of TCP from `a` to `b`, some thousand packets in a second, until the block ends."""
    stop = threading.Event()

    def pump() -> None:
        while not stop.is_set():
            sender.send(FLOWS)
            time.sleep(0.01)

    with pair.sender() as sender:
        thread = threading.Thread(target=pump)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some examples write a file."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def eth0(netns_pair: Pair) -> Pair:
    """The pair, with its end in `b` called as in the documents."""
    for words in (("down",), ("name", "eth0"), ("up",)):
        netns_pair.b.run("ip", "link", "set", "eth0" if words == ("up",) else netns_pair.dev_b, *words)
    assert eventually(lambda: is_running(netns_pair.b, "eth0"))
    return netns_pair


@pytest.mark.parametrize("snippet", [snippet for snippet in snippets("python") if snippet.captures], ids=str)
def test_examples_that_capture(snippet: Snippet, eth0: Pair) -> None:
    with web_traffic(eth0), eth0.b.python(snippet.code) as process:
        try:
            said, _ = process.communicate(timeout=SECONDS)
        except subprocess.TimeoutExpired:
            pytest.fail(f"{snippet} did not end within {SECONDS} s")
    assert process.returncode == 0
    if "print(" in snippet.code:
        assert said


@pytest.fixture
def lab() -> Iterator[Namespace]:
    with namespace("lab") as lab:
        yield lab


@pytest.mark.parametrize("session", CAPTURES, ids=str)
def test_sessions_print_what_is_shown(session: Snippet, lab: Namespace, tmp_path: Path) -> None:
    """After those that make the devices of the page. The sender does not wait for a slow capture, so try again."""
    lay_out(session, tmp_path)
    for before in SESSIONS:
        if before.page == session.page and before not in CAPTURES:
            assert run(commands(before), tmp_path, lab.command()) == ["" for _ in commands(before)]
    for _ in range(TRIES):
        printed = [text.replace("(clsact)", "(tcx)") for text in run(commands(session), tmp_path, lab.command())]
        if all(command.gives(text) for command, text in zip(commands(session), printed, strict=True)):
            return
    pytest.fail("\n".join(printed))


@pytest.mark.parametrize("program", examples_in_c.PROGRAMS)
def test_programs_in_c_load(program: str, lab: Namespace, tmp_path: Path) -> None:
    if (why := examples_in_c.missing()) is not None:
        pytest.skip(why)
    path = examples_in_c.compiled(tmp_path)
    lab.run("ip", "link", "set", "lo", "xdpgeneric", "object", str(path), "program", program)
    assert program in lab.run("ip", "-d", "link", "show", "lo")
