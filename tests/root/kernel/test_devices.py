"""Devices as seen from inside a namespace."""

from __future__ import annotations

import re
from contextlib import closing

import pytest
from root.network import Namespace, Pair, eventually, is_running

from pfq.errors import DeviceMissingError, KernelRefusedError
from pfq.kernel import devices
from pfq.kernel.devices import ARPHRD_ETHER, ARPHRD_LOOPBACK, Promiscuous, PromiscuousRequests

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("nothing_left")]


def test_the_list_is_that_of_the_namespace(netns_pair: Pair) -> None:
    found = netns_pair.b.call(devices.devices)
    assert [(d.index, d.name) for d in found] == [(1, "lo"), (netns_pair.ifindex_b, netns_pair.dev_b)]


def test_a_veth_device(netns_pair: Pair) -> None:
    netns_pair.b.run("ip", "link", "set", netns_pair.dev_b, "mtu", "1400", "address", "02:00:00:00:00:07")
    device = netns_pair.b.call(devices.device, netns_pair.dev_b)
    assert (device.kind, device.mtu, device.link_type) == ("veth", 1400, ARPHRD_ETHER)
    assert device.address == bytes.fromhex("020000000007")
    assert (device.up, device.running, device.promiscuous, device.is_virtual) == (True, True, False, True)
    assert device.xdp is None
    assert netns_pair.b.call(devices.driver, netns_pair.dev_b) == "veth"


def test_a_device_without_a_carrier_does_not_run(netns_pair: Pair) -> None:
    netns_pair.a.run("ip", "link", "set", netns_pair.dev_a, "down")
    assert eventually(lambda: not is_running(netns_pair.b, netns_pair.dev_b))
    assert netns_pair.b.call(devices.device, netns_pair.dev_b).up


def test_loopback(netns: Namespace) -> None:
    device = netns.call(devices.device, "lo")
    assert (device.link_type, device.is_virtual, device.up) == (ARPHRD_LOOPBACK, True, True)
    assert netns.call(devices.driver, "lo") == ""
    assert netns.call(devices.rx_queues, device) == 1


@pytest.mark.parametrize("kind", ["bridge", "ifb"])
def test_other_kinds(netns: Namespace, kind: str) -> None:
    netns.run("ip", "link", "add", "other", "type", kind)
    device = netns.call(devices.device, "other")
    assert (device.kind, device.is_virtual) == (kind, True)
    assert netns.call(devices.driver, "other") == kind


@pytest.mark.parametrize("netns_pair", [2], indirect=True)
def test_queues_in_use(netns_pair: Pair) -> None:
    device = netns_pair.b.call(devices.device, netns_pair.dev_b)
    assert device.queues == 2
    for rx in (2, 1):
        netns_pair.b.run("ethtool", "-L", netns_pair.dev_b, "rx", str(rx), check=False)  # 2 may be what it is
        assert netns_pair.b.call(devices.rx_queues, device) == rx


def test_an_unknown_name_gets_the_nearest(netns_pair: Pair) -> None:
    with pytest.raises(DeviceMissingError, match="no network device `pfqt-c`") as caught:
        netns_pair.b.call(devices.device, "pfqt-c")
    assert caught.value.hint == "did you mean `pfqt-b`?"
    with pytest.raises(DeviceMissingError) as caught:
        netns_pair.b.call(devices.device, "zzz")
    assert caught.value.hint == "there are: lo, pfqt-b"


def test_by_number(netns_pair: Pair) -> None:
    found = netns_pair.b.call(devices.device_by_index, netns_pair.ifindex_b)
    assert found is not None
    assert found.name == netns_pair.dev_b
    assert netns_pair.b.call(devices.device_by_index, 4711) is None


def promiscuity(pair: Pair) -> int:
    found = re.search(r"promiscuity (\d+)", pair.b.run("ip", "-d", "link", "show", pair.dev_b))
    assert found
    return int(found[1])


def test_D7_promiscuous_mode_is_counted(netns_pair: Pair) -> None:
    netns_pair.b.run("ip", "link", "set", netns_pair.dev_b, "promisc", "on")
    with netns_pair.b.call(Promiscuous, netns_pair.ifindex_b), netns_pair.b.call(Promiscuous, netns_pair.ifindex_b):
        assert promiscuity(netns_pair) == 3
    assert eventually(lambda: promiscuity(netns_pair) == 1)


def test_D7_promiscuous_mode_ends_with_a_killed_process(netns_pair: Pair) -> None:
    code = f"""
import signal
from pfq.kernel.devices import Promiscuous
held = Promiscuous({netns_pair.ifindex_b})
print("on", flush=True)
signal.pause()
"""
    with netns_pair.b.python(code) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "on\n"
        assert promiscuity(netns_pair) == 1
    assert eventually(lambda: promiscuity(netns_pair) == 0)


def test_promiscuous_mode_of_no_device(netns: Namespace) -> None:
    with pytest.raises(KernelRefusedError, match=r"promiscuous mode of device 4711 failed: .*ENODEV"):
        netns.call(Promiscuous, 4711)


def test_D7_one_socket_asks_for_many_devices(netns_pair: Pair) -> None:
    """As often as it was asked; and a device that is gone is harmless."""
    with closing(netns_pair.b.call(PromiscuousRequests)) as requests:
        requests.add(netns_pair.ifindex_b)
        with Promiscuous(netns_pair.ifindex_b, requests):
            assert promiscuity(netns_pair) == 1, "the kernel counts sockets"
        assert promiscuity(netns_pair) == 1
        requests.drop(netns_pair.ifindex_b)
        assert promiscuity(netns_pair) == 0
        requests.drop(4711)
        requests.add(netns_pair.ifindex_b)
    assert eventually(lambda: promiscuity(netns_pair) == 0)
    requests.drop(netns_pair.ifindex_b)
