"""The language tests of tests/lang/*.toml: several spellings, one program, one core text."""

from __future__ import annotations

import ipaddress
import tomllib
from pathlib import Path
from typing import Any

import pytest

import pfq.lang
from pfq.lang.compile import compile_text
from pfq.lang.jsonform import from_json, to_json
from pfq.lang.prims import PRIMS
from pfq.lang.prims.table import Table
from pfq.lang.show import show

BLOCKS = Path(__file__).parents[2] / "lang"
CASES = [case for file in sorted(BLOCKS.glob("*.toml")) for case in tomllib.loads(file.read_text())["case"]]


class Names(dict[str, Any]):
    """The eDSL's names, for evaluating Python spellings."""

    def __missing__(self, name: str) -> Any:
        return ipaddress if name == "ipaddress" else getattr(pfq.lang, name)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_spellings(case: dict[str, Any], table: Table) -> None:
    primitives = table if case.get("table") == "small" else PRIMS
    core = compile_text(case["core"], table=primitives)
    assert show(core) == case["core"]
    for text in case["same"]:
        assert compile_text(text, table=primitives) == core, text
    assert from_json(to_json(core), primitives) == core


@pytest.mark.parametrize("case", [case for case in CASES if "python" in case], ids=lambda case: case["name"])
def test_python_spellings(case: dict[str, Any]) -> None:
    for expression in case["python"]:
        made = eval(expression, {"__builtins__": {}}, Names())
        assert made.program() == compile_text(case["core"]), expression
        assert str(made) == case["core"]
