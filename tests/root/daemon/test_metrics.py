"""What Prometheus reads of a running daemon is what it says of itself otherwise."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import asdict

import pytest
from prometheus_client.parser import text_string_to_metric_families
from root.daemon.process import Pfqd, group, pfqd_of
from root.network import Pair, eventually, numbered

import pfq

pytestmark = pytest.mark.root


@pytest.fixture
def daemon(netns_pair: Pair) -> Iterator[Pfqd]:
    with pfqd_of(netns_pair) as made:
        yield made


def scraped(daemon: Pfqd) -> dict[tuple[str, ...], float]:
    """Values by name and values of labels, in the order of their names."""
    with socket.socket(socket.AF_UNIX) as connected:
        connected.connect(str(daemon.state / "metrics.sock"))
        connected.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
        text = b"".join(iter(lambda: connected.recv(65536), b"")).decode().partition("\r\n\r\n")[2]
    families = text_string_to_metric_families(text)
    return {(each.name, *each.labels.values()): each.value for family in families for each in family.samples}


def test_counters_are_those_of_the_statistics(netns_pair: Pair, daemon: Pfqd) -> None:
    program = "inc 5 >-> when (has_port 9) drop >-> broadcast"
    daemon.configure(group(3, program, (netns_pair.dev_b,)), daemon=f'metrics = "unix:{daemon.state}/metrics.sock"')
    daemon.start()
    with pfq.connect(daemon.path) as engine, netns_pair.sender() as sender:
        endpoint = engine.endpoint(slots=64)
        engine.group(3).join(endpoint)
        sender.send(map(numbered, range(100)))
        assert eventually(lambda: engine.group(3).statistics().arrived == 100, 5.0)
        of_group, of_endpoint = asdict(engine.group(3).statistics()), asdict(endpoint.statistics())
        found = scraped(daemon)
        owner = ("0", "0")
        assert found["pfq_group_counter_total", "5", "3"] == of_group.pop("counters")[5] == 100
        for name, value in of_group.items():
            assert found[f"pfq_group_{name}_packets_total", "3"] == value, name
        assert of_endpoint["lost"] > 0
        assert found["pfq_endpoint_waiting_packets", *owner] == of_endpoint.pop("waiting") > 0
        for name, value in of_endpoint.items():
            assert found[f"pfq_endpoint_{name}_packets_total", *owner] == value, name
        assert found["pfq_group_members", "3"] == 1
        assert found["pfq_clients",] >= 1
        assert ("pfq_binding_info", "tap", netns_pair.dev_b, "in", "3") in found
        assert ("pfq_program_info", "XDP (native)", netns_pair.dev_b, "in") in found
        assert found["pfq_compile_seconds_count",] > 0
    assert eventually(lambda: ("pfq_endpoint_read_packets_total", *owner) not in scraped(daemon), 5.0)
