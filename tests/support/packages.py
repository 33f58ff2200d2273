"""Packages as installers leave them: a folder with a module and what the metadata says about it."""

from __future__ import annotations

from pathlib import Path

ROW = """
from pfq.primitives import Prim

def row(name, type="Packet -> Action Packet", **more):
    lower = lambda e, *args: None
    return Prim(name=name, type=type, doc="True.", run=lambda m, *args: True, lower=lower, example=name, **more)
"""
"""The beginning of a module whose primitives pass every packet."""


def install(
    folder: Path, name: str, entry_points: dict[str, str], code: str | None = None, version: str = "1.0"
) -> None:
    """Puts a distribution into a folder for modules; its one module is `name` with `_` for `-`.

    entry_points  in the group pfq.primitives
    """
    metadata = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    lines = ["[pfq.primitives]", *(f"{key} = {value}" for key, value in entry_points.items())]
    (metadata / "entry_points.txt").write_text("\n".join(lines) + "\n")
    if code is not None:
        (folder / f"{name.replace('-', '_')}.py").write_text(code)
