"""How large a program may be. Every stage of the front end stops at these, so that none can run away."""

from __future__ import annotations

from typing import Final

MAX_SOURCE: Final = 2_000_000
"""Characters of one source file, and of the JSON form."""

MAX_TOKENS: Final = 100_000
"""Words of one source file."""

MAX_NAME: Final = 255
"""Characters of a name."""

MAX_NESTING: Final = 100
"""Brackets, blocks, lambdas and conditions inside one another in the source."""

MAX_DEPTH: Final = 100
"""Calls inside one another in the finished program."""

MAX_SHIFT: Final = 4
"""`shift` inside one another: tunnels that a program can look into."""

MAX_CALLS: Final = 10_000
"""Calls in the finished program."""

MAX_STEPS: Final = 200_000
"""Steps of compile-time evaluation."""

MAX_EVALUATION_DEPTH: Final = 200
"""Evaluations inside one another: nesting in the source times functions that call functions."""

MAX_TYPE_STEPS: Final = 400_000
"""Steps of type inference."""

MAX_TYPE_DEPTH: Final = 100
"""Types inside one another."""

MAX_ITEMS: Final = 65_536
"""Elements of a list."""

MAX_ARGUMENTS: Final = 64
"""Arguments of one application, parameters of one function."""

MAX_MODULES: Final = 50
"""Imported files of one program."""

MAX_FAULTS: Final = 20
"""Errors shown for one program."""
