"""The front door: from the text of a program to the typed program."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pfq.errors import InternalError, LexicalError, MainError, ParseError
from pfq.lang.build import Term
from pfq.lang.evaluate import Result, evaluate_module
from pfq.lang.faults import Faults
from pfq.lang.infer import infer_module
from pfq.lang.modules import Loader, Module, imports_of, read_source
from pfq.lang.prims.table import Table
from pfq.lang.program import Chain, Program
from pfq.lang.types import Type
from pfq.source import Source, Span


def compile_text(
    text: str,
    name: str = "<program>",
    table: Table | None = None,
    folder: str | Path | None = None,
    imports: Sequence[str] = (),
) -> Program:
    """The program that a text defines as `main`, or a single expression that stands alone.

    name     what errors call the text
    table    the primitives; None for all that there are
    folder   where imported modules are looked for; None for the library that comes with PFQ only
    imports  modules that are imported before those of the text
    Raises the ProgramError that is wrong with it, or ProgramErrors for several.
    """
    return _compiled(Source(name, text), None, None if folder is None else Path(folder), table, imports)


def compile_file(path: str | Path, table: Table | None = None, imports: Sequence[str] = ()) -> Program:
    """The program of a file; imported modules are looked for next to it, then in the library.

    Raises FileAccessError, or as `compile_text` does.
    """
    path = Path(path)
    return _compiled(read_source(path), path, path.parent, table, imports)


def _compiled(
    source: Source, path: Path | None, folder: Path | None, table: Table | None, imports: Sequence[str]
) -> Program:
    table = _all_primitives() if table is None else table
    faults = Faults()
    loader = Loader(faults)
    main = loader.load(source, path, folder, imports_of(imports, faults))
    types: dict[Module, dict[str, Type]] = {}
    values: dict[Module, dict[str, Result]] = {}
    for module in loader.modules:
        types[module] = infer_module(module, types, table, faults)
        values[module] = evaluate_module(module, values, table, faults)
    if "main" not in types[main] and not faults.include(LexicalError, ParseError):
        _report_missing_main(main, faults)
    faults.check()
    term = values[main]["main"]
    if not isinstance(term, Term) or not isinstance(term.value, Chain):
        raise InternalError("a program without mistakes has no value")
    return Program(term.value, source.text)


def _report_missing_main(module: Module, faults: Faults) -> None:
    definitions = module.file.definitions.order
    end = Span(module.source, 0, 0)
    if not definitions:
        faults.add(MainError("the program is empty", end, "the program that passes every packet is `unit`"))
        return
    last = max(definitions, key=lambda definition: definition.span.start)
    faults.add(MainError("there is no `main`", last.span, f"add a line such as `main = {last.name}`"))


def _all_primitives() -> Table:
    from pfq.lang.prims import PRIMS

    return PRIMS
