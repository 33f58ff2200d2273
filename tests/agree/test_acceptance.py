"""V3: every program that is well typed is loaded by the kernel, or refused by the compiler with a place in its text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

import pytest
from support.acceptance import Compiled, Refused, compiled, refusals
from support.compositions import HIGHER, drawn, examples, pairs

from pfq.codegen.spec import Hook
from pfq.kernel.maps import possible_cpus
from pfq.lang.prims import PRIMS
from pfq.lang.program import Program

pytestmark = pytest.mark.agree

DRAWN = 200
HOOKS = ((Hook.XDP, 1), (Hook.TC_INGRESS, 8), (Hook.TC_EGRESS, 16))
"""Hooks, with how many of the programs are tried there: one in so many."""


def objects(programs: Iterable[Program]) -> Iterator[Compiled]:
    """The programs at the hooks; at XDP for frames in one buffer and for others by turns."""
    for number, program in enumerate(programs):
        for hook, one_in in HOOKS:
            if number % one_in == 0:
                yield compiled(program, hook, possible_cpus(), linear=number % 2 == 0)


def check(programs: Iterable[Program]) -> None:
    refused = refusals(objects(programs))
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
