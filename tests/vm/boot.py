"""Boots another kernel in a virtual machine that sees this machine's files, and runs a command there.

The kernels are Debian's own. They are unpacked, never installed, and boot with a small initial RAM disk: BusyBox, the
modules below, and a script that mounts the files of this machine (read-only, by 9p) under a layer of memory that
takes what is written.
"""

from __future__ import annotations

import lzma
import os
import platform
import re
import shutil
import subprocess
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

MEMORY_MIB, CPUS = 2048, 2
MIRROR = "http://deb.debian.org/debian"
KEYS = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
TOOLS = {"qemu-system-x86_64": "qemu-system-x86", "apt-get": "apt", "dpkg-deb": "dpkg"}
"""Programs, and the Debian package of each."""
NETWORK_SECONDS, DOWNLOAD_SECONDS = 20, 600

FOR_FILES = ("virtio_pci", "9pnet_virtio", "9p", "overlay")
FOR_TESTS = ("veth", "bridge", "ifb", "sch_ingress", "cls_bpf", "cls_u32")

INIT = """\
#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys /dev /host /layer /root
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t devtmpfs dev /dev
for module in $(cat /modules/order); do insmod /modules/$module; done
mount -t 9p -o ro,trans=virtio,version=9p2000.L,msize=1048576,cache=loose host /host
mount -t tmpfs tmpfs /layer
mkdir /layer/upper /layer/work
mount -t overlay -o lowerdir=/host,upperdir=/layer/upper,workdir=/layer/work overlay /root
mount -t proc proc /root/proc
mount -t sysfs sys /root/sys
mount -t bpf bpf /root/sys/fs/bpf
mount -t devtmpfs dev /root/dev
mkdir -p /root/dev/pts /root/dev/shm
mount -t devpts devpts /root/dev/pts
mount -t tmpfs tmpfs /root/dev/shm
mount -t tmpfs tmpfs /root/run
ip link set lo up
script=$(sed 's/.*script=\\([^ ]*\\).*/\\1/' /proc/cmdline)
stty -F /dev/ttyS1 raw
chroot /root /bin/sh $script >/dev/ttyS1 2>&1 </dev/null
echo "exit status $?" >/dev/ttyS1
reboot -f
"""


class CannotBootError(Exception):
    """There is no virtual machine to be had; says why."""


@dataclass(frozen=True, slots=True)
class Kernel:
    """A kernel that PFQ supports.

    version  as `uname -r` begins
    suite    the release of Debian whose kernel it is
    """

    version: str
    suite: str

    def __str__(self) -> str:
        return self.version


KERNELS = (Kernel("6.1", "bookworm"), Kernel("6.12", "trixie"))


@dataclass(frozen=True, slots=True)
class Image:
    """What a machine boots."""

    kernel: Path
    disk: Path


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a script left: its output, and its exit status; None when the machine went down before its end."""

    output: str
    status: int | None


def missing_tool() -> str | None:
    """What keeps this machine from booting another kernel."""
    if platform.machine() != "x86_64":
        return f"the kernels are for x86_64, and this is {platform.machine()}"
    for tool, package in TOOLS.items():
        if shutil.which(tool) is None:
            return f"there is no `{tool}` (Debian: {package})"
    return None if KEYS.exists() else f"there is no {KEYS} (Debian: debian-archive-keyring)"


def image(kernel: Kernel, store: Path) -> Image:
    """The image of a kernel, from `store` when it is there; otherwise it is downloaded and kept there."""
    recipe = sha256(f"{INIT} {FOR_FILES} {FOR_TESTS}".encode()).hexdigest()[:8]
    found = Image(store / f"linux-{kernel.version}-{recipe}", store / f"disk-{kernel.version}-{recipe}")
    if not (found.kernel.exists() and found.disk.exists()):
        with TemporaryDirectory() as folder:
            tree = _unpacked(kernel.suite, Path(folder))
            _write(found.disk, _archive(_disk(tree)))
            _write(found.kernel, next((tree / "boot").glob("vmlinuz-*")).read_bytes())
    return found


def _write(path: Path, content: bytes) -> None:
    """Nobody sees half a file."""
    part = path.with_suffix(f".{os.getpid()}")
    part.write_bytes(content)
    part.replace(path)


# packages


def _unpacked(suite: str, folder: Path) -> Path:
    """A folder with the kernel of a release and BusyBox; this machine's own apt is left alone."""
    for name in ("lists/partial", "cache/archives/partial", "tree"):
        (folder / name).mkdir(parents=True)
    (folder / "sources.list").write_text(f"deb [signed-by={KEYS}] {MIRROR} {suite} main\n")
    options = {
        "Dir::Etc::sourcelist": folder / "sources.list",
        "Dir::Etc::sourceparts": "-",
        "Dir::State::lists": folder / "lists",
        "Dir::Cache": folder / "cache",
        "Acquire::Languages": "none",
        "Acquire::http::Timeout": NETWORK_SECONDS,
        "APT::Update::Error-Mode": "any",
        "APT::Sandbox::User": "",
    }
    apt = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
    _run(folder, "apt-get", *apt, "-qq", "update")
    depends = _run(folder, "apt-cache", *apt, "depends", "linux-image-amd64")
    package = re.search(r"Depends: (linux-image-\S+)", depends)
    if package is None:
        raise CannotBootError(f"{suite} has no linux-image-amd64")
    _run(folder, "apt-get", *apt, "-qq", "download", package[1], "busybox-static")
    for archive in folder.glob("*.deb"):
        _run(folder, "dpkg-deb", "-x", str(archive), str(folder / "tree"))
    return folder / "tree"


def _run(folder: Path, *command: str) -> str:
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=DOWNLOAD_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise CannotBootError(f"{command[0]} takes more than {DOWNLOAD_SECONDS} s") from error
    if done.returncode:
        raise CannotBootError(f"{command[0]} fails: {done.stderr.strip()}")
    return done.stdout


# the initial RAM disk


def _disk(tree: Path) -> Iterator[tuple[str, int, bytes]]:
    """(path, mode, content) of what lies on the disk."""
    for folder in ("bin", "modules"):
        yield folder, 0o040755, b""
    yield "bin/busybox", 0o100755, next(tree.glob("**/bin/busybox")).read_bytes()
    yield "init", 0o100755, INIT.encode()
    modules = dict(_modules(tree, (*FOR_FILES, *FOR_TESTS)))
    for name, content in modules.items():
        yield f"modules/{name}", 0o100644, content
    yield "modules/order", 0o100644, "\n".join(modules).encode()


def _modules(tree: Path, wanted: Iterable[str]) -> Iterator[tuple[str, bytes]]:
    """Modules in an order in which they can be inserted: after those they need. Some are part of the kernel itself."""
    files = {path.name.partition(".")[0].replace("-", "_"): path for path in tree.glob("**/*.ko*")}
    for name in wanted:
        if name in files:
            packed = files[name].read_bytes()
            content = lzma.decompress(packed) if files[name].suffix == ".xz" else packed
            needs = re.search(rb"\0depends=([^\0]*)\0", content)
            yield from _modules(tree, needs[1].decode().replace("-", "_").split(",") if needs else ())
            yield name, content


def _archive(files: Iterable[tuple[str, int, bytes]]) -> bytes:
    """A cpio archive in the format `newc`."""
    parts = []
    for number, (name, mode, content) in enumerate((*files, ("TRAILER!!!", 0, b"")), 1):
        fields = (number, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name) + 1, 0)
        head = b"070701" + b"".join(b"%08X" % field for field in fields) + name.encode() + b"\0"
        parts += [head, bytes(-len(head) % 4), content, bytes(-len(content) % 4)]
    return b"".join(parts)


# the machine

ACCELERATION = (("kvm", "host"), ("tcg,thread=multi", "max"))
"""Ways to run it, fastest first, with the processor that it has."""
FIRST_SIGN_SECONDS = 20
"""Where one virtual machine runs inside another, the faster way may hang; otherwise the kernel speaks at once."""
LAST_WORDS = 3000


def run(image: Image, script: str, seconds: float) -> Outcome:
    """Runs a shell script in the machine; raises TimeoutError when that takes longer."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "script").write_text(script)
        for accelerator, processor in ACCELERATION:
            if _boot(image, folder, accelerator, processor, seconds):
                return _outcome(folder)
        raise CannotBootError(f"QEMU cannot boot it: {(folder / 'errors').read_text()}")


def _outcome(folder: Path) -> Outcome:
    console, output = ((folder / name).read_text(errors="replace") for name in ("console", "output"))
    text, end, status = output.rpartition("exit status ")
    return Outcome(text, int(status)) if end else Outcome(f"{output}\n{console[-LAST_WORDS:]}", None)


def _boot(image: Image, folder: Path, accelerator: str, processor: str, seconds: float) -> bool:
    """Runs it to its end. False when it never began."""
    # fmt: off
    command = [
        "qemu-system-x86_64", "-accel", accelerator, "-cpu", processor, "-smp", str(CPUS), "-m", str(MEMORY_MIB),
        "-kernel", str(image.kernel), "-initrd", str(image.disk), "-no-reboot", "-nodefaults", "-display", "none",
        "-append", f"console=ttyS0 panic=-1 script={folder / 'script'}",
        "-virtfs", "local,path=/,mount_tag=host,security_model=none,readonly=on,multidevs=remap",
        "-serial", f"file:{folder / 'console'}", "-serial", f"file:{folder / 'output'}",
    ]
    # fmt: on
    console = folder / "console"
    console.touch()
    start = time.monotonic()
    with (folder / "errors").open("w") as errors, subprocess.Popen(command, stderr=errors) as machine:
        try:
            while machine.poll() is None:
                time.sleep(0.2)
                took = time.monotonic() - start
                if took > FIRST_SIGN_SECONDS and not console.read_bytes():
                    return False
                if took > seconds:
                    raise TimeoutError(f"no end after {seconds:.0f} s; so far:\n{_outcome(folder).output}")
        finally:
            machine.kill()
    return machine.returncode == 0
