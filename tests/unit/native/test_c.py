"""The library as a C program uses it: warnings are errors, and the sanitizers watch."""

from __future__ import annotations

import os
import shutil
import subprocess
from importlib.resources import files
from pathlib import Path

import pytest

HERE = Path(__file__).parent
NATIVE = HERE.parents[2] / "native"
STRICT = ["-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Werror"]

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["arrow_test", "endpoint_test", "flow_test", "write_test"])
def test_library_under_sanitizers(tmp_path: Path, name: str) -> None:
    program = tmp_path / name
    sources = [HERE / f"{name}.c", *sorted((NATIVE / "src").glob("*.c"))]
    command = ["cc", *STRICT, "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    built = subprocess.run(
        [*command, f"-I{NATIVE}/include", *map(str, sources), "-o", str(program)], capture_output=True, text=True
    )
    if "cannot find" in built.stderr and "san" in built.stderr:
        pytest.skip("the compiler has no sanitizers")
    assert built.returncode == 0, built.stderr
    ran = subprocess.run([program], capture_output=True, text=True)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "ok\n", "")


@pytest.mark.skipif(shutil.which("pkg-config") is None, reason="pkg-config is not installed")
def test_installed_library_is_found_by_pkg_config(tmp_path: Path) -> None:
    library = files("pfq") / "lib"
    environment = os.environ | {"PKG_CONFIG_PATH": str(library / "pkgconfig"), "LD_LIBRARY_PATH": str(library)}
    flags = subprocess.run(
        ["pkg-config", "--cflags", "--libs", "libpfq"], env=environment, capture_output=True, text=True, check=True
    ).stdout.split()
    program = tmp_path / "endpoint_test"
    subprocess.run(["cc", str(HERE / "endpoint_test.c"), *flags, "-o", str(program)], check=True)
    assert subprocess.run([program], env=environment, capture_output=True, text=True, check=True).stdout == "ok\n"
