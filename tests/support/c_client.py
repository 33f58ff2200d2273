"""libpfq's client in a process of its own: tests/unit/native/client_driver.c, driven from here."""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, Self

ROOT = Path(__file__).parents[2]
NATIVE = ROOT / "native"
STRICT = ["-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Werror"]
SANITIZERS = ["-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
THREADS = ["-g", "-fsanitize=thread", "-Wno-tsan"]

PRIVATE, RESTRICTED, SHARED = 1, 2, 3
"""Policies, as pfq.h has them."""
DEFAULT = 1
ANY = -1


@cache
def program(flags: tuple[str, ...] = tuple(SANITIZERS)) -> Path:
    """The driver with all of the library in it, where any user can run it."""
    folder = Path(tempfile.mkdtemp(prefix="pfqt-c-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    folder.chmod(0o755)
    built = folder / "driver"
    sources = [ROOT / "tests/unit/native/client_driver.c", *sorted((NATIVE / "src").glob("*.c"))]
    command = ["cc", *STRICT, *flags, f"-I{NATIVE}/include", *map(str, sources), "-pthread", "-o", str(built)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return built


@dataclass(frozen=True)
class Said:
    """What a call returned, and what there was to say."""

    code: int
    text: str

    @property
    def numbers(self) -> list[int]:
        return [int(part) for part in self.text.split(",") if part]


class CClient:
    """A C program that calls the library.

    socket  of the daemon
    uid     whose process it is; None: ours
    """

    def __init__(self, socket: Path | str, uid: int | None = None, flags: tuple[str, ...] = tuple(SANITIZERS)) -> None:
        self._socket = str(socket)
        self.called: set[str] = set()
        who: dict[str, Any] = {} if uid is None else {"user": uid, "group": uid, "extra_groups": []}
        # `nobody` may not look into its parent, which the search for leaks does.
        environment = os.environ | {"ASAN_OPTIONS": "detect_leaks=1:abort_on_error=0"}
        self.process = subprocess.Popen(
            [program(flags)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
            **who,
        )

    def ask(self, call: str, *arguments: Any) -> None:
        """Sends a call; `answer` has what came of it."""
        assert self.process.stdin is not None
        self.called.add(call)
        self.process.stdin.write("\t".join(map(str, (call, *arguments))) + "\n")
        self.process.stdin.flush()

    def answer(self) -> Said:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            assert self.process.stderr is not None
            raise AssertionError(f"the C program has ended: {self.process.stderr.read()}")
        code, _, text = line.rstrip("\n").partition("\t")
        return Said(int(code), text)

    def __call__(self, call: str, *arguments: Any) -> Said:
        self.ask(call, *arguments)
        return self.answer()

    def open(self, how: str | int = "private", handle: int = 0, classes: int = DEFAULT, **options: int) -> Said:
        """Opens a handle: `private`, `nogroup`, or a policy."""
        names = ("snaplen", "slots", "clock", "weight", "timeout_ms")
        assert options.keys() <= set(names)
        return self("open", handle, how, classes, self._socket, *(options.get(name, 0) for name in names))

    def must(self, call: str, *arguments: Any) -> Said:
        """A call that works."""
        said = self(call, *arguments)
        assert said.code >= 0, f"{call}{arguments}: {said.code} {said.text}"
        return said

    def close(self) -> None:
        """Ends it, as a program that has done its work; it must have no leak and no fault."""
        assert self.process.stdin is not None
        assert self.process.stderr is not None
        self.process.stdin.close()
        said = self.process.stderr.read()
        assert self.process.wait(20) == 0, said
        assert said == ""
        self._release()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self._release()

    def _release(self) -> None:
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            assert stream is not None
            stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        if kind is not None:
            self.kill()
        elif self.process.returncode is None:
            self.close()
