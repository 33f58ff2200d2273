"""Errors of Python expressions show where in the user's file they were written."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pfq.errors import PfqError
from pfq.lang import addr, drop, has_port, ip, ip_ttl, is_tcp, keep, port, tcp, to_program, when


@pytest.mark.parametrize(
    ("make", "place"),
    [
        (lambda: ip >> is_tcp >> tcp, "ip >> is_tcp"),
        (lambda: ip >> port(70000) >> tcp, "port(70000)"),
        (lambda: "é" and keep(addr("10.0.0.0/33")), 'addr("10.0.0.0/33")'),
        (lambda: when(tcp, drop), "when(tcp, drop)"),
        (lambda: ip_ttl < "5", 'ip_ttl < "5"'),
        (lambda: ~ip, "~ip"),
        (lambda: is_tcp | tcp, "is_tcp | tcp"),
        (lambda: is_tcp and tcp, "is_tcp and tcp"),
        (lambda: has_port == 80, "has_port == 80"),
        (lambda: ip(), "ip()"),
        (lambda: port(), "port()"),
        (lambda: is_tcp.program(), "is_tcp.program()"),
        (lambda: to_program(is_tcp), "to_program(is_tcp)"),
    ],
)  # fmt: skip
def test_the_wrong_expression_is_marked(make: Callable[[], object], place: str) -> None:
    with pytest.raises(PfqError) as caught:
        make()
    span = caught.value.span
    assert span is not None
    assert (span.source.name, span.text) == (__file__, place)


def test_an_expression_over_several_lines() -> None:
    with pytest.raises(PfqError) as caught:
        (ip
         >> is_tcp
         >> tcp)  # fmt: skip
    assert caught.value.span is not None
    assert caught.value.span.text.split() == ["ip", ">>", "is_tcp"]


def test_errors_in_a_text_keep_their_place() -> None:
    with pytest.raises(PfqError) as caught:
        to_program("ip >-> is_tcp")
    assert str(caught.value.span) == "<program>:1:8"


SCRIPT = "from pfq.lang import ip, is_tcp\n\n\ndef build():\n    return ip >> is_tcp\n\n\nbuild()\n"


@pytest.mark.parametrize(
    ("options", "carets"), [((), "ip >> is_tcp"), (("-X", "no_debug_ranges"), "return ip >> is_tcp")]
)
def test_a_script(tmp_path: Path, options: tuple[str, ...], carets: str) -> None:
    path = tmp_path / "edge.py"
    path.write_text(SCRIPT)
    done = subprocess.run([sys.executable, *options, path], capture_output=True, text=True, check=False)
    lines = done.stderr.splitlines()
    at = next(at for at, line in enumerate(lines) if line.startswith("pfq.errors.TypeMismatchError"))
    assert f"{path}:5:" in lines[at]
    marked = lines[at + 2].index("^")
    assert lines[at + 1][marked : marked + lines[at + 2].count("^")].strip() == carets


def test_an_interactive_session_has_no_file() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False)
    assert "\npfq.errors.TypeMismatchError: error[PFQ104]: what follows `>>` must be an action" in done.stderr
