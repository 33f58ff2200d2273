"""Source files and their imports.

`import Lib.Filter` reads Lib/Filter.pfq, or Lib/Filter.hs, next to the importing file, else the module
of that name in the library that comes with PFQ. Modules of the original's Haskell library
(`Network.PFQ…`, `Prelude`, `Data…`) are part of the language here: importing them is accepted and
changes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import BinaryIO, Final, TypeVar

from pfq.errors import DuplicateNameError, FileAccessError, ImportFailedError, LexicalError, ProgramError, TooBigError
from pfq.lang.faults import Faults
from pfq.lang.fileparser import parse
from pfq.lang.limits import MAX_MODULES, MAX_SOURCE
from pfq.lang.syntax import File, Import
from pfq.source import Source, Span, did_you_mean

SUFFIXES = (".pfq", ".hs")
BUILT_IN = ("Network.PFQ", "Prelude", "Data", "Control", "P")
LIBRARY: Final = Path(__file__).parent / "library"
MAX_BYTES: Final = 4 * MAX_SOURCE
COMMAND_LINE: Final = "<--import>"
"""What errors call the modules that are imported without standing in the text."""

T = TypeVar("T")


@dataclass(eq=False, slots=True)
class Module:
    """One parsed file.

    imports    its imports and the modules they found; None for one that failed
    built_in   qualifiers that mean the language itself
    """

    source: Source
    file: File
    imports: list[tuple[Import, Module | None]] = field(default_factory=list)
    built_in: set[str] = field(default_factory=set)

    def exported(self) -> list[str]:
        names = [definition.name for definition in self.file.definitions.order if definition.name != "main"]
        exports = self.file.exports
        return names if exports is None else [name for name in names if name in exports]

    def imported(self, values: Callable[[Module], Mapping[str, T]]) -> dict[str, T]:
        """What the imports make visible here, by name and by qualified name."""
        found: dict[str, T] = {}
        for import_, module in self.imports:
            if module is None:
                continue
            of_module = values(module)
            for name in _visible(import_, module):
                found[f"{import_.alias or import_.module}.{name}"] = of_module[name]
                if not import_.qualified:
                    found[name] = of_module[name]
        return found


def _visible(import_: Import, module: Module) -> list[str]:
    names = module.exported()
    return [name for name in names if (import_.only is None or name in import_.only) and name not in import_.hiding]


def read_source(path: Path) -> Source:
    """The text of a file; raises FileAccessError or LexicalError."""
    try:
        with path.open("rb") as file:
            return source_of(file, str(path))
    except OSError as error:
        raise FileAccessError(f"cannot read {path}: {error.strerror}") from None


def source_of(file: BinaryIO, name: str) -> Source:
    """What an open file holds, under this name; raises LexicalError, and TooBigError before it has read it all."""
    data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise TooBigError(f"{name} has more than {MAX_BYTES} bytes; at most {MAX_SOURCE} characters are accepted")
    try:
        return Source(name, data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        good = error.object[: error.start].decode()
        span = Span(Source(name, good), len(good), len(good))
        byte = error.object[error.start]
        raise LexicalError(f"byte 0x{byte:02x} is not UTF-8 text", span, "save the file as UTF-8") from None


def library_modules() -> dict[str, Path]:
    """The modules of the library, by name."""
    return _modules_of(LIBRARY, SUFFIXES[:1])


@cache
def library_names() -> dict[str, str]:
    """The names that modules of the library define, each with its module."""
    return {
        name: module
        for module, file in library_modules().items()
        for name in re.findall(r"^(\w+)(?: \w+)* =", file.read_text(encoding="utf-8"), re.MULTILINE)
    }


def _modules_of(folder: Path, suffixes: Sequence[str]) -> dict[str, Path]:
    files = sorted(path for suffix in suffixes for path in folder.glob(f"[A-Z]*{suffix}"))
    return {path.stem: path for path in files}


def imports_of(modules: Sequence[str], faults: Faults) -> tuple[Import, ...]:
    """Imports of these modules, as if they stood in a text."""
    for module in modules:
        if not re.fullmatch(r"\w+(\.\w+)*", module):
            faults.add(ImportFailedError(f"`{module}` is not the name of a module", hint="write it as in `Services`"))
            return ()
    text = "\n".join(f"import {module}" for module in modules)
    return parse(Source(COMMAND_LINE, text), faults).imports


class Loader:
    """Loads a program and what it imports. `modules` holds each module after those that it imports."""

    def __init__(self, faults: Faults) -> None:
        self.faults = faults
        self.modules: list[Module] = []
        self._loaded: dict[Path, Module | None] = {}
        self._loading: list[Path] = []

    def load(self, source: Source, path: Path | None, folder: Path | None, more: Sequence[Import] = ()) -> Module:
        """Parses the text of a file, or a text without one; `more` are imports that it does not have itself.

        folder  where imported files are looked for; None for the library only
        """
        file = parse(source, self.faults)
        module = Module(source, replace(file, imports=(*more, *file.imports)))
        if path is not None:
            self._loading.append(path.resolve())
        for import_ in module.file.imports:
            self.follow(module, import_, folder)
        if path is not None:
            self._loading.pop()
        self.check_clashes(module)
        self.modules.append(module)
        return module

    def follow(self, module: Module, import_: Import, folder: Path | None) -> None:
        if any(import_.module == name or import_.module.startswith(f"{name}.") for name in BUILT_IN):
            module.built_in.add(import_.alias or import_.module)
            return
        try:
            found = self.find(import_, folder)
        except ImportFailedError as fault:
            fault.span = import_.span
            self.faults.add(fault)
            found = None
        module.imports.append((import_, found))

    def find(self, import_: Import, folder: Path | None) -> Module | None:
        """The module of an import, None when it was reported as unreadable before."""
        library = library_modules()
        candidates = []
        if folder is not None:
            base = folder.joinpath(*import_.module.split("."))
            candidates = [base.with_name(base.name + suffix) for suffix in SUFFIXES]
        file = next((candidate for candidate in candidates if candidate.is_file()), library.get(import_.module))
        if file is not None:
            return self.read(import_, file)
        near = did_you_mean(import_.module, [*library, *_modules_of(folder, SUFFIXES)] if folder else library)
        looked = f"looked for {candidates[0]} and {candidates[1]}" if candidates else "a text has no files next to it"
        hint = near or f"{looked}; modules of the library: {', '.join(library)}"
        raise ImportFailedError(f"there is no module `{import_.module}`", hint=hint)

    def read(self, import_: Import, file: Path) -> Module | None:
        key = file.resolve()
        if key in self._loading:
            ring = [path.stem for path in self._loading[self._loading.index(key) :]] + [key.stem]
            raise ImportFailedError(f"`{import_.module}` imports itself: {' → '.join(ring)}")
        if key in self._loaded:
            return self._loaded[key]
        if len(self._loaded) >= MAX_MODULES:
            self.faults.stop(f"the program imports more than {MAX_MODULES} modules", import_.span)
        self._loaded[key] = None
        try:
            source = read_source(file)
        except FileAccessError as error:
            raise ImportFailedError(error.message) from None
        except ProgramError as fault:
            fault.span = fault.span or import_.span
            self.faults.add(fault)
            return None
        self._loaded[key] = self.load(source, file, file.parent)
        return self._loaded[key]

    def check_clashes(self, module: Module) -> None:
        """A name that two imports define means nothing by itself."""
        origin: dict[str, Module] = {}
        own = {definition.name for definition in module.file.definitions.order}
        for import_, found in module.imports:
            if found is None or import_.qualified:
                continue
            for name in _visible(import_, found):
                other = origin.setdefault(name, found)
                if other is not found and name not in own:
                    hint = f"write `import qualified {import_.module}`, or leave one out by `hiding ({name})`"
                    message = f"both {other.source.name} and {found.source.name} define `{name}`"
                    self.faults.add(DuplicateNameError(message, import_.span, hint))
