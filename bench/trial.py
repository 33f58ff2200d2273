"""Programs under test: loaded, run on single frames, and timed. Nothing is delivered.

To time a program the kernel runs it many times on one frame. What the kernel does around each run
takes several times as long as the program, so it is made part of a larger one that calls it
`CALLS` times; a program that does nothing, called in the same way, is what is to be taken off.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from mmap import mmap

from clang import COUNTS, RECORD, RECORD_COUNTERS, CObject, compiled

from pfq.codegen import layouts
from pfq.codegen.device import Device, Group, compile_device
from pfq.codegen.memory import RingShape
from pfq.codegen.native import ActionRecord
from pfq.codegen.spec import Hook, ObjectSpec
from pfq.engine.steering import Member, SteeringTable
from pfq.errors import KernelRefusedError
from pfq.kernel import abi, sys
from pfq.kernel.abi import AttachType, ProgramType
from pfq.kernel.elf import Image, link
from pfq.kernel.maps import Map, possible_cpus
from pfq.kernel.programs import Program, _with_maps, load
from pfq.lang.action import COUNTERS, DEFAULT_CLASSES, Action, Fanout
from pfq.lang.program import Program as Source
