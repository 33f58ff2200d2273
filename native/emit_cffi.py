"""Writes the C source of the extension `pfq._libpfq`, from the public headers.

emit_cffi.py _libpfq.c ring.h ...
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from pathlib import Path

from cffi import FFI

DECLARATIONS = re.compile(r"/\* declarations: begin \*/\n(.*)/\* declarations: end \*/", re.DOTALL)


def declarations(header: Path) -> str:
    """What stands between the header's marks."""
    found = DECLARATIONS.search(header.read_text())
    if not found:
        raise SystemExit(f"{header}: no `declarations: begin` and `end` marks")
    return found[1]


def emit(output: Path, headers: Iterable[Path]) -> None:
    """The declarations of the headers, in this order, as an extension for the stable ABI of Python."""
    ffi = FFI()
    includes = []
    for header in headers:
        ffi.cdef(declarations(header))
        includes.append(f'#include "{header}"')
    ffi.set_source("pfq._libpfq", "\n".join(includes), py_limited_api=True)
    ffi.emit_c_code(str(output))


if __name__ == "__main__":
    emit(Path(sys.argv[1]), map(Path, sys.argv[2:]))
