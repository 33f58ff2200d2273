"""`pfq check`, `compile` and `explain`: commands about programs; and `pfq-lang`."""

from __future__ import annotations

import json
import platform
import tomllib
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from support.captures import Run

import pfq
from pfq.cli.compile import tool as compiler
from pfq.errors import error_classes
from pfq.lang.jsonform import from_json

PROGRAM = "ip >-> when is_tcp (mark 1) >-> steer_flow"
UNKNOWN = "is neither a file, nor a primitive, nor in the library, nor the code of an error"


@pytest.fixture
def edge(tmp_path: Path) -> str:
    path = tmp_path / "edge.pfq"
    path.write_text(f"main = {PROGRAM}\n")
    return str(path)


class TestCheck:
    def test_correct(self, run: Run, edge: str) -> None:
        for done in (run("check", edge), run("check", "-P", PROGRAM), run("check", "-", input=PROGRAM)):
            assert (done.exit_code, done.stdout, done.stderr) == (0, f"{PROGRAM}\n", "")

    def test_json(self, run: Run) -> None:
        assert json.loads(run("check", "-j", "-P", "ip").stdout) == {"correct": True, "core": "ip"}

    def test_all_errors_are_reported(self, run: Run) -> None:
        done = run("check", "-P", "stear_flow >-> ipp")
        assert done.exit_code == 1
        assert done.stderr.count("error[PFQ103]") == 2
        assert done.stderr.startswith("<-P>:1:1: error[PFQ103]: unknown name `stear_flow`\n")

    def test_errors_as_json(self, run: Run) -> None:
        done = run("check", "-j", "-P", "stear_flow >-> ipp")
        assert [fault["column"] for fault in json.loads(done.stderr)["errors"]] == [1, 16]

    @pytest.mark.parametrize("arguments", [[], ["edge.pfq", "-P", "ip"]])
    def test_one_program_is_needed(self, run: Run, arguments: list[str]) -> None:
        done = run("check", *arguments)
        assert done.exit_code == 1
        assert "error[PFQ201]: give a file or a program, one of them\n" in done.stderr


class TestCompile:
    def test_core(self, run: Run, edge: str) -> None:
        assert run("compile", edge).stdout == f"{PROGRAM}\n"

    def test_standard_input(self, run: Run) -> None:
        for arguments in (["-"], []):
            assert run("compile", *arguments, input="main = ip").stdout == "ip\n"

    def test_json_is_read_back(self, run: Run) -> None:
        for option in (["--emit", "json"], ["--json"]):
            text = run("compile", "-P", "ip >-> tcp", *option).stdout
            assert text.endswith("]\n")
            assert str(from_json(text)) == "ip >-> tcp"

    def test_two_forms(self, run: Run) -> None:
        done = run("compile", "-P", "ip", "--json", "--emit", "asm")
        assert (done.exit_code, json.loads(done.stderr)["errors"][0]["code"]) == (1, "PFQ201")

    def test_imports(self, run: Run, edge: str) -> None:
        (Path(edge).parent / "Local.pfq").write_text("tcp = drop\nweb = http")
        done = run("compile", "--import", "Services", "--import", "Local", edge)
        assert done.exit_code == 1
        assert "Local.pfq:2:7: error[PFQ103]: unknown name `http`" in done.stderr
        (Path(edge).parent / "Local.pfq").write_text("import Services\nmark n = http")
        assert run("compile", "--import", "Local", edge).stdout == (
            "ip >-> when is_tcp (filter (is_tcp .&&. (has_port 80 .||. has_port 8080))) >-> steer_flow\n"
        )

    def test_a_text_imports_from_the_folder_where_it_is_typed(
        self, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "Local.pfq").write_text("web = port 80")
        monkeypatch.chdir(tmp_path)
        assert run("compile", "--import", "Local", "-P", "web").stdout == "port 80\n"
        assert run("check", "-", input="import Local\nmain = web").stdout == "port 80\n"

    def test_input_that_is_no_text(self, run: Run) -> None:
        done = run("compile", input=b"main = ip\n\xff")
        assert (done.exit_code, done.stderr.partition("\n")[0]) == (
            1,
            "<stdin>:2:1: error[PFQ101]: byte 0xff is not UTF-8 text",
        )

    def test_llvm(self, run: Run) -> None:
        assert 'target triple = "bpf' in run("compile", "-P", "ip", "--emit", "llvm").stdout

    def test_asm(self, run: Run) -> None:
        assert "\texit\n" in run("compile", "-P", "ip", "--emit", "asm").stdout

    def test_object(self, run: Run, tmp_path: Path) -> None:
        path = tmp_path / "ip.o"
        assert run("compile", "-P", "ip", "--emit", "bpf", "--output", str(path)).exit_code == 0
        assert path.read_bytes().startswith(b"\x7fELF")
        assert run("compile", "-P", "ip", "--emit", "bpf").stdout_bytes == path.read_bytes()

    def test_output_that_cannot_be_written(self, run: Run, tmp_path: Path) -> None:
        done = run("compile", "-P", "ip", "-o", str(tmp_path / "no" / "ip.core"))
        assert done.exit_code == 1
        assert "error[PFQ203]: cannot write" in done.stderr

    def test_unknown_form(self, run: Run) -> None:
        done = run("compile", "-P", "ip", "--emit", "jvm")
        assert done.exit_code == 1
        assert "'jvm' is not one of" in done.stderr


class TestPfqLang:
    """What programs that call the original's compiler rely on (original: `pfq-lang [OPTIONS] [FILE]`)."""

    @pytest.fixture
    def tool(self, monkeypatch: pytest.MonkeyPatch) -> Run:
        monkeypatch.setenv("COLUMNS", "100")

        def tool(*arguments: str, **options: Any) -> Result:
            return CliRunner().invoke(compiler, arguments, prog_name="pfq-lang", **options)

        return tool

    def test_without_json_it_only_checks(self, tool: Run, edge: str, tmp_path: Path) -> None:
        for done in (tool(edge), tool("-"), tool(input=PROGRAM)):
            assert done.stdout == ""
        assert tool(edge, "-o", str(tmp_path / "out")).exit_code == 0
        assert (tmp_path / "out").read_text() == ""

    def test_json(self, tool: Run, edge: str, tmp_path: Path) -> None:
        text = tool("--json", edge).stdout
        assert str(from_json(text)) == PROGRAM
        assert tool("--json", input=PROGRAM).stdout == text
        assert tool("--json", f"--output={tmp_path / 'out'}", edge).stdout == ""
        assert (tmp_path / "out").read_text() == text

    def test_the_example_of_the_original(self, tool: Run) -> None:
        none = [None] * 8
        assert json.loads(tool("--json", input="main = when is_tcp drop").stdout) == [
            {
                "funIndex": 0,
                "funSymbol": "when",
                "funArgs": [{"argType": "Fun", "argValue": 1}, {"argType": "Fun", "argValue": 2}, *none[2:]],
                "funLink": 3,
            },
            {"funIndex": 1, "funSymbol": "is_tcp", "funArgs": none, "funLink": -1},
            {"funIndex": 2, "funSymbol": "drop", "funArgs": none, "funLink": -1},
        ]

    @pytest.mark.parametrize("options", [[], ["--json"]])
    def test_a_wrong_program(self, tool: Run, options: list[str], tmp_path: Path) -> None:
        done = tool(*options, "-o", str(tmp_path / "out"), input="main = is_tcp")
        assert (done.exit_code, done.stdout, (tmp_path / "out").exists()) == (1, "", False)
        assert done.stderr.startswith("<stdin>:1:8: error[PFQ110]: `main` must be an action")

    def test_imports(self, tool: Run) -> None:
        done = tool("--json", "--import=Services", "--import", "Networks", input="dns >-> private")
        assert str(from_json(done.stdout)).startswith("filter (has_port 53) >-> filter (has_addr 10.0.0.0/8")

    def test_verbosity(self, tool: Run, edge: str) -> None:
        assert tool("--verbosity=0", edge).stderr == ""
        told = tool("--verbosity=1", "--import", "Services", edge).stderr.splitlines()
        assert [line.partition(":")[0] for line in told] == ["imports", "search path", "loaded"]
        assert told[0] == "imports: Services"
        assert told[1].startswith(f"search path: {Path(edge).parent} ")
        assert told[2].endswith(f"Services.pfq {edge}")
        assert tool("--verbosity=2", input=PROGRAM).stderr.splitlines()[3] == f"program: {PROGRAM}"

    @pytest.mark.parametrize("option", ["-V", "--version", "--ver"])
    def test_version(self, tool: Run, option: str) -> None:
        assert tool(option).stdout == f"pfq-lang {pfq.__version__}, Python {platform.python_version()}\n"

    @pytest.mark.parametrize(("options", "instead"), [(["--fdescr"], "--json"), (["--gid", "3"], "pfq capture")])
    def test_what_is_done_elsewhere(self, tool: Run, edge: str, options: list[str], instead: str) -> None:
        done = tool(*options, edge)
        assert (done.exit_code, done.stdout) == (1, "")
        assert instead in done.stderr.partition("hint:")[2]

    def test_it_is_installed(self) -> None:
        scripts = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())["project"]["scripts"]
        module, _, name = scripts["pfq-lang"].partition(":")
        assert callable(getattr(import_module(module), name))


class TestExplain:
    def test_program(self, run: Run, edge: str) -> None:
        shown = run("explain", edge).stdout
        assert f"core     {PROGRAM}\n" in shown
        assert "does     ip: Passes the packet when it is IPv4, drops it otherwise.\n" in shown
        assert "runs     in the kernel" in shown

    def test_program_on_a_device(self, run: Run, edge: str) -> None:
        done = run("explain", edge, "-i", "nosuchdevice")
        assert (done.exit_code, done.stderr.partition("]")[0]) == (3, "error[PFQ303")

    def test_primitive(self, run: Run) -> None:
        shown = run("explain", "steer_flow").stdout.splitlines()
        assert shown[0].split() == ["name", "steer_flow"]
        assert shown[1].split(maxsplit=1) == ["type", "Packet -> Action Packet"]
        assert shown[-3].split(maxsplit=1) == ["example", "ip >-> steer_flow"]
        assert shown[-2].split()[0] == "instructions"
        assert int(shown[-2].split()[1]) > 100
        assert shown[-1].split(maxsplit=1) == ["reads", "IP header, layer 4 header"]

    def test_a_search_shows_the_same(self, run: Run) -> None:
        assert run("explain", "filter").stdout in run("functions", "-s", "keep").stdout
        assert run("explain", "keep").stdout.splitlines()[-3].split() == ["aliases", "keep"]

    def test_module_of_the_library(self, run: Run) -> None:
        shown = run("explain", "Services").stdout.splitlines()
        assert shown[0].split() == ["module", "Services"]
        assert shown[1].split(maxsplit=1)[1].startswith("Services by their registered ports")
        assert shown[3].split(maxsplit=1) == ["defines", "is_tcp_port :: Word16 -> Packet -> Bool"]
        assert shown[-1].strip() == "stun :: Packet -> Action Packet"

    def test_name_in_the_library(self, run: Run) -> None:
        assert run("explain", "is_dhcp").stdout == (
            "name        is_dhcp\n"
            "type        Packet -> Bool\n"
            "definition  is_dhcp = is_udp .&&. (has_port 67 .||. has_port 68)\n"
            "module      Services\n"
        )

    def test_primitive_as_json(self, run: Run) -> None:
        assert json.loads(run("explain", "-j", "is_tcp").stdout)["type"] == "Packet -> Bool"

    @pytest.mark.parametrize("code", sorted({found.code for found in error_classes()}))
    def test_every_error_has_a_page(self, run: Run, code: str) -> None:
        done = run("explain", code.lower())
        assert done.exit_code == 0
        lines = done.stdout.splitlines()
        assert lines[0].split() == ["error", code]
        assert lines[2].startswith("meaning")
        assert len(lines[2]) > 30

    def test_error_page(self, run: Run) -> None:
        assert run("explain", "PFQ402").stdout == (
            "error        PFQ402\n"
            "name         AttachConflictError\n"
            "meaning      Another program is attached to the device. "
            "PFQ never removes a program that is not its own.\n"
            "exit status  2\n"
        )

    @pytest.mark.parametrize(
        ("subject", "message"),
        [
            ("steer_flwo", f"`steer_flwo` {UNKNOWN}\n  hint: did you mean `steer_flow`"),
            ("Servces", f"`Servces` {UNKNOWN}\n  hint: did you mean `Services`"),
            ("PFQ999", "there is no error PFQ999\n"),
        ],
    )
    def test_unknown(self, run: Run, subject: str, message: str) -> None:
        done = run("explain", subject)
        assert done.exit_code == 1
        assert done.stderr.startswith(f"error[PFQ201]: {message}")
