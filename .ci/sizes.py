"""Lists files over 600 lines and functions over 60: places to look at, not a ban."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

FILE_LINES, FUNCTION_LINES = 600, 60


def large(path: Path) -> Iterator[str]:
    """One line for the file itself and for each function in it that is over the limit."""
    text = path.read_text()
    if (lines := text.count("\n")) > FILE_LINES:
        yield f"{path}: {lines} lines"
    if path.suffix != ".py":
        return
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > FUNCTION_LINES:
                yield f"{path}:{node.lineno}: {node.name} has {lines} lines"


if __name__ == "__main__":
    for folder in ("src", "native", "tests"):
        for source in sorted(Path(folder).rglob("*")):
            if source.suffix in {".py", ".c", ".h"}:
                for line in large(source):
                    print(line)
