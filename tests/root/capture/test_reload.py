"""Files of prefixes that are read again while a program runs."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from root.capture.harness import opened, send, settled, udp4
from root.network import Pair, eventually

from pfq.errors import LiteralError
from pfq.lang.compile import compile_file

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("nothing_left")]

FIRST, SECOND = bytes((10, 7, 0, 1)), bytes((10, 7, 0, 2))


def frame(source: bytes) -> bytes:
    return udp4(source, bytes((10, 7, 1, 1)), (1000, 53), bytes(20))


def test_a_set_follows_its_file_when_told(netns_pair: Pair, tmp_path: Path) -> None:
    file = tmp_path / "sources.txt"
    file.write_text("10.7.0.1\n")
    with opened(netns_pair, f'when (src_addr_in "{file}") (inc 0)') as capture, netns_pair.sender() as sender:
        send(sender, [frame(FIRST), frame(SECOND), frame(SECOND)])
        assert settled(capture, 3).groups[0].counters[0] == 1
        assert capture.reload_sets() == []
        file.write_text("10.7.0.2\n")
        assert capture.reload_sets() == [str(file)]
        send(sender, [frame(FIRST), frame(SECOND), frame(SECOND)])
        assert settled(capture, 6).groups[0].counters[0] == 1 + 2
        file.write_text("10.7.0.x\n")
        with pytest.raises(LiteralError, match=r"sources.txt, line 1"):
            capture.reload_sets()
        send(sender, [frame(SECOND)])
        assert settled(capture, 7).groups[0].counters[0] == 1 + 2 + 1


def test_files_of_one_name_in_two_folders_are_two(netns_pair: Pair, tmp_path: Path) -> None:
    """Programs that look alike at the start share their code, but each follows its own file."""
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "sources.txt").write_text("10.7.0.1\n")
        (tmp_path / folder / "main.pfq").write_text('main = when (src_addr_in "sources.txt") (inc 0)\n')
    opened(netns_pair, compile_file(tmp_path / "x" / "main.pfq")).close()
    with opened(netns_pair, compile_file(tmp_path / "y" / "main.pfq")) as capture, netns_pair.sender() as sender:
        (tmp_path / "x" / "sources.txt").write_text("10.7.0.9\n")
        assert capture.reload_sets() == []
        (tmp_path / "y" / "sources.txt").write_text("10.7.0.2\n")
        assert capture.reload_sets() == ["sources.txt"]
        send(sender, [frame(FIRST), frame(SECOND), frame(SECOND)])
        assert settled(capture, 3).groups[0].counters[0] == 2


def test_reading_again_undoes_a_replacement(netns_pair: Pair, tmp_path: Path) -> None:
    file = tmp_path / "sources.txt"
    file.write_text("10.7.0.1\n")
    with opened(netns_pair, f'when (src_addr_in "{file}") (inc 0)') as capture, netns_pair.sender() as sender:
        capture.replace_set(str(file), ["10.7.0.2"])
        assert capture.reload_sets() == [str(file)]
        send(sender, [frame(FIRST), frame(SECOND), frame(SECOND)])
        assert settled(capture, 3).groups[0].counters[0] == 1


def test_the_command_line_reads_files_again_on_a_signal(netns_pair: Pair, tmp_path: Path) -> None:
    file = tmp_path / "sources.txt"
    file.write_text("10.7.0.1\n")
    code = f"import sys; sys.path[:0] = {sys.path!r}; from pfq.cli import main; main()"
    program = f'filter (src_addr_in "{file}")'
    command = netns_pair.b.command(sys.executable, "-c", code, "capture", "-i", netns_pair.dev_b, "-l", "-P", program)
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process,
        netns_pair.sender() as sender,
    ):
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stderr.readline().startswith("listening on")
        process.stderr.readline()
        send(sender, [frame(SECOND), frame(FIRST)])
        assert "10.7.0.1.1000 > " in process.stdout.readline()
        file.write_text("10.7.0.2\n")
        process.send_signal(signal.SIGUSR2)
        assert process.stderr.readline() == f"read again: {file}\n"
        send(sender, [frame(FIRST), frame(SECOND)])
        assert "10.7.0.2.1000 > " in process.stdout.readline()
        file.unlink()
        process.send_signal(signal.SIGUSR2)
        assert re.match(r"error\[PFQ113\]: cannot read .*sources.txt", process.stderr.readline())
        process.send_signal(signal.SIGINT)
        assert eventually(lambda: process.poll() is not None, 10)
        assert process.returncode == 0
