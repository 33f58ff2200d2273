"""`pfq functions` and `pfq probe`: commands that print tables."""

from __future__ import annotations

import json
import sys

import pytest
from support.captures import Run

from pfq.cli import output
from pfq.cli.probe import device_row, feature_row
from pfq.kernel.features import FEATURES
from pfq.lang.prims import PRIMS


def test_all_functions(run: Run) -> None:
    lines = run("functions").stdout.splitlines()
    assert lines[0].split() == ["name", "type", "meaning"]
    assert [line.split()[0] for line in lines[1:]] == list(PRIMS)


def test_search(run: Run) -> None:
    found = json.loads(run("functions", "-j", "-s", "STEER").stdout)
    assert {"steer_flow", "steer_p2p", "steer_rrobin", "steer_to"} <= {prim["name"] for prim in found}
    assert all("steer" in json.dumps(prim).lower() for prim in found)


def test_search_in_the_library(run: Run) -> None:
    names = [line.split()[1] for line in run("functions", "-s", "dns").stdout.splitlines() if line.startswith("name")]
    assert names == ["is_dns", "is_mdns", "dns", "mdns"]


def test_search_without_result(run: Run) -> None:
    done = run("functions", "--search", "blockchain")
    assert done.exit_code == 1
    assert "no primitive has `blockchain` in its name or meaning" in done.stderr


def test_probe(run: Run) -> None:
    done = run("probe")
    assert done.exit_code == 0
    assert done.stdout.startswith("kernel ")
    assert all(f"\n{name} " in done.stdout for name in FEATURES)
    assert "\nlo " in done.stdout


def test_probe_as_json(run: Run) -> None:
    found = json.loads(run("probe", "-j").stdout)
    assert [feature["name"] for feature in found["features"]] == list(FEATURES)
    loopback = next(device for device in found["devices"] if device["name"] == "lo")
    assert loopback["native_xdp"] in (None, [])
    assert loopback["mtu"] == 65_536


def test_rows() -> None:
    feature = {"name": "tcx", "since": "6.6", "missing": "EINVAL", "needed_for": "links", "remedy": "clsact"}
    assert feature_row(feature, sure=True) == ("tcx", "6.6", "no: EINVAL", "links", "clsact")
    assert feature_row(feature, sure=False) == ("tcx", "6.6", "not known", "links", "")
    assert feature_row(feature | {"missing": None}, sure=True) == ("tcx", "6.6", "yes", "links", "")
    device = {
        "name": "eth0", "driver": "ice", "mtu": 1500, "queues": 8, "up": True, "running": False,
        "xdp_program": {"id": 7, "mode": "native"}, "native_xdp": ["basic", "zero_copy"], "attach": ["a", "b"],
    }  # fmt: skip
    assert device_row(device) == (
        "eth0", "ice", "1500", "8", "up", "yes, zero copy", "program 7 (native)", "a, else b"
    )  # fmt: skip
    unknown = device | {"native_xdp": None, "xdp_program": None, "up": False}
    assert device_row(unknown)[4:7] == ("down", "not known", "free")


def test_plain_table(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_table("title", ("name", "meaning"), [("a", "first"), ("longer", "")])
    assert capsys.readouterr().out == "name    meaning\na       first\nlonger\n"


def test_table_on_a_terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    output.print_table("Features", ("name", "meaning"), [("a", "[bold]first")])
    shown = capsys.readouterr().out
    assert "Features" in shown
    assert "[bold]first" in shown
    assert "\x1b[1m" in shown
