"""`pfq explain`: a program, a primitive, a module of the library or an error, in words."""

from __future__ import annotations

import inspect
import os
import re
from typing import TYPE_CHECKING, Any

import click

from pfq.cli.output import json_option, print_json
from pfq.errors import ExtensionError, PfqError, UsageError, error_classes
from pfq.source import did_you_mean

if TYPE_CHECKING:
    from pfq.lang.prims.table import Prim

CODE = re.compile(r"PFQ\d{3}", re.IGNORECASE)


@click.command()
@click.argument("subject")
@click.option("-i", "--interface", "device", metavar="DEV", help="Say where on DEV the program would be attached.")
@json_option
def command(subject: str, device: str | None, as_json: bool) -> None:
    """Explain SUBJECT: the file of a program (`-`: standard input), a primitive, a module of the
    library or a name in it, or the code of an error.

    \b
    pfq explain edge.pfq
    pfq explain steer_flow
    pfq explain Services
    pfq explain PFQ104
    """
    record = explain_error(subject.upper()) if CODE.fullmatch(subject) else explain(subject, device)
    if as_json:
        print_json(record)
    else:
        print("\n".join(lines(record)))


def explain(subject: str, device: str | None) -> dict[str, Any]:
    from pfq.lang.explain import library_definition, module
    from pfq.lang.modules import library_modules, library_names
    from pfq.lang.prims import PRIMS

    if subject in PRIMS:
        return entry(PRIMS[subject])
    if subject == "-" or os.path.exists(subject):
        return explain_program(subject, device)
    if subject in library_modules():
        return module(subject)
    if subject in library_names():
        return library_definition(subject)
    known = (*PRIMS.names(), *library_modules(), *library_names())
    raise UsageError(
        f"`{subject}` is neither a file, nor a primitive, nor in the library, nor the code of an error",
        hint=did_you_mean(subject, known) or PRIMS.why_missing() or "`pfq functions` lists the primitives",
    )


def entry(prim: Prim) -> dict[str, Any]:
    """What the manual says of a primitive, with its cost."""
    from pfq.codegen.cost import cost, kept
    from pfq.lang.explain import primitive

    try:
        found = cost(prim)
        return primitive(prim, (found.instructions, found.reads))
    except Exception as error:  # whatever is wrong with a row of another package
        if prim.name in kept():
            raise
        message = f"the primitive `{prim.name}` of an installed package is wrong: {type(error).__name__}: {error}"
        raise ExtensionError(message, hint="tell its author, or remove the package") from error


def explain_error(code: str) -> dict[str, Any]:
    classes: dict[str, type[PfqError]] = {}
    for found in error_classes():
        classes.setdefault(found.code, found)
    if code not in classes:
        raise UsageError(f"there is no error {code}", hint=did_you_mean(code, classes))
    found = classes[code]
    return {
        "error": code,
        "name": found.__name__,
        "meaning": inspect.cleandoc(found.__doc__ or ""),
        "exit status": found.exit_status,
    }


def explain_program(file: str, device: str | None) -> dict[str, Any]:
    from pfq.cli.program import read_program
    from pfq.lang.explain import describe
    from pfq.lang.show import show

    program = read_program(file, None)
    return {"program": file, "core": show(program), "does": describe(program), "runs": places(device)}


def places(device: str | None) -> list[str]:
    """Where a program runs: on a device, or in general."""
    if device is None:
        return [
            "in the kernel, once for every packet of the device, before Linux sees it",
            "on a network card at XDP in the driver; where the driver has none, at TC, else at generic XDP",
            "on a device made of software (veth, bridge) at TC, or at native XDP with --inline",
        ]
    from pfq.engine.hooks import incoming_ways
    from pfq.kernel.devices import device as find

    first, *others = incoming_ways(find(device), "auto", "tap")
    return [f"in the kernel at {first} on {device}", *(f"where that cannot be had, at {way}" for way in others)]


def lines(record: dict[str, Any]) -> list[str]:
    """Names on the left, values on the right, one line each."""
    width = max(map(len, record)) + 2
    found = []
    for name, value in record.items():
        if value in ("", []):
            continue
        texts = value if isinstance(value, list) else str(value).splitlines()
        found += [f"{name if i == 0 else '':<{width}}{text}" for i, text in enumerate(texts)]
    return found
