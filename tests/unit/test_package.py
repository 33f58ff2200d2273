"""`import pfq` is cheap, and its public names are these."""

from __future__ import annotations

import subprocess
import sys

import pytest

import pfq

EXPENSIVE = ("numpy", "llvmlite", "click", "rich", "elftools", "pyroute2", "cffi")


def modules_after(code: str) -> set[str]:
    """What an interpreter of its own has loaded after the code."""
    script = f"{code}\nimport sys\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "code",
    [
        "import pfq",
        "from pfq.lang import ip, steer_flow\nip >> steer_flow",
        "from pfq.lang import compile_text\ncompile_text('ip >-> steer_flow')",
    ],
    ids=["pfq", "python expression", "text"],
)
def test_importing_costs_no_third_party(code: str) -> None:
    loaded = modules_after(code)
    assert "pfq" in loaded
    assert loaded.isdisjoint(EXPENSIVE)


def test_the_public_names() -> None:
    things = ["Capture", "Egress", "Engine", "FileReader", "PfqError", "Run", "__version__"]
    verbs = ["addresses", "capture", "connect", "flows", "read", "run", "sql"]
    assert pfq.__all__ == [*things, *verbs]
    assert dir(pfq) == sorted(pfq.__all__)


def test_capture_is_the_class_under_the_name_of_a_verb() -> None:
    assert pfq.capture is pfq.Capture
    assert pfq.Capture.__module__ == "pfq.engine.capture"
    assert issubclass(pfq.PfqError, Exception)


def test_the_version_is_that_of_the_distribution() -> None:
    from importlib.metadata import version

    assert pfq.__version__ == version("pfq")


def test_an_unknown_name() -> None:
    with pytest.raises(AttributeError, match="module `pfq` has no attribute `captrue`"):
        _ = pfq.captrue


def test_primitives_are_names_of_the_language() -> None:
    from pfq import lang

    assert str(lang.not_(lang.is_ip)) == "not is_ip"
    with pytest.raises(AttributeError, match="pfq-lang has no `steer_flwo`; did you mean `steer_flow`"):
        _ = lang.steer_flwo
