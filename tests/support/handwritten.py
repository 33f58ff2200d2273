"""The programs of the benchmark, in pfq-lang and in C, for tests."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2] / "bench"))

from clang import compiled, compiler  # noqa: E402
from programs import Case, cases  # noqa: E402
from trial import TABLE, TIME_NS, Decision, InC, Ours  # noqa: E402

__all__ = ["TABLE", "TIME_NS", "Case", "Decision", "InC", "Ours", "cases", "compiled", "compiler"]
