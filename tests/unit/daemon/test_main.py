"""The command `pfqd`, as far as it starts nothing."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import pfq
from pfq.daemon import main
from pfq.daemon.config import reading

Said = tuple[int, str, str]


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")
    monkeypatch.setattr(reading, "USUAL_PATH", tmp_path / "usual.toml")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "pfqd.toml"


def pfqd(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: str) -> Said:
    monkeypatch.setattr(sys, "argv", ["pfqd", *arguments])
    with pytest.raises(SystemExit) as ended:
        main.main()
    out, err = capsys.readouterr()
    return int(ended.value.code or 0), out, err


def test_version(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert pfqd(capsys, monkeypatch, "--version") == (0, f"pfqd {pfq.__version__}\n", "")


def test_check_without_faults(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, path: Path, tmp_path: Path
) -> None:
    path.write_text("[[group]]\nnumber = 3\ninput = ['lo']\n")
    assert pfqd(capsys, monkeypatch, "--check", "-c", str(path)) == (
        0,
        f"{path} has no faults: 1 group, 0 rules of rights\n",
        "",
    )
    path.rename(tmp_path / "usual.toml")
    assert pfqd(capsys, monkeypatch, "--check")[1].startswith(f"{tmp_path / 'usual.toml'} has no faults: 1 group")
    (tmp_path / "usual.toml").unlink()
    assert pfqd(capsys, monkeypatch, "--check")[1].startswith("the built-in configuration has no faults: 0 groups")


def test_check_warns(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    path.write_text(
        "[[group]]\nnumber = 3\ninput = ['lo', 'pfqt-none']\noutput = [{device = 'pfqt-out', queue = 2}]\n"
        "[[rights]]\nuser = '*'\nallow = ['see']\n"
    )
    status, _, said = pfqd(capsys, monkeypatch, "--check", "-c", str(path))
    assert status == 0
    assert said.splitlines() == [
        "warning: group 3 will wait for pfqt-none: there is no such device now",
        "warning: group 3 will wait for pfqt-out, queue 2: there is no such device now",
        "warning: there are [[rights]], but without `group` in [daemon] only root can connect",
    ]


def test_check_with_faults(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    path.write_text("[[group]]\nnumber = 3\nprogram = 'tpc'\npolicy = 'x'\n")
    status, out, said = pfqd(capsys, monkeypatch, "--check", "-c", str(path))
    assert (status, out) == (1, "")
    assert f"{path}:3:12: error[PFQ103]: unknown name `tpc`\n    3 | " in said
    assert f"{path}:4:10: error[PFQ201]: there is no policy `x`" in said
    assert said.endswith("\n2 faults\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--chek"], "No such option"),
        (["--check", "--stop"], "--daemon, --check and --stop are alternatives"),
        (["-c", "/nowhere/pfqd.toml"], "cannot read /nowhere/pfqd.toml: No such file"),
        (["extra"], "unexpected extra argument"),
    ],
)
def test_wrong_use(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, arguments: list[str], said: str
) -> None:
    status, out, err = pfqd(capsys, monkeypatch, *arguments)
    assert (status, out) == (1, "")
    assert said in err
    assert "hint: " in err
    assert "Traceback" not in err
