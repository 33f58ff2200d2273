"""Counters of an end-point's rings."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RingStatistics:
    """Packets of one end-point since its rings were made. Selected for it were `delivered + lost`.

    delivered  put into the rings
    lost       not put there, because a ring was full
    read       handed to the reader, in batches
    held       handed out, and their slots not yet given back
    waiting    in the rings, not read yet; delivered = read + waiting
    """

    delivered: int
    lost: int
    read: int
    held: int
    waiting: int
