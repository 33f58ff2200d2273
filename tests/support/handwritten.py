"""The programs of the benchmark, in pfq-lang and in C, for tests."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2] / "bench"))

from clang import compiled, compiler
from programs import Case, cases
from trial import TABLE, TIME_NS, Decision, InC, Ours

__all__ = ["TABLE", "TIME_NS", "Case", "Decision", "InC", "Ours", "cases", "compiled", "compiler"]
