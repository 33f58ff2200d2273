"""Names of our filters tell who made them."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace

import pytest

from pfq.kernel.clsact import Owner


def test_the_name_is_read_back() -> None:
    owner = Owner.myself(made_qdisc=True)
    assert Owner.parse(str(owner)) == owner
    assert owner.pid == os.getpid()


@pytest.mark.parametrize("name", ["", "pfq", "pfq:1:2:3", "cil_from_netdev", "xpfq:1:2:3:1", "pfq:1:2:3:1x"])
def test_names_of_others(name: str) -> None:
    assert Owner.parse(name) is None


def test_this_process_lives() -> None:
    assert not Owner.myself(False).is_dead()


def test_a_process_that_has_ended_is_dead() -> None:
    with subprocess.Popen(["true"]) as child:
        pass
    assert replace(Owner.myself(False), pid=child.pid).is_dead()


def test_a_later_process_with_the_same_number_is_another_one() -> None:
    owner = Owner.myself(False)
    assert replace(owner, started=owner.started - 1).is_dead()


def test_a_process_of_another_pid_namespace_counts_as_alive() -> None:
    owner = Owner.myself(False)
    assert not replace(owner, started=0, pid_namespace=owner.pid_namespace + 1).is_dead()
