from __future__ import annotations

import pytest

from pfq.columns.packages import package
from pfq.errors import MachineError


def test_a_package_that_is_there() -> None:
    assert package("json", "nothing").loads("1") == 1


def test_a_package_that_is_missing() -> None:
    with pytest.raises(MachineError, match="needs the Python package `no_such_package`") as caught:
        package("no_such_package", "polars")
    assert caught.value.hint == 'pip install "pfq[polars]"'
