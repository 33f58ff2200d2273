"""What of the bpf(2) layer needs no kernel: descriptors, names, errors, structures."""

from __future__ import annotations

import errno
import os
from ctypes import Structure, sizeof

import pytest

from pfq.errors import KernelRefusedError, LimitError, NoPrivilegeError, PfqError
from pfq.kernel import abi, sys
from pfq.kernel.sys import Fd, errno_of, kernel_name, refusal


def test_a_descriptor_is_closed_once() -> None:
    number = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
    fd = Fd(number)
    assert (fd.fileno(), fd.closed) == (number, False)
    fd.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(number)
    other = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)  # gets the same number
    fd.close()
    os.fstat(other)
    os.close(other)
    assert fd.closed
    with pytest.raises(ValueError, match="closed"):
        fd.fileno()


def test_a_forgotten_descriptor_is_closed() -> None:
    number = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
    Fd(number)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(number)


@pytest.mark.parametrize(
    ("name", "kept"),
    [("pfq", b"pfq"), ("eth0.100 <tap>", b"eth0.100__tap_"), ("a" * 40, b"a" * 15), ("größe", b"gr__e"), ("", b"")],
)
def test_names_for_the_kernel(name: str, kept: bytes) -> None:
    assert kernel_name(name) == kept


@pytest.mark.parametrize(
    ("number", "allowed", "type"),
    [
        (errno.EINVAL, True, KernelRefusedError),
        (errno.EPERM, True, KernelRefusedError),
        (errno.EPERM, False, NoPrivilegeError),
        (errno.EACCES, False, NoPrivilegeError),
        (errno.EINVAL, False, KernelRefusedError),
        (errno.ENOMEM, True, LimitError),
        (errno.EMFILE, True, LimitError),
    ],
)
def test_errnos_become_errors(
    number: int, allowed: bool, type: type[PfqError], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "missing_privilege", lambda: None if allowed else "this process lacks CAP_BPF")
    error = refusal("creating the map `ring`", number)
    assert error.__class__ is type
    assert error.message.startswith("creating the map `ring` ")
    assert errno_of(error) == number


def test_the_kernels_own_words_are_kept() -> None:
    error = refusal("attaching", errno.ERANGE, hint="lower the MTU", said="Peer MTU is too large to set XDP")
    assert error.message == (
        "attaching failed: Numerical result out of range (ERANGE); the kernel says: Peer MTU is too large to set XDP"
    )
    assert error.hint == "lower the MTU"


def test_other_errors_have_no_errno() -> None:
    assert errno_of(KernelRefusedError("x")) == 0


@pytest.mark.parametrize(
    ("structure", "size"),
    [
        (abi.MapCreateAttr, 44),
        (abi.MapElemAttr, 32),
        (abi.ProgLoadAttr, 112),
        (abi.BtfLoadAttr, 32),
        (abi.TestRunAttr, 80),
        (abi.LinkCreateAttr, 32),
        (abi.ProgramInfo, 232),
        (abi.MapInfo, 40),
        (abi.LinkInfo, 24),
    ],
)
def test_sizes_of_structures(structure: type[Structure], size: int) -> None:
    assert sizeof(structure) == size


@pytest.mark.parametrize(
    ("structure", "field", "offset"),
    [
        (abi.MapCreateAttr, "map_name", 28),
        (abi.ProgLoadAttr, "log_buf", 32),
        (abi.ProgLoadAttr, "expected_attach_type", 68),
        (abi.ProgLoadAttr, "line_info_cnt", 104),
        (abi.TestRunAttr, "batch_size", 72),
        (abi.LinkCreateAttr, "expected_revision", 24),
        (abi.ProgramInfo, "name", 64),
        (abi.ProgramInfo, "verified_insns", 216),
    ],
)
def test_places_in_structures(structure: type[Structure], field: str, offset: int) -> None:
    assert getattr(structure, field).offset == offset


def test_an_unknown_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "vax")
    with pytest.raises(PfqError, match="machine type vax"):
        sys.map_freeze(0)
