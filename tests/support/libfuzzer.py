"""Builds and runs the libFuzzer targets of native/fuzz, with AddressSanitizer and UBSan."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from support.corpora import CORPUS, flow_seeds, message_seeds, seeds

NATIVE = Path(__file__).parents[2] / "native"
TARGETS = ("reader", "writer", "flow", "message")
KEPT = {"reader": "reader", "writer": "reader", "flow": "flow", "message": "message"}
"""Target -> folder of tests/corpus with its inputs."""

SEEDS = {"flow": flow_seeds, "message": message_seeds}
"""What targets begin with that do not read capture files."""

LIMITS = ["-rss_limit_mb=512", "-timeout=5", "-max_len=4096"]
# libFuzzer goes by the peak memory of the process, which after `exec` is that of whoever began it, here pytest.
SMALL_PARENT = ["sh", "-c", '"$@"; exit $?', "sh"]
STRICT = ["-std=c11", "-Wall", "-Wextra", "-Werror"]


@cache
def missing() -> str | None:
    """Why there is no fuzzing here, or None."""
    if shutil.which("clang") is None:
        return "clang is not installed"
    program = "int LLVMFuzzerTestOneInput(const char *d, long n) { return d && n < 0; }"
    command = ["clang", "-fsanitize=fuzzer,address", "-xc", "-", "-o/dev/null"]
    built = subprocess.run(command, input=program, capture_output=True, text=True)
    return "clang has no libFuzzer (Debian: libclang-rt-*-dev)" if built.returncode else None


@dataclass(frozen=True)
class Ran:
    """What came of fuzzing: the log, and the input that crashed, hung or took too much memory."""

    log: str
    culprit: Path | None


class Target:
    """One target, built in `folder`, with the inputs that it begins with."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self._program = folder / name
        self.found = folder / "found"
        self._seeds = folder / "seeds"
        self._culprits = folder / "culprits"
        for made in (self.found, self._seeds, self._culprits):
            made.mkdir()
        self._build()
        for name, data in SEEDS.get(self.name, seeds)():
            (self._seeds / name).write_bytes(data)

    def run(self, *options: str) -> Ran:
        """Runs over all inputs, and longer as far as the options of libFuzzer say so."""
        command = [*SMALL_PARENT, str(self._program), *LIMITS, f"-artifact_prefix={self._culprits}/", *options]
        ran = subprocess.run(
            [*command, str(self.found), str(self._seeds)], capture_output=True, text=True, errors="replace"
        )
        culprits = sorted(self._culprits.iterdir())
        if ran.returncode and not culprits:
            raise RuntimeError(ran.stderr)
        return Ran(ran.stderr, culprits[0] if culprits else None)

    def keep(self, culprit: Path | None, most: int) -> list[Path]:
        """Copies a culprit to tests/corpus, and what reaches new code: at most `most` files, the longest."""
        folder = CORPUS / KEPT[self.name]
        kept = []
        if culprit:
            kept.append(folder / f"past-{_digest(culprit)}")
            shutil.copy(culprit, kept[0])
        merged = self.found.with_name("merged")
        shutil.copytree(self._seeds, merged)
        before = set(merged.iterdir())
        command = [*SMALL_PARENT, str(self._program), *LIMITS, "-set_cover_merge=1", str(merged), str(self.found)]
        subprocess.run(command, capture_output=True, check=culprit is None)
        for path in sorted(set(merged.iterdir()) - before, key=lambda path: -path.stat().st_size)[:most]:
            kept.append(folder / f"{self.name}-{_digest(path)}")
            shutil.copy(path, kept[-1])
        return kept

    def _build(self) -> None:
        sources = [NATIVE / "fuzz" / f"{self.name}.c", *sorted((NATIVE / "src").glob("*.c"))]
        sanitizers = ["-g", "-O1", "-fsanitize=fuzzer,address,undefined", "-fno-sanitize-recover=all"]
        command = ["clang", *STRICT, *sanitizers, f"-I{NATIVE}/include", *map(str, sources), "-o", str(self._program)]
        built = subprocess.run(command, capture_output=True, text=True)
        if built.returncode:
            raise RuntimeError(built.stderr)


def _digest(path: Path) -> str:
    return hashlib.sha1(path.read_bytes()).hexdigest()[:16]
