"""The map of the source in the manual lists every file, and no other."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/internals/architecture.md"
SUFFIXES = {".py", ".pfq", ".json", ".typed", ".c", ".h", ".map", ".in"}
BUILT = ROOT / "src/pfq/lib"
"""where a build in place leaves the library and its header"""


def listed() -> dict[str, str]:
    """Path and description of each row, in the sections that bear the name of a folder."""
    found: dict[str, str] = {}
    folder = None
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if heading := re.fullmatch(r"## (.*)", line):
            folder = heading[1] if (ROOT / heading[1]).is_dir() else None
        elif folder and (row := re.fullmatch(r"\| `([^`]+)` \| (.+) \|", line)):
            path = f"{folder}/{row[1]}"
            assert path not in found, f"{path} is listed twice"
            found[path] = row[2]
    return found


def there() -> set[str]:
    files = (path for folder in ("src/pfq", "src/pfq_voip", "native") for path in (ROOT / folder).rglob("*"))
    return {str(path.relative_to(ROOT)) for path in files if path.suffix in SUFFIXES and not path.is_relative_to(BUILT)}


def test_every_file_is_listed() -> None:
    assert there() - set(listed()) == set()


def test_every_file_listed_is_there() -> None:
    assert set(listed()) - there() == set()
    assert len(listed()) > 100


def test_the_law_of_layers_is_the_one_that_is_checked() -> None:
    import tomllib

    (law, *_) = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = [", ".join(layer.split(" : ")) for layer in reversed(law["layers"])]
    assert "  <  ".join(layers) in PAGE.read_text(encoding="utf-8")
