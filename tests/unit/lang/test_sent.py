"""Programs that clients of a daemon send: compiled without touching files."""

from __future__ import annotations

from pathlib import Path

import pytest

from pfq.errors import ImportFailedError, LiteralError, ProgramError
from pfq.lang import compile_text, to_json, to_program
from pfq.lang.prims.forward import devices_of
from pfq.lang.sent import Sent, may_read_files, no_files


def test_text_and_json_mean_the_same() -> None:
    program = compile_text("filter is_tcp >-> steer_flow")
    assert to_program(Sent("filter is_tcp >-> steer_flow")) == program
    assert to_program(Sent(to_json(program), is_json=True)) == program


def test_errors_have_the_name_that_was_sent() -> None:
    with pytest.raises(ProgramError) as caught:
        to_program(Sent("nix", "edge.pfq"))
    assert str(caught.value).startswith("edge.pfq:1:1: ")


@pytest.mark.parametrize("there", [True, False])
@pytest.mark.parametrize("is_json", [False, True])
def test_sets_are_not_read_from_files(tmp_path: Path, there: bool, is_json: bool) -> None:
    """Whether there is such a file is not told either."""
    path = tmp_path / "set.txt"
    path.write_text("10.0.0.0/8\n# secret\n")
    text = f'filter (addr_in "{path}")'
    sent = to_json(compile_text(text)) if is_json else text
    if not there:
        path.unlink()
    with pytest.raises(LiteralError, match="cannot name files") as caught:
        to_program(Sent(sent, is_json=is_json))
    assert "secret" not in str(caught.value)
    assert may_read_files()


def test_modules_are_those_of_the_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "Mine.pfq").write_text("mine = ip\n")
    monkeypatch.chdir(tmp_path)
    assert to_program(Sent("import Services\nmain = filter is_dns"))
    with pytest.raises(ImportFailedError):
        to_program(Sent("import Mine\nmain = mine"))


def test_lists_and_wrong_prefixes_are_as_ever() -> None:
    with no_files():
        with pytest.raises(LiteralError, match=r"10\.0\.0\.0/40"):
            compile_text('filter (addr_in "10.0.0.0/40")')
        assert compile_text('filter (addr_in "10.0.0.0/8, 2001:db8::/32")')


@pytest.mark.parametrize(
    ("text", "devices"),
    [
        ("unit", set()),
        ('forward "eth1" >-> steer_flow', {"eth1"}),
        ('when is_tcp (bridge "eth2") >-> tee "eth3" is_udp', {"eth2", "eth3"}),
        ('link ["eth1", "eth2"] >-> tap "eth4" is_tcp', {"eth1", "eth2", "eth4"}),
        ('main = f\nf = unless is_ip (when is_tcp (forwardIO "eth5"))', {"eth5"}),
        ('filter (addr_in "10.0.0.0/8")', set()),
    ],
)
def test_the_devices_of_a_program(text: str, devices: set[str]) -> None:
    assert devices_of(compile_text(text)) == devices
