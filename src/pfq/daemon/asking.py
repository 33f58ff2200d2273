"""pfqd as its own client: what `--stop` and the watchdog ask a running one."""

from __future__ import annotations

import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pfq
from pfq.errors import DaemonGoneError
from pfq.wire.channel import connect
from pfq.wire.faults import from_record
from pfq.wire.messages import VERSION


class Asking:
    """A connection to the pfqd whose socket this is."""

    def __init__(self, path: Path, timeout_s: float) -> None:
        """Raises DaemonMissingError when nobody listens there, and what `ask` raises."""
        self._timeout_s = timeout_s
        self._number = 0
        self._channel = connect(path)
        try:
            self.ask("hello", version=VERSION, client=f"pfqd {pfq.__version__}")
        except BaseException:
            self._channel.close()
            raise

    def ask(self, call: str, **arguments: Any) -> dict[str, Any]:
        """The result of a call; raises the error that it answers, or DaemonGoneError when it does not answer."""
        number, end = self._number, time.monotonic() + self._timeout_s
        self._number += 1
        try:
            self._channel.send({"id": number, "call": call, **arguments}, timeout=self._timeout_s)
            while (found := self._channel.receive(max(0.0, end - time.monotonic()))) is not None:
                message = found[0]
                if message.get("id") == number and "error" in message:
                    raise from_record(message["error"])
                if message.get("id") == number:
                    return dict(message.get("result", {}))
        except (TimeoutError, ConnectionError):
            pass
        raise DaemonGoneError(f"pfqd does not answer `{call}`", hint="its log may say why")

    def close(self) -> None:
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self.close()
