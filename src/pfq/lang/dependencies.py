"""The order in which definitions of one scope can be understood: each after those that it uses."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pfq.lang.limits import MAX_FAULTS
from pfq.lang.syntax import Bindings, Cycle, Definition, Name, free_names


def ordered(definitions: Sequence[Definition]) -> Bindings:
    """The definitions, used ones first, and the cycles among them."""
    by_name = {definition.name: definition for definition in definitions}
    order: list[Definition] = []
    cycles: list[Cycle] = []
    state: dict[str, bool] = {}  # False while its uses are being followed, then True
    for root in definitions:
        if root.name in state:
            continue
        path: list[tuple[Definition, Iterator[Name]]] = [(root, _uses(root))]
        uses: list[Name] = []
        state[root.name] = False
        while path:
            definition, names = path[-1]
            use = next((name for name in names if name.full in by_name and state.get(name.full) is not True), None)
            if use is None:
                state[definition.name] = True
                order.append(definition)
                path.pop()
                del uses[len(path) - 1 :]
            elif use.name in state:
                if len(cycles) < MAX_FAULTS:
                    start = next(at for at, (on_path, _) in enumerate(path) if on_path.name == use.name)
                    ring = [on_path for on_path, _ in path[start:]]
                    cycles.append(tuple(zip(ring, [*uses[start:], use], strict=True)))
            else:
                state[use.name] = False
                uses.append(use)
                path.append((by_name[use.name], _uses(by_name[use.name])))
    return Bindings(tuple(order), tuple(cycles))


def _uses(definition: Definition) -> Iterator[Name]:
    return free_names(definition.body, definition.parameters)
