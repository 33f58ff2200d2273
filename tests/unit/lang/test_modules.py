"""Imports of files next to the program."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from pfq.errors import (
    DuplicateNameError,
    FileAccessError,
    ImportFailedError,
    LexicalError,
    ProgramError,
    ProgramErrors,
    TooBigError,
    TypeMismatchError,
    UnknownNameError,
)
from pfq.lang.compile import compile_file, compile_text
from pfq.lang.constants import CONSTANTS
from pfq.lang.limits import MAX_MODULES, MAX_SOURCE
from pfq.lang.modules import library_modules, library_names
from pfq.lang.prims import PRIMS


@pytest.fixture
def run(tmp_path: Path):
    def write_and_compile(main: str, **files: str) -> str:
        for name, text in files.items():
            path = tmp_path / (name.replace("__", "/").replace("_hs", ".hs") + ("" if "_hs" in name else ".pfq"))
            path.parent.mkdir(exist_ok=True, parents=True)
            path.write_text(text)
        (tmp_path / "Main.pfq").write_text(main)
        return str(compile_file(tmp_path / "Main.pfq"))

    return write_and_compile


LIBRARY = "module Lib.Filter where\n\nimport Network.PFQ.Lang.Default\n\nweb = port port_number\nport_number = 80\n"


@pytest.mark.parametrize(
    "main",
    [
        "import Lib.Filter\nmain = web",
        "import qualified Lib.Filter\nmain = Lib.Filter.web",
        "import qualified Lib.Filter as F\nmain = F.web",
        "import Lib.Filter as F\nmain = F.web >-> unit",
        "import Lib.Filter (web)\nmain = web",
        "import Lib.Filter hiding (port_number)\nport_number = 1\nmain = web",
        "import Lib.Filter -- with a comment\n\nport_number = 1\nmain = web",
        "import Lib.Filter\nimport Lib.Filter\nimport qualified Lib.Filter as G\nmain = G.web",
    ],
)
def test_import(run, main: str) -> None:
    assert run(main, Lib__Filter=LIBRARY) == "port 80"


def test_import_of_haskell_file(run) -> None:
    assert run("import Lib.Filter\nmain = web", Lib__Filter_hs=LIBRARY) == "port 80"


def test_imports_of_imports_are_relative_to_them(run) -> None:
    text = run("import Lib.A\nmain = a", Lib__A="import B\na = b", Lib__B="b = tcp")
    assert text == "tcp"


def test_polymorphic_import(run) -> None:
    assert run("import A\nmain = same ip >-> port (same 80)", A="same x = x") == "ip >-> port 80"


def test_main_is_not_imported(run) -> None:
    assert run("import A\nmain = a", A="main = drop\na = tcp") == "tcp"


@pytest.mark.parametrize(
    ("main", "error", "message"),
    [
        ("import Missing\nmain = ip", ImportFailedError, "there is no module `Missing`"),
        ("import qualified A\nmain = a", UnknownNameError, "unknown name `a`"),
        ("import A (b)\nmain = a", UnknownNameError, "unknown name `a`"),
        ("import A hiding (a)\nmain = a", UnknownNameError, "unknown name `a`"),
        ("import A\nmain = A.c", UnknownNameError, "unknown name `A.c`"),
        ("import A as B\nmain = A.a", UnknownNameError, "no module `A`"),
        ("import A\nmain = hidden", UnknownNameError, "unknown name `hidden`"),
        ("import A\nmain = p", ProgramError, "`main` must be an action"),
        ("import A\nimport B\nmain = ip", DuplicateNameError, "define `a`"),
    ],
)
def test_refused(run, main: str, error: type[ProgramError], message: str) -> None:
    with pytest.raises(error, match=message):
        run(main, A="module A (a, b, p) where\na = ip\nb = ip\np = is_tcp\nhidden = ip", B="a = tcp")


def test_import_cycle(run) -> None:
    with pytest.raises(ImportFailedError, match="`Main` imports itself: Main → A → Main"):
        run("import A\nmain = ip", A="import Main")
    with pytest.raises(ImportFailedError, match="A → B → A"):
        run("import A\nmain = ip", A="import B\na = ip", B="import A\nb = ip")


def test_mistakes_of_all_files_are_reported(run) -> None:
    with pytest.raises(ProgramErrors) as caught:
        run("import A\nmain = a >-> is_tcp", A="a = foo >-> port 70000")
    assert [Path(fault.span.source.name).name for fault in caught.value] == ["A.pfq", "A.pfq", "Main.pfq"]


def test_a_missing_module_does_not_make_its_names_unknown(run) -> None:
    with pytest.raises(ImportFailedError):
        run("import Missing\nmain = from_there >-> ip")
    with pytest.raises(ProgramErrors) as caught:
        run("import Missing\nmain = from_there >-> steer_flwo")
    assert [type(fault) for fault in caught.value] == [ImportFailedError, UnknownNameError]


def test_too_many_modules(run) -> None:
    files = {f"A{i}": f"import A{i + 1}\na{i} = ip" for i in range(MAX_MODULES)}
    with pytest.raises(TooBigError, match="modules"):
        run("import A0\nmain = ip", **files, **{f"A{MAX_MODULES}": "z = ip"})


def test_text_has_no_place_to_import_from() -> None:
    with pytest.raises(ImportFailedError, match=r"there is no module `Lib\.Filter`") as caught:
        compile_text("import Lib.Filter\nmain = ip")
    assert caught.value.hint == "a text has no files next to it; modules of the library: Networks, Services"


def test_a_text_imports_from_the_folder_it_is_given(tmp_path: Path) -> None:
    (tmp_path / "A.pfq").write_text("a = tcp")
    assert str(compile_text("import A\nmain = a", folder=tmp_path)) == "tcp"


def test_imports_that_do_not_stand_in_the_text(tmp_path: Path) -> None:
    (tmp_path / "A.pfq").write_text("a = tcp\nb = udp")
    (tmp_path / "Main.pfq").write_text("main = a >-> b\na = ip")
    assert str(compile_file(tmp_path / "Main.pfq", imports=["A"])) == "ip >-> udp"
    assert str(compile_text("a >-> dns", folder=tmp_path, imports=["A", "Services"])) == "tcp >-> filter (has_port 53)"
    with pytest.raises(ProgramErrors) as caught:
        compile_text("ip", imports=["Servces", "services"])
    assert [str(fault.span) for fault in caught.value] == ["<--import>:1:8", "<--import>:2:8"]
    assert caught.value.faults[0].hint == "did you mean `Services`?"


class TestLibrary:
    def test_found_by_files_and_texts(self, run) -> None:
        assert run("import Services\nmain = dns") == "filter (has_port 53)"
        assert str(compile_text("import qualified Services as S\nmain = S.dns")) == "filter (has_port 53)"

    def test_a_file_next_to_the_program_wins(self, run) -> None:
        assert run("import Services\nmain = dns", Services="dns = udp") == "udp"

    def test_a_file_elsewhere_does_not(self, run) -> None:
        text = run("import Lib.A\nmain = a", Lib__A="import Services\na = dns", Services="dns = udp")
        assert text == "filter (has_port 53)"

    def test_near_names(self, run) -> None:
        for main in ("import Servces\nmain = ip", "import Outgong\nmain = ip"):
            with pytest.raises(ImportFailedError) as caught:
                run(main, Outgoing="a = ip")
            assert caught.value.hint in ("did you mean `Services`?", "did you mean `Outgoing`?")

    def test_a_name_without_its_import(self) -> None:
        with pytest.raises(UnknownNameError, match="unknown name `is_bogon`") as caught:
            compile_text("filter is_bogon")
        assert caught.value.hint == "`import Networks` brings it"

    @pytest.mark.parametrize("name", library_modules())
    def test_every_definition_compiles_and_hides_nothing(self, name: str) -> None:
        names = [found for found, module in library_names().items() if module == name]
        assert len(names) >= 10
        assert not set(names) & {*PRIMS.names(), *CONSTANTS}
        for found in names:
            use = (
                found if f"is_{found}" in names else f"filter {found}" if "port" not in found else f"filter ({found} 1)"
            )
            assert "has_" in str(compile_text(f"import {name}\nmain = {use}"))

    def test_predicates_and_filters_come_in_pairs(self) -> None:
        names = set(library_names())
        for name in names:
            assert (name.removeprefix("is_") if name.startswith("is_") else f"is_{name}") in names or "_port" in name

    @pytest.mark.parametrize(
        ("name", "core"),
        [
            ("is_http", "is_tcp .&&. (has_port 80 .||. has_port 8080)"),
            ("is_https", "is_tcp .&&. has_port 443"),
            ("is_ssh", "is_tcp .&&. has_port 22"),
            ("is_ntp", "is_udp .&&. has_port 123"),
            ("is_dhcp", "is_udp .&&. (has_port 67 .||. has_port 68)"),
            ("is_snmp", "is_udp .&&. (has_port 161 .||. has_port 162)"),
            ("is_syslog", "is_udp .&&. has_port 514 .||. is_tcp .&&. has_port 601 .||. has_port 6514"),
            ("is_bgp", "is_tcp .&&. has_port 179"),
        ],
    )
    def test_services(self, name: str, core: str) -> None:
        assert str(compile_text(f"filter {name}", imports=["Services"])) == f"filter ({core})"

    @pytest.mark.parametrize(
        ("address", "name"),
        [
            ("172.31.255.255", "is_private"),
            ("fdff::1", "is_private"),
            ("100.127.0.1", "is_shared"),
            ("127.0.0.53", "is_loopback"),
            ("::1", "is_loopback"),
            ("fe80::1", "is_link_local"),
            ("239.255.255.250", "is_group"),
            ("ff02::fb", "is_group"),
            ("203.0.113.7", "is_documentation"),
            ("2001:db8::7", "is_documentation"),
            ("198.19.0.1", "is_benchmark"),
            ("0.0.0.0", "is_unspecified"),
            ("250.0.0.1", "is_reserved"),
        ],
    )
    def test_networks(self, address: str, name: str) -> None:
        """Each address is in its block and in no other one."""
        blocks = {
            found: [ip_network(call.args[0].network) for call in calls if call.prim.name == "has_addr"]
            for found, module in library_names().items()
            if module == "Networks" and found.startswith("is_") and found != "is_bogon"
            for calls in [compile_text(f"filter {found}", imports=["Networks"]).calls()]
        }
        assert [found for found, nets in blocks.items() if any(ip_address(address) in net for net in nets)] == [name]


def test_file_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(FileAccessError, match="No such file"):
        compile_file(tmp_path / "none.pfq")
    with pytest.raises(FileAccessError, match="directory"):
        compile_file(tmp_path)


def test_V7_file_is_not_text(tmp_path: Path) -> None:
    path = tmp_path / "a.pfq"
    path.write_bytes(b"\xef\xbb\xbfmain = ip -- \xc3\xa9\n-- \xff\n")
    with pytest.raises(LexicalError, match="0xff is not UTF-8") as caught:
        compile_file(path)
    assert (caught.value.span.line, caught.value.span.column) == (2, 4)


def test_V7_file_is_huge(tmp_path: Path) -> None:
    path = tmp_path / "a.pfq"
    path.write_bytes(b" " * (4 * MAX_SOURCE + 1))
    with pytest.raises(TooBigError, match="more than 8000000 bytes"):
        compile_file(path)


def test_V7_file_without_end() -> None:
    with pytest.raises(TooBigError):
        compile_file("/dev/zero")


def test_imported_type_mismatch_is_at_the_use(run) -> None:
    with pytest.raises(TypeMismatchError) as caught:
        run("import A\nmain = when a drop", A="a = tcp")
    assert caught.value.span.text == "a"
