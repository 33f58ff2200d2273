"""The C library as plain CMake installs it: found by pkg-config and by CMake, with its manual pages."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
EXAMPLE = ROOT / "examples/c/capture.c"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("cmake") is None or shutil.which("cc") is None, reason="CMake or cc is missing"),
]


def run(*command: object, **environment: str) -> str:
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, env=os.environ | environment)
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def prefix(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the library is installed."""
    build, prefix = (tmp_path_factory.mktemp(name) for name in ("build", "prefix"))
    run("cmake", "-S", ROOT, "-B", build, f"-DCMAKE_INSTALL_PREFIX={prefix}", "-DCMAKE_INSTALL_LIBDIR=lib")
    run("cmake", "--build", build, "-j2")
    run("cmake", "--install", build)
    return prefix


def asks_for_a_daemon(program: Path, prefix: Path, folder: Path) -> bool:
    """The example runs, up to where it needs a daemon."""
    environment = os.environ | {"LD_LIBRARY_PATH": str(prefix / "lib"), "PFQ_SOCKET": str(folder / "none")}
    done = subprocess.run([program, "any"], capture_output=True, text=True, env=environment)
    return done.returncode == 1 and f"{folder}/none: No such file or directory; is pfqd running?" in done.stderr


@pytest.mark.skipif(shutil.which("pkg-config") is None, reason="pkg-config is not installed")
def test_pkg_config_finds_it(prefix: Path, tmp_path: Path) -> None:
    flags = run("pkg-config", "--cflags", "--libs", "libpfq", PKG_CONFIG_PATH=str(prefix / "lib/pkgconfig")).split()
    run("cc", "-std=c11", "-Wall", "-Wextra", "-Werror", EXAMPLE, *flags, "-o", tmp_path / "capture")
    assert asks_for_a_daemon(tmp_path / "capture", prefix, tmp_path)


def test_cmake_finds_it(prefix: Path, tmp_path: Path) -> None:
    (tmp_path / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.25)\nproject(example C)\nfind_package(pfq 0.1 REQUIRED)\n"
        f'add_executable(capture "{EXAMPLE}")\ntarget_link_libraries(capture pfq::pfq)\n'
    )
    run("cmake", "-S", tmp_path, "-B", tmp_path / "build", f"-DCMAKE_PREFIX_PATH={prefix}")
    run("cmake", "--build", tmp_path / "build")
    assert asks_for_a_daemon(tmp_path / "build/capture", prefix, tmp_path)


def test_the_header_is_c_plus_plus_too(prefix: Path, tmp_path: Path) -> None:
    if shutil.which("c++") is None:
        pytest.skip("no C++ compiler")
    source = tmp_path / "program.cc"
    source.write_text("#include <pfq/pfq.h>\nint main() { return pfq_fold(7, 1); }\n")
    library = ["-I", prefix / "include", "-L", prefix / "lib", "-lpfq"]
    run("c++", "-Wall", "-Wextra", "-Wpedantic", "-Werror", source, *library, "-o", tmp_path / "program")
    run(tmp_path / "program", LD_LIBRARY_PATH=str(prefix / "lib"))


def functions() -> set[str]:
    text = "".join((ROOT / "native/include/pfq" / name).read_text() for name in ("pfq.h", "ring.h"))
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
    return set(re.findall(r"\b(pfq_\w+)\([^)]*\);", text))


def test_every_function_has_a_manual_page(prefix: Path) -> None:
    pages = {page.stem: page.read_text() for page in (prefix / "share/man/man3").iterdir()}
    assert functions() | {"pfq"} == set(pages)
    for name, text in pages.items():
        if link := re.fullmatch(r"\.so man3/(\w+)\.3\n", text):
            text = pages[link[1]]
            assert f".SS {name}\n" in text, f"{name} is not described"
        assert text.startswith(".TH ")
    overview = pages["pfq"]
    assert all(name in overview.replace("\\-", "-") for name in functions())


def test_manual_pages_are_good_troff(prefix: Path) -> None:
    if shutil.which("groff") is None:
        pytest.skip("groff is not installed")
    for page in (prefix / "share/man/man3").iterdir():
        if not page.read_text().startswith(".so"):
            done = subprocess.run(["groff", "-man", "-ww", "-Tutf8", page], capture_output=True, text=True)
            assert (done.returncode, done.stderr) == (0, ""), page.name


def test_it_is_built_without_python(tmp_path: Path) -> None:
    """Configuring is enough to see that nothing of it is needed."""
    said = run("cmake", "-S", ROOT, "-B", tmp_path, "-DCMAKE_DISABLE_FIND_PACKAGE_Python=ON")
    assert "no manual pages" in said
