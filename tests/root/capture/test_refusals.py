"""Captures that cannot be: one clear error each, and nothing left in the kernel."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from root.capture.harness import flow_frame, opened, packets, send, settled
from root.left import left_since, snapshot
from root.network import Namespace, Pair
from unit.kernel.llvm import compile_ir

import pfq
from pfq.codegen.device import Device, DeviceCode, compile_device
from pfq.engine import compiler
from pfq.errors import (
    DeviceMissingError,
    PfqError,
    ProgramError,
    TooBigError,
    UsageError,
    VerifierError,
)

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("nothing_left")]

NOBODY = 65534

UNPRIVILEGED = """
import os, pfq
capture = pfq.capture  # which loads it: the next user need not have the right to read it
os.setgroups([])
os.setuid({uid})
try:
    capture("pfqt-b")
except pfq.PfqError as error:
    print(type(error).__name__, error.message, sep="|")
"""

FEW_DESCRIPTORS = """
import resource, pfq
resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))
try:
    pfq.capture("pfqt-b", endpoints=64)
except pfq.PfqError as error:
    print(type(error).__name__, error.message, error.hint, sep="\\n")
"""

WITHOUT_CAPABILITIES = """
import ctypes, os, struct, sys
from pfq.cli import main
assert ctypes.CDLL(None).capset(struct.pack("=Ii", 0x20080522, 0), bytes(24)) == 0
os.dup2(1, 2)
sys.argv[1:] = ["capture", "-i", "pfqt-b"]
main()
"""


@pytest.fixture(autouse=True)
def nothing_left_at_once(netns_pair: Pair) -> Iterator[None]:
    """Also before the namespaces go, which would take what is left with them."""
    before = snapshot()
    yield
    assert not left_since(before)


def refused(pair: Pair, kind: type[PfqError], why: str, program: Any = None, **options: Any) -> PfqError:
    with pytest.raises(kind) as caught:
        opened(pair, program, **options)
    assert why in caught.value.message
    return caught.value


def test_no_privilege(netns_pair: Pair) -> None:
    with netns_pair.b.python(UNPRIVILEGED.format(uid=NOBODY)) as child:
        assert child.stdout is not None
        assert child.stdout.read() == (
            "NoPrivilegeError|eBPF is not allowed here: this process lacks CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON\n"
        )


def test_no_privilege_for_the_command(netns_pair: Pair) -> None:
    with netns_pair.b.python(WITHOUT_CAPABILITIES) as child:
        assert child.stdout is not None
        said = child.stdout.read().splitlines()
        assert child.wait() == 3
    assert "error[PFQ302]: eBPF is not allowed here: this process lacks CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON" in said[0]
    assert [line for line in said[1:] if not line.startswith("  hint: ")] == []


def test_unknown_device(netns_pair: Pair) -> None:
    with pytest.raises(DeviceMissingError, match="there is no network device `pfqt-c`") as caught:
        netns_pair.b.call(pfq.capture, "pfqt-c")
    assert "pfqt-b" in str(caught.value.hint)


def test_a_device_without_ethernet(netns: Namespace) -> None:
    netns.run("ip", "tuntap", "add", "dev", "bare", "mode", "tun")
    with pytest.raises(UsageError, match="`bare` does not carry Ethernet frames"):
        netns.call(pfq.capture, "bare")


def test_forwarding_to_a_device_without_ethernet(netns_pair: Pair) -> None:
    netns_pair.b.run("ip", "tuntap", "add", "dev", "bare", "mode", "tun")
    for program in ('forward "bare"', 'link ["bare"]'):
        with pytest.raises(UsageError, match="forwards to `bare`, which does not carry Ethernet"):
            netns_pair.b.call(pfq.capture, netns_pair.dev_b, program)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"endpoints": 65}, "a capture has 1 to 64 end-points, not 65"),
        ({"endpoints": 0}, "a capture has 1 to 64 end-points, not 0"),
        ({"snaplen": 0}, "the snap length is 1 to 65535 bytes, not 0"),
        ({"snaplen": 65_536}, "the snap length is 1 to 65535 bytes, not 65536"),
        ({"slots": 0}, "a ring has 1 to 262144 slots, not 0"),
        ({"slots": 262_145}, "a ring has 1 to 262144 slots, not 262145"),
        ({"clock": "fast"}, "there is no clock `fast`"),
        ({"binding": "both"}, "there is no binding `both`"),
        ({"direction": "up"}, "there is no direction `up`"),
        ({"hook": "tc"}, "there is no hook `tc`"),
        ({"hook": "xdp", "direction": "out"}, "the hook `xdp` sees incoming packets only"),
    ],
)
def test_arguments_out_of_range(netns_pair: Pair, options: dict[str, Any], why: str) -> None:
    assert refused(netns_pair, UsageError, why, **options).exit_status == 1


def test_too_few_descriptors(netns_pair: Pair) -> None:
    with netns_pair.b.python(FEW_DESCRIPTORS) as child:
        assert child.stdout is not None
        kind, message, hint = child.stdout.read().splitlines()
    assert kind == "LimitError"
    assert "Too many open files" in message
    assert "raise the limit" in hint


@pytest.mark.parametrize("program", ["ip >-> steer_flwo", "is_tcp", "when tcp drop", "steer_to", "has_port 80"])
def test_C8_a_program_that_does_not_compile(netns_pair: Pair, program: str) -> None:
    """A capture that runs is not touched by one that is refused."""
    with opened(netns_pair, snaplen=96) as running, netns_pair.sender() as sender:
        before = snapshot()
        refused(netns_pair, ProgramError, "", program)
        assert not left_since(before)
        send(sender, map(flow_frame, range(100)))
        settled(running, 100)


def test_C8_a_program_that_is_too_large(netns_pair: Pair) -> None:
    program = " >-> ".join(f"when (has_port {port}) (mark {port})" for port in range(1, 1800))
    error = refused(netns_pair, TooBigError, "the program is too large", program)
    assert "split it" in str(error.hint)


def test_C8_a_program_that_the_verifier_refuses(netns_pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes a fault of the compiler to get there; another capture goes on all the same."""
    beyond = compile_ir("""
    define i32 @pfq(ptr %ctx) section "code" {
      %data32 = load i32, ptr %ctx
      %data64 = zext i32 %data32 to i64
      %data = inttoptr i64 %data64 to ptr
      %byte = load i32, ptr %data
      ret i32 %byte
    }""")

    def faulty(device: Device) -> DeviceCode:
        code = compile_device(device)
        return replace(code, object=replace(code.object, elf=beyond))

    with opened(netns_pair, snaplen=96) as running, netns_pair.sender() as sender:
        before = snapshot()
        monkeypatch.setattr(compiler, "compiled", faulty)
        error = refused(netns_pair, VerifierError, "the kernel refused the program", hook="xdp")
        assert isinstance(error, VerifierError)
        assert "invalid access to packet" in error.log
        assert not left_since(before)
        send(sender, map(flow_frame, range(100)))
        settled(running, 100)
        running.stop()
        assert len(packets(running[0])) == 100
