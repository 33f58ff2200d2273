"""The examples of the README and the manual that capture, on a device `eth0` with some traffic."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from root.network import Pair, eventually, is_running
from support.documents import Snippet, snippets
from support.frames import ethernet, ip4, tcp

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.usefixtures("nothing_left")]

FLOWS = [ethernet(ip4(tcp(1024 + flow, 80, payload=bytes(100)), 6), 0x0800) for flow in range(64)]
SECONDS = 30


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
