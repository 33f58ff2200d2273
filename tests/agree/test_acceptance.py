"""V3: every program that is well typed is loaded by the kernel, or refused by the compiler with a place in its text."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from support.acceptance import compiled, filters_of_groups, refusals
from support.compositions import HIGHER, drawn, examples, pairs

from pfq.codegen.spec import Hook
from pfq.kernel.maps import possible_cpus
from pfq.lang.program import Program

pytestmark = pytest.mark.agree

DRAWN = 200
HOOKS = ((Hook.XDP, 1), (Hook.TC_INGRESS, 8), (Hook.TC_EGRESS, 16))
"""Hooks, with how many of the programs are tried there: one in so many."""


def check(programs: Iterable[Program]) -> None:
    refused = refusals(compiled(programs, HOOKS, possible_cpus()))
    assert not refused, "\n\n".join(refused)


def test_V3_examples() -> None:
    check(examples())


@pytest.mark.slow
@pytest.mark.parametrize("outer", HIGHER)
def test_V3_one_primitive_in_another(outer: str) -> None:
    check(pairs(outer))


@pytest.mark.slow
def test_V3_random_programs() -> None:
    check(drawn(DRAWN))


@pytest.mark.slow
def test_V3_filters_of_groups() -> None:
    refused = refusals(filters_of_groups([hook for hook, _ in HOOKS], possible_cpus()))
    assert not refused, "\n\n".join(refused)
