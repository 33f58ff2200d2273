"""`pfq check`, `compile` and `explain`: commands about programs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.captures import Run

from pfq.errors import error_classes

PROGRAM = "ip >-> when is_tcp (mark 1) >-> steer_flow"


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

    def test_json_is_read_back(self, run: Run) -> None:
        form = json.loads(run("compile", "-P", "ip >-> tcp", "--emit", "json").stdout)
        assert [node["funSymbol"] for node in form] == ["ip", "tcp"]

    def test_llvm(self, run: Run) -> None:
        assert 'target triple = "bpf' in run("compile", "-P", "ip", "--emit", "llvm").stdout

    def test_asm(self, run: Run) -> None:
        assert "\texit\n" in run("compile", "-P", "ip", "--emit", "asm").stdout

    def test_object(self, run: Run, tmp_path: Path) -> None:
        path = tmp_path / "ip.o"
        assert run("compile", "-P", "ip", "--emit", "bpf", "-o", str(path)).exit_code == 0
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
        assert shown[0].split() == ["primitive", "steer_flow"]
        assert shown[1].split(maxsplit=1) == ["type", "Packet -> Action Packet"]
        assert shown[-1].split(maxsplit=1) == ["example", "ip >-> steer_flow"]

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
            ("steer_flwo", "`steer_flwo` is neither a file, nor a primitive, nor the code of an error\n"
             "  hint: did you mean `steer_flow`"),
            ("PFQ999", "there is no error PFQ999\n"),
        ],
    )  # fmt: skip
    def test_unknown(self, run: Run, subject: str, message: str) -> None:
        done = run("explain", subject)
        assert done.exit_code == 1
        assert done.stderr.startswith(f"error[PFQ201]: {message}")
