"""Writes the C source of the extension `pfq.ring._libpfq`, from the public header.

emit_cffi.py pfq.h _libpfq.c
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from cffi import FFI

DECLARATIONS = re.compile(r"/\* declarations: begin \*/\n(.*)/\* declarations: end \*/", re.DOTALL)


def emit(header: Path, output: Path) -> None:
    """The declarations between the header's marks, as an extension for the stable ABI of Python."""
    found = DECLARATIONS.search(header.read_text())
    if not found:
        raise SystemExit(f"{header}: no `declarations: begin` and `end` marks")
    ffi = FFI()
    ffi.cdef(found[1])
    ffi.set_source("pfq.ring._libpfq", "#include <pfq/pfq.h>", py_limited_api=True)
    ffi.emit_c_code(str(output))


if __name__ == "__main__":
    emit(Path(sys.argv[1]), Path(sys.argv[2]))
