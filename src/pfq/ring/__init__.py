"""Rings seen from Python: batches of packets as columns over shared memory, counters."""

from pfq.ring.batch import Batch
from pfq.ring.reader import DEFAULT_BATCH, Reader
from pfq.ring.statistics import RingStatistics
from pfq.ring.view import View

__all__ = ["DEFAULT_BATCH", "Batch", "Reader", "RingStatistics", "View"]
