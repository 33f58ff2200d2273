"""What engines tell about themselves, as frozen records. Every packet is in exactly one place of each equation.

group       arrived  = filtered + dropped + selected
end-point   selected = delivered + lost
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class GroupStatistics:
    """Packets of one group since the capture began.

    arrived    came to the group from its device
    filtered   rejected by the group's Berkeley or VLAN filter
    dropped    dropped by the program
    selected   the others: they go to end-points, as the program says
    nobody     of the selected ones, those for which no end-point was eligible
    counters   the user's 64 counters (`inc`)
    forwarded  copies that the program wanted to be sent on other devices
    unsent     of these, those that the kernel refused to send
    to_linux   packets that the program passed up to Linux
    """

    arrived: int
    filtered: int
    dropped: int
    selected: int
    nobody: int
    counters: tuple[int, ...]
    forwarded: int = 0
    unsent: int = 0
    to_linux: int = 0


@dataclass(frozen=True, slots=True)
class EndpointStatistics:
    """Packets of one end-point since the capture began.

    selected   copies that programs selected for it; delivered + lost
    delivered  put into its rings
    lost       not put there, because the reader was too slow and a ring was full
    read       handed to the reader; of the delivered ones
    waiting    in the rings, not read yet; delivered - read
    """

    selected: int
    delivered: int
    lost: int
    read: int
    waiting: int


@dataclass(frozen=True, slots=True)
class CaptureStatistics:
    """Counters of a capture: its group, and its end-points in order."""

    groups: tuple[GroupStatistics, ...]
    endpoints: tuple[EndpointStatistics, ...]

    @property
    def arrived(self) -> int:
        """Packets that came from the device."""
        return self.groups[0].arrived

    @property
    def selected(self) -> int:
        """Packets that the program selected."""
        return self.groups[0].selected

    @property
    def delivered(self) -> int:
        """Copies put into rings, of all end-points together."""
        return sum(endpoint.delivered for endpoint in self.endpoints)

    @property
    def lost(self) -> int:
        """Copies lost because a ring was full, of all end-points together."""
        return sum(endpoint.lost for endpoint in self.endpoints)


@dataclass(frozen=True, slots=True)
class Change:
    """What it took to change a group, in seconds. Packets were never held up.

    devices  whose programs were replaced or attached, or taken off
    compile  made the new programs
    load     had the kernel verify them
    swap     put them in the places of the old ones; each packet met the old or the new one
    """

    devices: tuple[str, ...] = ()
    compile: float = 0.0
    load: float = 0.0
    swap: float = 0.0

    @property
    def seconds(self) -> float:
        """From the call until the new programs ran."""
        return self.compile + self.load + self.swap
