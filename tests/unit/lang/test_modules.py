"""Imports of files next to the program."""

from __future__ import annotations

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
from pfq.lang.limits import MAX_MODULES, MAX_SOURCE


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
    with pytest.raises(ImportFailedError, match="without a file"):
        compile_text("import Lib.Filter\nmain = ip")


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
    with pytest.raises(TooBigError):
        compile_file(path)


def test_imported_type_mismatch_is_at_the_use(run) -> None:
    with pytest.raises(TypeMismatchError) as caught:
        run("import A\nmain = when a drop", A="a = tcp")
    assert caught.value.span.text == "a"
