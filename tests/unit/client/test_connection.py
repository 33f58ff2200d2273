"""Losing the daemon, finding it again, and the end."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from support.fakepfqd import FakeDaemon
from support.rings import frame_of

from pfq.client import connect, connection
from pfq.client.engine import RemoteEngine
from pfq.errors import (
    DaemonGoneError,
    DaemonMissingError,
    DeviceGoneError,
    NotPermittedError,
    RingClosedError,
    UsageError,
    VersionError,
)
from pfq.ring.reader import Reader
from pfq.wire.faults import to_record


def descriptors() -> list[str]:
    """What is open, without the memory files that the fake daemon keeps."""
    found = []
    for number in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):
            found.append(os.readlink(f"/proc/self/fd/{number}"))
    return [each for each in found if "memfd" not in each]


def eventually(condition: Callable[[], Any], seconds: float = 5.0) -> Any:
    end = time.monotonic() + seconds
    while not (found := condition()) and time.monotonic() < end:
        time.sleep(0.005)
    return found


def in_thread(work: Callable[[], Any]) -> Callable[[], Any]:
    """Begins the work in a thread; the result when it is asked for."""
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(work()))
    thread.start()

    def result() -> Any:
        thread.join(10)
        return found[0]

    return result


# nobody there


def test_nobody_at_the_socket_is_told_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(DaemonMissingError, match="there is no pfqd") as caught:
        connect(tmp_path / "pfqd.sock")
    assert "systemctl start pfqd" in str(caught.value.hint)
    assert caught.value.exit_status == 3


def test_a_dead_socket_is_nobody(daemon: FakeDaemon) -> None:
    daemon.die()
    with pytest.raises(DaemonMissingError, match="nobody listens at"):
        connect(daemon.path)


def test_a_daemon_that_hangs_up_at_once_is_none(daemon: FakeDaemon) -> None:
    daemon.answers["hello"] = lambda request: daemon.channels[-1].hang_up() or {}
    with pytest.raises(DaemonMissingError, match="closed the connection at once"):
        connect(daemon.path)


def test_who_has_no_right_is_told(daemon: FakeDaemon) -> None:
    refused = NotPermittedError("user nobody has no rights here", hint="ask")
    daemon.answers["hello"] = lambda request: {"id": None, "error": to_record(refused)}
    with pytest.raises(NotPermittedError, match="has no rights here"):
        connect(daemon.path)


def test_another_version_of_the_protocol_is_told(daemon: FakeDaemon) -> None:
    daemon.answers["hello"] = lambda request: {"error": to_record(VersionError("this pfqd speaks version 2"))}
    with pytest.raises(VersionError, match="speaks version 2"):
        connect(daemon.path)


def test_the_variable_names_the_socket(daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PFQ_SOCKET", str(daemon.path))
    with connect() as engine:
        assert engine.connection.path == str(daemon.path)


def test_a_connection_that_fails_leaves_nothing(daemon: FakeDaemon, tmp_path: Path) -> None:
    daemon.answers["hello"] = lambda request: {"error": to_record(VersionError("no"))}
    before, threads = descriptors(), threading.active_count()
    for path in (daemon.path, tmp_path / "none"):
        with pytest.raises((VersionError, DaemonMissingError)):
            connect(path)
    daemon.die()
    assert threading.active_count() <= threads
    assert len(descriptors()) <= len(before)


# calls


def test_calls_of_several_threads_each_get_their_answer(daemon: FakeDaemon, engine: RemoteEngine) -> None:
    daemon.answers["status"] = lambda request: {"id": request["id"]}
    results = [in_thread(lambda: [engine.status()["id"] for _ in range(50)]) for _ in range(4)]
    numbers = [number for result in results for number in result()]
    assert len(set(numbers)) == 200


def test_errors_of_the_daemon_are_raised_as_what_they_are(daemon: FakeDaemon, engine: RemoteEngine) -> None:
    def refuse(request: dict[str, Any]) -> dict[str, Any]:
        raise NotPermittedError("group 3 refused: it is private", hint="ask its owner")

    daemon.answers["group.open"] = refuse
    with pytest.raises(NotPermittedError, match="group 3 refused") as caught:
        engine.group(3)
    assert caught.value.hint == "ask its owner"


def test_answers_to_nobody_are_dropped(daemon: FakeDaemon, engine: RemoteEngine) -> None:
    daemon.tell(id=999, result={})
    daemon.tell(id=None, error=to_record(UsageError("what was that?")))
    daemon.tell(event="from the future")
    assert engine.group(1).number == 1


def test_long_lists_come_in_parts(daemon: FakeDaemon, engine: RemoteEngine) -> None:
    def parts(request: dict[str, Any]) -> dict[str, Any]:
        for part in ([1, 2], [3]):
            daemon.tell(id=request["id"], more=True, result={"groups": part})
        return {"groups": [4], "endpoints": [5]}

    daemon.answers["list"] = parts
    assert engine.listed() == {"groups": [1, 2, 3, 4], "endpoints": [5]}


# the daemon dies


def test_packets_come_while_the_daemon_is_away(daemon: FakeDaemon, engine: RemoteEngine) -> None:
    endpoint = engine.endpoint()
    daemon.die()
    daemon.rings[0].publish(frame_of(1))
    batch = endpoint.reader.read(timeout=5)
    assert batch is not None
    assert batch.bytes(0) == frame_of(1)
    assert endpoint.statistics().read == 1


def test_a_call_waits_for_the_next_daemon_and_the_session_goes_on(daemon: FakeDaemon, engine: RemoteEngine) -> None:
    endpoint = engine.endpoint()
    token = engine.connection.session.greeting["token"]
    daemon.die()
    result = in_thread(lambda: engine.group(7).number)
    time.sleep(0.05)
    daemon.start()
    assert result() == 7
    assert daemon.hellos[-1]["resume"] == token
    daemon.rings[0].publish(frame_of(1))
    assert endpoint.reader.read(timeout=5) is not None


def test_a_call_that_was_lost_with_the_daemon_is_made_again(daemon: FakeDaemon, engine: RemoteEngine) -> None:
    asked = threading.Event()

    def slow(request: dict[str, Any]) -> dict[str, Any]:
        asked.set()
        time.sleep(0.2)
        return {"pid": len(daemon.hellos)}

    daemon.answers["status"] = slow
    result = in_thread(engine.status)
    assert asked.wait(5)
    daemon.channels[-1].hang_up()
    daemon.die()
    daemon.start()
    assert result() == {"pid": 2}
    assert daemon.calls() == ["status", "status"]


def test_a_call_does_not_wait_for_ever(
    daemon: FakeDaemon, engine: RemoteEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "PATIENCE_S", 0.1)
    daemon.die()
    with pytest.raises(DaemonGoneError, match="has been away") as caught:
        engine.group(1)
    assert caught.value.hint == "packets still come; the call can be made again once it is back"
    daemon.start()
    assert eventually(lambda: engine.connection.session.channel is not None)
    assert engine.group(1).number == 1


def test_an_endpoint_that_was_closed_meanwhile_is_closed_at_the_daemon(
    daemon: FakeDaemon, engine: RemoteEngine
) -> None:
    kept, closed = engine.endpoint(), engine.endpoint()
    daemon.die()
    assert eventually(lambda: engine.connection.session.channel is None)
    closed.close()
    daemon.start()
    assert eventually(lambda: "endpoint.close" in daemon.calls())
    assert daemon.asked[-1]["endpoint"] == closed.number
    assert list(daemon.sessions.values()) == [{kept.number}]


def test_a_daemon_that_forgot_the_session_ends_readers_and_calls_about_endpoints(
    daemon: FakeDaemon, engine: RemoteEngine
) -> None:
    endpoint = engine.endpoint()
    daemon.die()
    daemon.rings[0].publish(frame_of(1))
    daemon.sessions.clear()
    daemon.start()
    assert eventually(lambda: len(daemon.hellos) == 2)
    assert endpoint.reader.read(timeout=5) is not None, "what had come is read first"
    with pytest.raises(DaemonGoneError, match="was started anew"):
        endpoint.reader.read(timeout=5)
    with pytest.raises(DaemonGoneError, match="does not know end-point 0"):
        endpoint.weight = 2
    endpoint.close()
    assert engine.endpoint().number == 1, "a session of its own goes on"


def test_a_daemon_that_forgot_an_endpoint_ends_its_reader_only(daemon: FakeDaemon, engine: RemoteEngine) -> None:
    kept, lost = engine.endpoint(), engine.endpoint()
    daemon.die()
    daemon.sessions[engine.connection.session.greeting["token"]].remove(lost.number)
    daemon.start()
    with pytest.raises(DaemonGoneError, match="does not know end-point 1"):
        lost.reader.read(timeout=5)
    daemon.rings[0].publish(frame_of(1))
    assert kept.reader.read(timeout=5) is not None


def test_a_successor_that_is_short_of_something_is_asked_again(daemon: FakeDaemon, engine: RemoteEngine) -> None:
    daemon.die()
    daemon.answers["hello"] = lambda request: {"error": to_record(UsageError("too many connections"))}
    daemon.start()
    assert eventually(lambda: len(daemon.hellos) >= 3)
    del daemon.answers["hello"]
    assert engine.group(1).number == 1


def test_a_successor_of_another_version_ends_the_session(daemon: FakeDaemon, engine: RemoteEngine) -> None:
    endpoint = engine.endpoint()
    daemon.die()
    daemon.answers["hello"] = lambda request: {"error": to_record(VersionError("this pfqd speaks version 2"))}
    daemon.start()
    with pytest.raises(VersionError):
        endpoint.reader.read(timeout=5)
    with pytest.raises(VersionError):
        engine.group(1)


# events


def test_a_device_that_is_gone_ends_the_reader(daemon: FakeDaemon, engine: RemoteEngine) -> None:
    endpoint, other = engine.endpoint(), engine.endpoint()
    daemon.rings[0].publish(frame_of(1))
    gone = DeviceGoneError("the device `eth0` disappeared", hint="wait")
    daemon.tell(event="failed", endpoint=0, error=to_record(gone))
    assert endpoint.reader.read(timeout=5) is not None
    with pytest.raises(DeviceGoneError, match="eth0"):
        endpoint.reader.read(timeout=5)
    assert other.reader.read(timeout=0) is None
    endpoint.weight = 2


def test_a_daemon_that_stops_ends_all_readers_after_what_has_come(daemon: FakeDaemon, engine: RemoteEngine) -> None:
    endpoint = engine.endpoint()
    daemon.rings[0].publish(frame_of(1), frame_of(2))
    daemon.tell(event="stopping")
    assert [len(batch) for batch in endpoint.reader] == [2]
    with pytest.raises(RingClosedError, match="pfqd was stopped"):
        engine.group(1)
    assert len(daemon.hellos) == 1


# the end


def test_closing_ends_thread_readers_and_connection(daemon: FakeDaemon) -> None:
    threads, before = threading.active_count(), len(descriptors())
    engine = connect(daemon.path)
    endpoint = engine.endpoint()
    daemon.rings[0].publish(frame_of(1))
    endpoint.reader.read(timeout=5)
    engine.close()
    engine.close()
    assert endpoint.reader.closed
    assert endpoint.statistics().read == 1
    with pytest.raises(RingClosedError):
        engine.group(1)
    with pytest.raises(RingClosedError):
        endpoint.weight = 2
    endpoint.close()
    daemon.die()
    assert threading.active_count() < threads
    assert len(descriptors()) < before, "the daemon's listener has gone, too"


def test_closing_does_not_wait_for_a_daemon_that_is_away(daemon: FakeDaemon, engine: RemoteEngine) -> None:
    endpoint = engine.endpoint()
    daemon.die()
    assert eventually(lambda: engine.connection.session.channel is None)
    begun = time.monotonic()
    endpoint.close()
    engine.close()
    assert time.monotonic() - begun < connection.PATIENCE_S / 2


def test_an_engine_that_nobody_has_any_more_ends(daemon: FakeDaemon) -> None:
    """Warnings are errors here, so an unclosed file would show."""
    engine = connect(daemon.path)
    reader: Reader = engine.endpoint().reader
    thread = engine.connection._thread
    del engine
    gc.collect()
    thread.join(5)
    assert not thread.is_alive()
    assert reader.closed


def test_a_connection_lives_as_long_as_what_it_made(daemon: FakeDaemon) -> None:
    endpoint = connect(daemon.path).endpoint()
    gc.collect()
    daemon.rings[0].publish(frame_of(1))
    assert endpoint.reader.read(timeout=5) is not None
    endpoint.weight = 2
    endpoint._engine.close()


SCRIPT = """
import os, sys
sys.path[:0] = {paths}
import pfq
from pfq.errors import UsageError
engine = pfq.connect({path!r})
endpoint = engine.endpoint()
"""


def run(daemon: FakeDaemon, code: str) -> str:
    script = SCRIPT.format(paths=sys.path, path=str(daemon.path)) + code
    done = subprocess.run(
        [sys.executable, "-W", "error", "-X", "dev", "-c", script], capture_output=True, text=True, timeout=30
    )
    assert done.stderr == ""
    return done.stdout


def test_a_process_may_end_without_closing_anything(daemon: FakeDaemon) -> None:
    assert run(daemon, "print(endpoint.number)") == "0\n"
    assert run(daemon, "engine.closed = endpoint.reader\nprint('in a circle')") == "in a circle\n"


CRAMPED = """
import resource
from pfq.errors import LimitError
limits = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (64, limits[1]))
try:
    while True:
        os.dup(0)
except OSError:
    pass
try:
    engine.endpoint()
except LimitError as error:
    print(error.message)
resource.setrlimit(resource.RLIMIT_NOFILE, limits)
print(engine.group(3).number)
"""


def test_a_reply_whose_descriptors_do_not_fit_fails_the_call_and_no_other(daemon: FakeDaemon) -> None:
    said = run(daemon, CRAMPED)
    assert said == "descriptors that were sent got lost: this process has too many open\n3\n"


FORKED = """
if child := os.fork():
    assert os.waitpid(child, 0)[1] == 0
    print(engine.group(3).number)
else:
    code = 1
    try:
        engine.group(3)
    except UsageError as error:
        code = 0 if "belongs to the parent" in error.message else 2
    endpoint.close()
    engine.close()
    os._exit(code)
"""


def test_a_child_that_uses_its_parents_connection_is_told(daemon: FakeDaemon) -> None:
    assert run(daemon, FORKED) == "3\n"
    assert daemon.calls() == ["endpoint.open", "group.open"]


ORPHANED = """
import signal, time
if os.fork() == 0:
    os.close(1), os.close(2)
    time.sleep(20)
    os._exit(0)
print("forked", flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_connection_ends_with_the_parent_though_a_child_goes_on(daemon: FakeDaemon) -> None:
    ended = threading.Event()
    serve = daemon._serve

    def watched(channel: Any) -> None:
        serve(channel)
        ended.set()

    daemon._serve = watched  # type: ignore[method-assign]
    assert run(daemon, ORPHANED) == "forked\n"
    assert ended.wait(5)
