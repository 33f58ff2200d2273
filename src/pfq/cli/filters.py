"""The words behind the options: a Berkeley filter."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pfq.errors import ProgramError

if TYPE_CHECKING:
    from pfq.lang.berkeley import BerkeleyFilter


def read_filter(words: tuple[str, ...]) -> BerkeleyFilter | None:
    """The filter that the words are together, None when there are none; raises what `BerkeleyFilter.of` does."""
    if not words:
        return None
    from pfq.lang.berkeley import BerkeleyFilter

    try:
        return BerkeleyFilter.of(" ".join(words))
    except ProgramError as error:
        if os.path.exists(words[0]):
            error.hint = f"`{words[0]}` is a file; files to read are named by `pfq run -r`, each by an -r of its own"
        raise
