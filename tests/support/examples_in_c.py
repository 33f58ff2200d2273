"""The XDP programs in C that the manual shows beside those of PFQ, compiled by the clang of this machine."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

from support.documents import ROOT, blocks

PAGE = ROOT / "docs/coming-from-tcpdump.md"
SOURCE = "\n".join(block.code for block in blocks(PAGE) if block.language == "c")
PROGRAMS = re.findall(r'^SEC\("xdp"\)\nint (\w+)\(', SOURCE, re.MULTILINE)


def missing() -> str | None:
    """Why it cannot be compiled here, or None."""
    if shutil.which("clang") is None:
        return "clang is not installed"
    if not Path("/usr/include/linux/bpf.h").exists():
        return "the headers of the kernel are not installed"
    return None


def compiled(folder: Path) -> Path:
    """The object file of all pieces of C of the page."""
    source, target = folder / "examples.c", folder / "examples.o"
    source.write_text(SOURCE, encoding="utf-8")
    machine = [f"-I{path}" for path in Path("/usr/include").glob("*-linux-gnu")]
    flags = ["-target", "bpf", "-O2", "-g", "-Wall", "-Werror", f"-I{Path(__file__).parent}", *machine]
    subprocess.run(["clang", *flags, "-c", str(source), "-o", str(target)], check=True)
    return target
