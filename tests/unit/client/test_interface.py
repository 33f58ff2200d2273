"""The engine in the daemon is used as one in this process: the two interfaces cannot drift apart."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pfq.client.endpoint import RemoteEndpoint
from pfq.client.engine import RemoteEngine
from pfq.client.group import RemoteGroup
from pfq.engine.endpoint import Endpoint
from pfq.engine.engine import Engine
from pfq.engine.group import Group

PAIRS = [(Engine, RemoteEngine), (Group, RemoteGroup), (Endpoint, RemoteEndpoint)]

ONLY_LOCAL = {"configure", "stop"}
"""Whole configurations, and taking all programs off their devices, are the daemon's business."""

DAEMONS = {"by", "owner", "tag", "held", "mtu", "keep"}
"""Parameters that say who asks, which the daemon sees for itself, and what it keeps for itself."""

MANUAL = Path(__file__).parents[3] / "docs/python.md"


def documented(cls: type) -> set[str]:
    """The members that the manual has of a class."""
    (members,) = re.findall(
        rf"autoclass:: {cls.__module__}\.{cls.__name__}\n   :members: (.+)", MANUAL.read_text(encoding="utf-8")
    )
    return set(members.split(", "))


def parameters(method: Any) -> list[tuple[str, Any, Any]]:
    found = inspect.signature(method).parameters.values()
    return [(each.name, each.kind, each.default) for each in found if each.name not in DAEMONS]


@pytest.mark.parametrize(("local", "remote"), PAIRS)
def test_what_the_manual_says_of_one_class_holds_for_the_other(local: type, remote: type) -> None:
    names = documented(local) - ONLY_LOCAL
    assert len(names) >= 5
    for name in names:
        here, there = inspect.getattr_static(local, name), inspect.getattr_static(remote, name, None)
        assert type(here) is type(there), f"{remote.__name__}.{name}"
        if isinstance(here, property):
            assert (here.fset is None) == (there.fset is None), name
        else:
            assert parameters(here) == parameters(there), name


@pytest.mark.parametrize(("local", "remote"), PAIRS)
def test_a_remote_class_has_nothing_of_its_own(local: type, remote: type) -> None:
    """But for what a daemon can tell, and a connection."""
    more = {name for name in vars(remote) if not name.startswith("_")} - documented(local)
    assert more <= {"listed", "status"}


def test_clients_need_neither_compiler_nor_privilege() -> None:
    code = "import sys, pfq.client, pfq.lang.edsl, pfq.lang.jsonform; print([n for n in HEAVY if n in sys.modules])"
    heavy = [
        "llvmlite",
        "elftools",
        "click",
        "rich",
        "pfq.codegen.llvm",
        "pfq.engine.engine",
        "pfq.engine.bindings",
        "pfq.daemon",
    ]
    done = subprocess.run(
        [sys.executable, "-c", f"HEAVY = {heavy}\nimport sys; sys.path[:0] = {sys.path}\n{code}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "[]\n"
