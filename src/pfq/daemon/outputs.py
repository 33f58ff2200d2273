"""The outputs of the configuration: end-points whose packets go out of devices."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack

from pfq.daemon.config.groups import ManagedGroup
from pfq.daemon.config.places import Output
from pfq.daemon.config.reading import Config
from pfq.engine.egress import Egress
from pfq.engine.endpoint import Endpoint
from pfq.engine.engine import Engine
from pfq.engine.group import Group
from pfq.engine.policy import NOBODY


class Outputs:
    """Makes them, and knows those that are there by their tag."""

    def __init__(self, engine: Engine, tag: str) -> None:
        self._engine = engine
        self._tag = tag

    def make(self, config: Config, groups: Mapping[int, Group], here: set[str], undo: ExitStack) -> list[str]:
        """Has every output of the configuration whose device is there, with its classes and weight.

        undo  takes back what was done
        """
        return [text for each in config.groups for text in self.make_for(each, groups[each.number], here, undo)]

    def make_for(self, wanted: ManagedGroup, group: Group, here: set[str], undo: ExitStack) -> list[str]:
        """The same for one group."""
        changes = []
        matched = self._matched(wanted, group, here)
        for output, egress, endpoint in matched:
            if endpoint is None:
                made = self._engine.endpoint(egress=egress, weight=output.weight, owner=NOBODY.owner, tag=self._tag)
                undo.callback(made.close)
                group.join(made, output.classes)
                changes.append(f"group {wanted.number} has an output {output.place}")
            elif (endpoint.weight, group.members[endpoint.number][1]) != (output.weight, output.classes):
                undo.callback(_share, group, endpoint, group.members[endpoint.number][1], endpoint.weight)
                _share(group, endpoint, output.classes, output.weight)
                changes.append(f"the output {output.place} of group {wanted.number} has another class or weight")
        return changes

    def remove(self, config: Config, here: set[str]) -> list[str]:
        """Closes those that the configuration does not have."""
        kept = set()
        for each in config.groups:
            group = self._engine.groups.get(each.number)
            if group is not None:
                kept |= {found.number for _, _, found in self._matched(each, group, here) if found is not None}
        gone = [
            each for each in list(self._engine.endpoints.values()) if each.tag == self._tag and each.number not in kept
        ]
        for endpoint in gone:
            endpoint.close()
        return [f"an output {endpoint.egress.device} was closed" for endpoint in gone if endpoint.egress is not None]

    def _matched(
        self, wanted: ManagedGroup, group: Group, here: set[str]
    ) -> list[tuple[Output, Egress, Endpoint | None]]:
        """Each output whose device is there, with the end-point that is it already."""
        there = [each for each, _ in group.members.values() if each.tag == self._tag]
        found: list[tuple[Output, Egress, Endpoint | None]] = []
        for output in wanted.outputs:
            if (at := output.place.found(here)) is None:
                continue
            egress = Egress(*at)
            endpoint = next((each for each in there if each.egress == egress), None)
            if endpoint is not None:
                there.remove(endpoint)
            found.append((output, egress, endpoint))
        return found


def _share(group: Group, endpoint: Endpoint, classes: int, weight: int) -> None:
    """Which classes it is in, and how much it gets."""
    endpoint.weight = weight
    group.join(endpoint, classes)
