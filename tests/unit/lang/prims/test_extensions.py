"""Primitives of installed packages: found late, checked, and harmless when they are broken."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib import metadata
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from support.packages import ROW, install

from pfq.errors import ExtensionError, UnknownNameError
from pfq.lang.compile import compile_text
from pfq.lang.prims import extensions
from pfq.lang.prims.table import OpenTable, Prim

_serial = count()


@pytest.fixture
def name() -> str:
    """A name of a package that no other test has imported."""
    return f"pfq-foreign{next(_serial)}"


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for packages, the only one where any is looked for."""
    monkeypatch.setattr(
        extensions,
        "entry_points",
        lambda group: [
            entry
            for package in metadata.distributions(path=[str(tmp_path)])
            for entry in package.entry_points
            if entry.group == group
        ],
    )
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def built_in(name: str, *aliases: str) -> Prim:
    return Prim(
        name=name,
        type="Packet -> Action Packet",
        doc="Passes.",
        run=lambda m: True,
        lower=lambda e: None,
        example=name,
        aliases=aliases,
    )


@pytest.fixture
def table() -> OpenTable:
    made = OpenTable("pfq.primitives")
    made.add(built_in("tcp", "segment"), built_in("unit"))
    return made


@pytest.fixture
def closed(monkeypatch: pytest.MonkeyPatch, table: OpenTable) -> OpenTable:
    """A table that must not look for packages."""

    def refuse(*_: Any) -> Any:
        pytest.fail("packages were looked for")

    monkeypatch.setattr(extensions, "installed", refuse)
    return table


def test_rows_of_packages_are_found_behind_those_that_are_built_in(site: Path, table: OpenTable, name: str) -> None:
    install(
        site,
        name,
        {"more": f"{name.replace('-', '_')}:ROWS"},
        ROW + "ROWS = row('sctp', aliases=('chunk',)), row('dccp')",
    )
    assert table["sctp"] is table["chunk"]
    assert table["sctp"].name == "sctp"
    assert "dccp" in table
    assert list(table) == ["tcp", "unit", "sctp", "dccp"]
    assert len(table) == 4
    assert table.names() == ("tcp", "unit", "segment", "sctp", "dccp", "chunk")
    assert table.broken() == ()
    assert table.why_missing() is None
    assert compile_text("dccp >-> tcp", table=table).main.calls == (
        *compile_text("dccp", table=table).main.calls,
        *compile_text("tcp", table=table).main.calls,
    )


def test_an_unknown_name_is_unknown(site: Path, table: OpenTable) -> None:
    assert "sctp" not in table
    with pytest.raises(KeyError):
        table["sctp"]
    with pytest.raises(UnknownNameError, match="unknown name `sctp`"):
        compile_text("sctp", table=table)


def test_names_that_are_built_in_are_found_without_looking_for_packages(closed: OpenTable) -> None:
    assert closed["tcp"] is closed["segment"]
    assert "tcp" in closed
    compile_text("main = mine >-> segment\n  where mine = tcp", table=closed)
    with pytest.raises(ValueError, match="primitive `tcp` is in the table already"):
        closed.add(built_in("tcp"))
    closed.add(built_in("udp"))


@pytest.mark.parametrize("name", ["not_", "edge.pfq", "-", "", "_x", "Lib", "a'", "stra\u00dfe", 5])
def test_what_no_package_may_use_is_missed_without_looking_for_packages(closed: OpenTable, name: Any) -> None:
    assert name not in closed
    with pytest.raises(KeyError):
        closed[name]


def test_packages_are_looked_for_once(site: Path, table: OpenTable, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "sctp" not in table
    monkeypatch.setattr(extensions, "installed", lambda *_: pytest.fail("again"))
    assert "sctp" not in table
    assert len(table) == 2


BROKEN = {
    "no such module": (None, "ModuleNotFoundError: No module named"),
    "fails": ("raise RuntimeError('not today')", "RuntimeError: not today"),
    "no such attribute": ("", "has no attribute 'ROWS'"),
    "a number": ("ROWS = 5", ":ROWS` is not a sequence of `Prim`"),
    "a generator": (ROW + "ROWS = (row(n) for n in 'ab')", ":ROWS` is not a sequence of `Prim`"),
    "other things": (ROW + "ROWS = [row('a'), 'b']", ":ROWS` is not a sequence of `Prim`"),
    "built in": (ROW + "ROWS = [row('a'), row('tcp')]", "its primitive `tcp` cannot be called `tcp`: something"),
    "alias": (ROW + "ROWS = [row('a', aliases=('segment',))]", "`a` cannot be called `segment`: something"),
    "twice": (ROW + "ROWS = [row('a'), row('b', aliases=('a',))]", "its primitive `b` cannot be called `a`: something"),
    "constant": (ROW + "ROWS = [row('key_ip_src')]", "cannot be called `key_ip_src`: something else has that name"),
    "capital": (ROW + "ROWS = [row('Sctp')]", "cannot be called `Sctp`: names begin with a small letter"),
    "underscore": (ROW + "ROWS = [row('sctp_')]", "cannot be called `sctp_`: names begin with a small letter"),
    "keyword": (ROW + "ROWS = [row('where')]", "cannot be called `where`: names begin with a small letter"),
    "not a text": (ROW + "ROWS = [row(5)]", "its primitive `5` cannot be called `5`"),
    "type": (ROW + "ROWS = [row('a', 'Word17 -> Packet -> Bool')]", "`a` has no type that a primitive can have"),
    "result": (ROW + "ROWS = [row('a', 'Word16')]", "`a` has no type that a primitive can have: `Word16`"),
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_package_is_left_out_whole_and_named(site: Path, table: OpenTable, name: str, case: str) -> None:
    code, reason = BROKEN[case]
    module = name.replace("-", "_")
    install(site, name, {"more": f"{module}:ROWS"}, code, version="2.3")
    install(site, f"{name}-sound", {"sound": f"{module}_sound:ROWS"}, ROW + "ROWS = [row('sound')]")
    assert list(table) == ["tcp", "unit", "sound"]
    (fault,) = table.broken()
    assert isinstance(fault, ExtensionError)
    assert fault.message.startswith(
        f"the primitives `more = {module}:ROWS` of the package `{name}` 2.3 cannot be used: "
    )
    assert reason in fault.message
    assert fault.hint == "repair or remove that package; all other primitives work without it"


def test_a_name_that_a_broken_package_may_have(site: Path, table: OpenTable, name: str) -> None:
    install(site, name, {"more": "pfq_gone:ROWS"})
    assert "sctp" not in table
    assert table["tcp"].name == "tcp"
    with pytest.raises(ExtensionError) as caught:
        table["sctp"]
    assert caught.value.message == f"`sctp` is not built in, and {table.broken()[0].message}"
    assert f"`more = pfq_gone:ROWS` of the package `{name}` 1.0" in caught.value.message


def test_of_two_packages_with_one_name_the_first_entry_point_wins(site: Path, table: OpenTable, name: str) -> None:
    module = name.replace("-", "_")
    install(site, name, {"b": f"{module}:ROWS"}, ROW + "ROWS = [row('sctp')]")
    install(site, f"{name}-other", {"a": f"{module}_other:ROWS"}, ROW + "ROWS = [row('dccp'), row('sctp')]")
    assert list(table) == ["tcp", "unit", "dccp", "sctp"]
    assert f"of the package `{name}` 1.0 cannot be used: its primitive `sctp` cannot" in table.broken()[0].message


def test_a_package_may_ask_the_table_while_it_is_imported(
    site: Path, table: OpenTable, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pfq.lang.prims.PRIMS", table)
    code = ROW + "from pfq.lang.prims import PRIMS\nROWS = [row('sctp' if 'dccp' not in PRIMS else 'wrong')]"
    install(site, name, {"more": f"{name.replace('-', '_')}:ROWS"}, code)
    assert list(table) == ["tcp", "unit", "sctp"]
    assert table.broken() == ()


def test_a_row_added_later_wins(site: Path, table: OpenTable, name: str) -> None:
    install(site, name, {"more": f"{name.replace('-', '_')}:ROWS"}, ROW + "ROWS = [row('sctp')]")
    assert "sctp" in table
    ours = built_in("sctp")
    table.add(ours)
    assert table["sctp"] is ours
    assert list(table) == ["tcp", "unit", "sctp"]
    assert "something else has that name" in table.broken()[0].message


def test_a_damaged_list_of_packages(table: OpenTable, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(group: str) -> Any:
        raise ValueError("no value")

    monkeypatch.setattr(extensions, "entry_points", fail)
    assert list(table) == ["tcp", "unit"]
    assert table.why_missing() == (
        "the list of installed packages, which may add primitives, cannot be read: ValueError: no value"
    )


def run(code: str, *paths: Path) -> Any:
    """What an interpreter of its own prints as JSON."""
    path = os.pathsep.join([*map(str, paths), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-c", f"import json, sys\n{code}"]
    done = subprocess.run(command, env=os.environ | {"PYTHONPATH": path}, check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


PROGRAMS = {
    "import": "import pfq.lang.prims",
    "text": "from pfq.lang import compile_text; compile_text('main = mine >-> par3 ip tcp udp where mine = drop')",
    "Python": "from pfq.lang import ip, not_, is_ip, keep; ip >> keep(not_(is_ip))",
    "JSON": "from pfq.lang import compile_text, from_json, to_json; from_json(to_json(compile_text('shift ip')))",
}


@pytest.mark.parametrize("code", PROGRAMS.values(), ids=list(PROGRAMS))
def test_programs_of_built_in_primitives_need_no_package(code: str) -> None:
    loaded = run(f"{code}\nprint(json.dumps(sorted(sys.modules)))")
    assert "pfq.lang.prims.table" in loaded
    assert {"pfq_voip", "importlib.metadata", "pfq.lang.prims.extensions"}.isdisjoint(loaded)


def test_the_primitives_of_telephony_come_with_pfq() -> None:
    code = """
from pfq.lang.prims import PRIMS
before = "pfq_voip" in sys.modules
from pfq.lang import compile_text
program = compile_text("rtp >-> steer_rtp")
print(json.dumps([before, str(program), PRIMS["is_sip"].family, PRIMS.broken() == ()]))
"""
    assert run(code) == [False, "rtp >-> steer_rtp", "predicate", True]


def test_a_broken_package_does_not_harm_programs_of_others(tmp_path: Path) -> None:
    install(tmp_path, "pfq-broken", {"more": "pfq_broken:ROWS"}, "import pfq_gone")
    code = """
from pfq.lang import compile_text
from pfq.lang.prims import PRIMS
programs = [str(compile_text(text)) for text in ("ip >-> tcp", "rtp")]
print(json.dumps([programs, [fault.message for fault in PRIMS.broken()]]))
"""
    programs, faults = run(code, tmp_path)
    assert programs == ["ip >-> tcp", "rtp"]
    assert faults == [
        "the primitives `more = pfq_broken:ROWS` of the package `pfq-broken` 1.0 cannot be used: "
        "ModuleNotFoundError: No module named 'pfq_gone'"
    ]
