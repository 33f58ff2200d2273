"""Every function of pfq.h against a daemon, from a process without privilege, under the sanitizers."""

from __future__ import annotations

import errno
import os
import re
import resource
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from root.client_c.conftest import Place
from root.network import eventually, numbered
from support.c_client import ANY, DEFAULT, NATIVE, SHARED, CClient

pytestmark = [pytest.mark.root, pytest.mark.slow]

JSON = """[{"funIndex":0,"funSymbol":"inc","funLink":-1,
"funArgs":[{"argType":"CInt","argValue":9},null,null,null,null,null,null,null]}]"""


def declared() -> set[str]:
    text = re.sub(r"/\*.*?\*/", "", (NATIVE / "include/pfq/pfq.h").read_text(), flags=re.DOTALL)
    return set(re.findall(r"\bpfq_(\w+)\([^)]*\);", text.partition("#pragma GCC visibility pop")[0]))


def send(place: Place, count: int) -> None:
    with place.pair.sender() as sender:
        sender.send(numbered(n) for n in range(count))


def test_every_function(c: CClient, place: Place, tmp_path: Path) -> None:
    device = place.pair.dev_b
    c.open("private")
    c.open("nogroup", handle=1)
    c.open(SHARED, handle=2, snaplen=100, slots=64, clock=1, weight=3)
    group = c.must("group_id", 2).code
    assert c.must("groups_mask", 2).text == str(1 << group)
    assert len({c.must("id", handle).code for handle in range(3)}) == 3
    assert [c.must(f"get_{name}", 2).code for name in ("snaplen", "slots", "clock", "weight")] == [100, 64, 1, 3]
    assert c.must("get_slot_size", 2).code == 256
    for name, value in (("snaplen", 64), ("slots", 128), ("clock", 0), ("weight", 5)):
        c.must(f"set_{name}", 2, value)
        assert c.must(f"get_{name}", 2).code == value
    assert c.must("join_group", 1, 33, 5, SHARED).code == 33
    c.must("leave_group", 1, 33)

    c.must("bind", 2, device, ANY)
    c.must("unbind", 2, device, ANY)
    c.must("bind_group", 2, group, device, 0)
    c.must("unbind_group", 2, group, device, 0)
    c.must("bind_group", 2, group, device, ANY, "in", "tap", "auto", 1)
    c.must("set_promisc", 2, device, 1)
    c.must("set_promisc", 2, device, 0)
    assert c.must("ifindex", "lo").code == 1
    assert c("ifindex", "nosuch").code == -errno.ENODEV

    program = tmp_path / "program.pfq"
    program.write_text("-- nine\nmain = do\n    inc 9\n    unit\n")
    tmp_path.chmod(0o755)
    c.must("set_group_program", 2, group, "inc 9")
    c.must("set_group_program_json", 2, group, JSON.replace("\n", ""))
    for folder in tmp_path.parents:
        if not folder.stat().st_mode & 1 and folder.is_relative_to("/tmp"):
            folder.chmod(folder.stat().st_mode | 0o011)
    c.must("set_group_program_file", 2, group, program)
    c.must("group_filter", 2, group, "ether proto 0x88b5")
    c.must("group_fprog", 2, group, "6 0 0 65535")
    c.must("group_fprog_reset", 2, group)
    c.must("vlan_filters_enable", 2, group, 1)
    c.must("vlan_set_filter", 2, group, 0)
    c.must("vlan_set_filter", 2, group, 9)
    c.must("vlan_reset_filter", 2, group, 9)

    assert c.must("is_enabled", 2).code == 0
    c.must("enable", 2)
    assert c.must("is_enabled", 2).code == 1
    send(place, 10)
    c.must("fd", 2)
    assert c.must("poll", 2, 5_000_000).code == 1
    assert eventually(lambda: c.must("stats", 2).numbers[0] == 10, 5.0)
    for kept, number in enumerate(range(0, 4, 2)):
        assert c.must("keep", 2, kept, 2).text == f"{number},{number + 1}"
    assert c.must("stats", 2).numbers == [10, 0, 4, 0]
    c.must("release", 2, 0)
    assert c.must("stats", 2).numbers == [10, 0, 4, 2]
    c.must("release", 2, 1)
    assert c.must("recv", 2, 256, 0).text == "4,5"
    assert c("recv", 2, 127, 0).code == -errno.EINVAL
    assert c.must("dispatch", 2, 0).text == "6,7,8,9"
    assert c.must("recv", 2, 256, 1000).code == 0
    assert c.must("get_group_stats", 2, group).numbers == [10, 0, 0, 10, 0, 0, 0, 0]
    assert c.must("get_group_counters", 2, group).numbers[9] == 10
    assert c.must("fold", 0, 8).code == 6
    assert c.must("hash", "").text == "0"

    c.must("disable", 2)
    c.must("egress_bind", 1, device, ANY)
    assert c("drain", 1).code == -errno.EINVAL
    c.must("egress_unbind", 1)
    for handle in range(3):
        c.must("close", handle)
    other_names = {"open_nogroup", "open_group", "symmetric_hash", "read", "get_stats"}
    assert declared() <= c.called | other_names
    assert len(declared()) >= 49


def test_an_egress_handle_sends(c: CClient, place: Place) -> None:
    """What arrives at one device goes out of another."""
    pair = place.pair
    pair.b.run("ip", "link", "add", "pfqt-out", "type", "veth", "peer", "name", "pfqt-end")
    try:
        for device in ("pfqt-out", "pfqt-end"):
            pair.b.run("ip", "link", "set", device, "up")
        c.open("nogroup")
        c.must("egress_bind", 0, "pfqt-out", ANY)
        group = c.must("join_group", 0, ANY, DEFAULT, SHARED).code
        c.must("bind", 0, pair.dev_b, ANY)
        c.must("enable", 0)
        c.open("nogroup", handle=1)
        c.must("join_group", 1, ANY, DEFAULT, SHARED)
        c.must("bind", 1, "pfqt-end", ANY)
        c.must("enable", 1)
        send(place, 20)
        assert c.must("listen", 1, 20).code == 20
        assert c.must("get_group_stats", 0, group).numbers[0] == 20
        assert c.must("stats", 0).numbers == [20, 0, 20, 20]
        assert c("drain", 0).code == -errno.EINVAL
        assert c("egress_unbind", 0).code == -errno.EINVAL, "it is enabled"
    finally:
        pair.b.run("ip", "link", "del", "pfqt-out")


def test_refusals_have_a_number_and_a_sentence(c: CClient, place: Place) -> None:
    c.open(SHARED)
    for call, arguments, number, words in (
        ("set_group_program", (0, "ip >-> steer_flwo"), errno.EINVAL, "steer_flow"),
        ("set_group_program", (0, "tcp \udc80".encode("utf-8", "surrogateescape").decode("latin-1")), errno.EINVAL, ""),
        ("set_group_program_json", (0, "[{]"), errno.EINVAL, ""),
        ("set_group_program_file", (0, "/nonexistent"), errno.ENOENT, "/nonexistent"),
        ("set_group_program_file", (0, "/"), errno.EISDIR, "/"),
        ("set_group_program_file", (0, "/dev/zero"), errno.E2BIG, "longer than a message"),
        ("set_group_program", (0, "x" * 140_000), errno.E2BIG, "131072"),
        ("set_group_program", (63, "unit"), errno.ENOENT, "no group 63"),
        ("set_group_program", (64, "unit"), errno.EINVAL, "0 to 63"),
        ("set_group_program", (-1, "unit"), errno.EINVAL, "0 to 63"),
        ("bind_group", (0, "lo", ANY, "sideways"), errno.EINVAL, "sideways"),
        ("bind", ("no/such device", ANY), errno.ENODEV, "no/such device"),
        ("set_promisc", ("nosuch", 1), errno.ENODEV, "nosuch"),
        ("egress_bind", ("nosuch", ANY), errno.ENODEV, "nosuch"),
        ("set_clock", (3,), errno.EINVAL, "no clock 3"),
        ("join_group", (0, 1, 9), errno.EINVAL, "no policy 9"),
    ):
        said = c(call, 0, *arguments)
        assert said.code == -number, (call, arguments[:2], said)
        assert words in said.text
    assert c.must("groups_mask", 0).text == "1", "the connection is as it was"
    assert c("id", 7).code == -errno.EINVAL, "no handle"


def test_a_child_leaves_the_handle_alone(c: CClient, place: Place) -> None:
    c.open(SHARED)
    c.must("bind", 0, place.pair.dev_b, ANY)
    c.must("enable", 0)
    c.must("readable", 0, 0)
    c.must("drain", 0)
    assert c.must("in_child", 0).code == 0
    send(place, 5)
    assert c.must("listen", 0, 5).code == 5
    assert c.must("get_weight", 0).code == 1
    c.must("set_weight", 0, 2)


def test_exec_closes_all_descriptors(c: CClient, place: Place) -> None:
    c.open(SHARED)
    c.must("enable", 0)
    c.must("fd", 0)
    close_on_exec = 0o2000000
    flags = {}
    for entry in Path(f"/proc/{c.process.pid}/fdinfo").iterdir():
        found = re.search(r"^flags:\s+(\d+)", entry.read_text(), re.MULTILINE)
        assert found is not None
        flags[int(entry.name)] = int(found[1], 8)
    assert len(flags) > 6
    assert [number for number, bits in flags.items() if number > 2 and not bits & close_on_exec] == []


def test_no_room_for_descriptors(c_programs: Callable[..., CClient]) -> None:
    """What does not fit is known to be lost; nothing stays open, and with more room it works."""
    c = c_programs(os.getuid())  # only then may we set its limits
    c.open(SHARED)
    limit = resource.prlimit(c.process.pid, resource.RLIMIT_NOFILE)
    before = len(list(Path(f"/proc/{c.process.pid}/fd").iterdir()))
    resource.prlimit(c.process.pid, resource.RLIMIT_NOFILE, (before + 2, limit[1]))
    said = c("enable", 0)
    assert (said.code, "ulimit" in said.text) == (-errno.EMFILE, True)
    assert len(list(Path(f"/proc/{c.process.pid}/fd").iterdir())) == before
    assert (c("is_enabled", 0).code, c("groups_mask", 0).text) == (0, "0")
    resource.prlimit(c.process.pid, resource.RLIMIT_NOFILE, limit)
    c.must("enable", 0)


def test_long_programs_arrive(c: CClient) -> None:
    c.open(SHARED)
    c.must("set_group_program", 0, 0, "unit -- " + "x" * 125_000)


def test_who_has_no_rights_is_told_so(c_programs: Callable[..., CClient], place: Place) -> None:
    rules = place.daemon.service.access
    try:
        place.daemon.service.access = type(rules)([])
        said = c_programs().open()
    finally:
        place.daemon.service.access = rules
    assert said.code == -errno.EACCES
    assert "no rights" in said.text


def test_no_daemon(c: CClient, tmp_path: Path) -> None:
    assert c("open", 0, "nogroup", 1, tmp_path / "none").code in (-errno.ENOENT, -errno.EACCES)
    said = c("open", 0, "nogroup", 1, "/" + "x" * 200)
    assert (said.code, "107" in said.text) == (-errno.ENAMETOOLONG, True)


def test_numbers_are_free_when_close_returns(c: CClient) -> None:
    for _ in range(20):
        c.open()
        assert (c.must("id", 0).code, c.must("group_id", 0).code) == (0, 0)
        c.must("close", 0)


def test_the_manual_names_every_function(tmp_path: Path) -> None:
    subprocess.run(["python3", NATIVE / "man.py", NATIVE / "include/pfq/pfq.h", tmp_path], check=True)
    assert {f"pfq_{name}.3" for name in declared()} <= {path.name for path in tmp_path.iterdir()}
