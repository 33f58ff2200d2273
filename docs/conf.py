"""Settings of the manual; `make docs` builds it, with warnings as errors."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

import pfq

project = "PFQ"
copyright = "the PFQ authors"
version = release = pfq.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "pfq_docs"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
exclude_patterns = ["_build"]
default_role = "code"
highlight_language = "none"

autodoc_member_order = "bysource"
autodoc_typehints = "signature"

html_theme = "furo"
html_title = f"PFQ {release}"
