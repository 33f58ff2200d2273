"""The page that Prometheus reads: over which sockets, and that nobody who is slow disturbs."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from pfq.daemon import metrics
from pfq.errors import PfqError


class Service:
    """What is asked of a service."""

    server = "1.2.3"

    def __init__(self) -> None:
        self.last: dict[str, Any] = {}
        self.hooks = SimpleNamespace(status=lambda: {"reload": self.last})

    def status(self) -> dict[str, int]:
        return {"clients": 3, "requests": 70, "errors": 5, "refused": 2, "received": 1000, "sent": 2000, "orphans": 0}


def idle() -> Any:
    return SimpleNamespace(lock=threading.RLock(), groups={}, endpoints={}, sides={}, compiler=None)


@contextmanager
def served(engine: Any, service: Any) -> Iterator[tuple[str, int]]:
    with metrics.listener("127.0.0.1:0") as where:
        thread = metrics.serve(where, engine, service)
        yield where.getsockname()
        where.shutdown(socket.SHUT_RDWR)
        thread.join(10)
        assert not thread.is_alive()


def answer(address: Any, request: bytes = b"GET /metrics HTTP/1.1\r\n\r\n") -> tuple[str, str]:
    """The status line, and the page."""
    with socket.create_connection(address, 10) as connected:
        connected.sendall(request)
        head, _, text = b"".join(iter(lambda: connected.recv(65536), b"")).partition(b"\r\n\r\n")
    return head.decode().partition("\r\n")[0], text.decode()


def samples(text: str) -> dict[str, float]:
    return {sample.name: sample.value for family in text_string_to_metric_families(text) for sample in family.samples}


def test_the_daemon() -> None:
    service = Service()
    with served(idle(), service) as address:
        status, text = answer(address)
        assert status == "HTTP/1.1 200 OK"
        found = samples(text)
        assert "pfq_config_last_reload_successful" not in found
        service.last = {"ok": False}
        assert samples(answer(address)[1])["pfq_config_last_reload_successful"] == 0
    assert found["pfq_clients"] == 3
    assert found["pfq_requests_total"] == 70
    assert found["pfq_request_errors_total"] == 5
    assert found["pfq_received_bytes_total"] == 1000
    assert found["process_resident_memory_bytes"] > 0
    assert 'pfq_info{version="1.2.3"} 1.0' in text


def test_every_metric_of_ours_is_explained() -> None:
    with served(idle(), Service()) as address:
        _, text = answer(address)
    families = [family for family in text_string_to_metric_families(text) if family.name.startswith("pfq")]
    assert len(families) > 20
    assert all(family.documentation.endswith(".") for family in families)


@pytest.mark.parametrize(
    ("request_", "status"),
    [(b"POST /metrics", "405"), (b"GET /secret", "404"), (b"GET /metrics?x=1", "200"), (b"HEAD /", "200")],
)
def test_other_requests(request_: bytes, status: str) -> None:
    with served(idle(), Service()) as address:
        line, text = answer(address, request_ + b" HTTP/1.1\r\nHost: x\r\n\r\n")
    assert line.split()[1] == status
    assert bool(text) == (b"GET /metrics" in request_)


def test_who_is_slow_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "SCRAPE_SECONDS", 0.2)
    with served(idle(), Service()) as address, socket.create_connection(address, 10) as silent:
        silent.sendall(b"GET /met")
        with socket.create_connection(address, 10) as endless:
            endless.sendall(b"x" * (metrics.MAX_REQUEST + 1))
            started = time.monotonic()
            assert answer(address)[0].endswith("OK")
            assert time.monotonic() - started < 5
            assert silent.recv(1) == b""


def test_an_engine_at_work_is_not_waited_for_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "LOCK_SECONDS", 0.05)
    engine = idle()
    with served(engine, Service()) as address:
        with engine.lock:
            assert answer(address) == ("HTTP/1.1 503 Service Unavailable", "")
        assert answer(address)[0].endswith("OK")


def test_a_socket_with_a_path(tmp_path: Path) -> None:
    path = tmp_path / "metrics.sock"
    for _ in range(2):  # the second time in the place of one that was left
        with metrics.listener(f"unix:{path}") as where:
            assert path.stat().st_mode & 0o777 == 0o660
            thread = metrics.serve(where, idle(), Service())
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(str(path))
                client.sendall(b"GET / HTTP/1.0\n\n")
                assert b"200 OK" in client.recv(1000)
            where.shutdown(socket.SHUT_RDWR)
            thread.join(10)
            assert not thread.is_alive()


def test_addresses(tmp_path: Path) -> None:
    with metrics.listener("[::1]:0") as where:
        assert where.family is socket.AF_INET6
        port = where.getsockname()[1]
        with pytest.raises(PfqError, match="cannot listen for metrics at"):
            metrics.listener(f"[::1]:{port}")
    (tmp_path / "file").write_text("mine")
    for wrong in (
        "localhost",
        "localhost:http",
        "1.2.3.4:99999",
        f"unix:{tmp_path}/not/there",
        f"unix:{tmp_path}/file",
    ):
        with pytest.raises(PfqError, match="metrics"):
            metrics.listener(wrong)
    assert (tmp_path / "file").read_text() == "mine"
