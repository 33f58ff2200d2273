"""Source packages of Debian, for the many captures that other projects test with.

They are fetched when `pytest --fetch` asks for it and kept in the user's cache; without them the tests are skipped.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pfq-tests"
CAPTURES = {"tcpdump": "tests/", "wireshark": "test/captures/"}
"""Source package -> folder of its captures."""


class Unavailable(Exception):
    """Why a package cannot be had here."""


@cache
def captures(package: str, fetch: bool) -> Path:
    """The folder that holds a package's captures, flat; Unavailable when it is not there and cannot be fetched."""
    folder = CACHE / package
    if not folder.is_dir():
        if not fetch:
            raise Unavailable(f"needs the captures of {package}'s source package: pytest --fetch gets them")
        with TemporaryDirectory() as apt:
            _unpack(_download(package, Path(apt)), CAPTURES[package], folder)
    return folder


def _download(package: str, folder: Path) -> Path:
    """Fetches a package's original source with lists of our own, so that the machine's stay as they are."""
    if shutil.which("apt-get") is None:
        raise Unavailable("there is no apt-get here")
    for name in ("lists/partial", "archives/partial", "sources"):
        (folder / name).mkdir(parents=True)
    (folder / "sources.list").write_text("".join(f"deb-src {uri} {suite} main\n" for uri, suite in _suites()))
    options = {
        "Dir::Etc::sourcelist": folder / "sources.list",
        "Dir::Etc::sourceparts": "/dev/null",
        "Dir::State::lists": folder / "lists",
        "Dir::Cache": folder,
        "APT::Sandbox::User": "",
        "Acquire::Retries": "1",
        "Acquire::http::Timeout": "20",
    }
    command = ["apt-get", "-qq", *(f"-o{name}={value}" for name, value in options.items())]
    _run([*command, "update"], folder)
    _run([*command, "source", "--download-only", package], folder / "sources")
    found = [path for path in (folder / "sources").glob(f"{package}_*.orig.tar.*") if path.suffix != ".asc"]
    if not found:
        raise Unavailable(f"the source package {package} has no original source")
    return found[0]


def _suites() -> list[tuple[str, str]]:
    """Where this machine's own packages come from: address and suite."""
    form = "$(ORIGIN)|$(COMPONENT)|$(REPO_URI)|$(RELEASE)"
    listed = _run(["apt-get", "indextargets", "--format", form, "Created-By: Packages"], Path("/"))
    rows = [line.split("|") for line in listed.splitlines()]
    found = [(uri, suite) for origin, component, uri, suite in rows if (origin, component) == ("Debian", "main")]
    if not found:
        raise Unavailable("apt-get knows no archive of Debian; is this another system, or is `apt-get update` due?")
    return found


def _run(command: list[str], folder: Path) -> str:
    ran = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if ran.returncode:
        raise Unavailable(f"{command[0]} failed: {ran.stderr.strip()}")
    return ran.stdout


def _unpack(archive: Path, inside: str, folder: Path) -> None:
    """The captures below one folder of an archive; they appear all at once."""
    partial = folder.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    with tarfile.open(archive) as tar:
        for member in tar:
            name = member.name.partition("/")[2]
            if member.isfile() and name.startswith(inside) and ".pcap" in name and (data := tar.extractfile(member)):
                (partial / name.removeprefix(inside).replace("/", "_")).write_bytes(data.read())
    partial.rename(folder)
