"""Places in a text, excerpts with a caret, and "did you mean"."""

from __future__ import annotations

import pytest

from pfq.source import EXCERPT_COLUMNS, Source, Span, did_you_mean

SOURCE = Source("edge.pfq", "ip >->\n  tcp\n\n\tudp")


@pytest.mark.parametrize(
    ("offset", "wanted"), [(0, (1, 1)), (3, (1, 4)), (6, (1, 7)), (7, (2, 1)), (9, (2, 3)), (13, (3, 1)), (15, (4, 2))]
)
def test_position(offset: int, wanted: tuple[int, int]) -> None:
    assert SOURCE.position(offset) == wanted


@pytest.mark.parametrize(("line", "text"), [(0, ""), (1, "ip >->"), (2, "  tcp"), (3, ""), (4, "\tudp"), (5, "")])
def test_line_text(line: int, text: str) -> None:
    assert SOURCE.line_text(line) == text


def test_a_span_knows_its_place_and_text() -> None:
    span = Span(SOURCE, 9, 12)
    assert (span.line, span.column, span.text, str(span)) == (2, 3, "tcp", "edge.pfq:2:3")


def test_a_span_to_another_covers_both() -> None:
    first, second = Span(SOURCE, 0, 2), Span(SOURCE, 9, 12)
    assert first.to(second) == Span(SOURCE, 0, 12)
    assert first.to(Span(SOURCE, 0, 1)) == first


def test_the_caret_is_below_the_text() -> None:
    assert Span(SOURCE, 9, 12).excerpt() == ["    2 |   tcp", "      |   ^^^"]


def test_a_tab_is_one_column_wide_in_the_excerpt() -> None:
    assert Span(SOURCE, 15, 18).excerpt() == ["    4 |  udp", "      |  ^^^"]


def test_the_caret_stays_on_the_first_line_of_a_span() -> None:
    assert Span(SOURCE, 3, 12).excerpt() == ["    1 | ip >->", "      |    ^^^"]


def test_an_empty_span_has_one_caret() -> None:
    assert Span(SOURCE, 6, 6).excerpt() == ["    1 | ip >->", "      |       ^"]
    assert Span(Source("x", ""), 0, 0).excerpt() == ["    1 | ", "      | ^"]


def test_a_long_line_is_shown_around_the_place() -> None:
    text = "a" * 500 + "XY" + "b" * 500
    line, caret = Span(Source("x", text), 500, 502).excerpt()
    assert len(line) == len("    1 | ") + EXCERPT_COLUMNS
    assert line[caret.index("^") : caret.rindex("^") + 1] == "XY"


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("steer_flwo", "did you mean `steer_flow`?"),
        ("steer_robin", "did you mean `steer_rrobin`?"),
        ("zzz", None),
    ],
)
def test_did_you_mean(name: str, hint: str | None) -> None:
    assert did_you_mean(name, ["steer_flow", "steer_rrobin", "ip"]) == hint


def test_did_you_mean_names_several() -> None:
    assert did_you_mean("is_tc", ["is_tcp", "is_tcq", "drop"]) == "did you mean `is_tcq` or `is_tcp`?"


def test_only_newlines_end_lines() -> None:
    source = Source("edge.pfq", "ip\x0c\u2028\r\n>-> tcp")
    assert (source.line_text(1), source.line_text(2)) == ("ip\x0c\u2028", ">-> tcp")


def test_control_characters_do_not_reach_the_terminal() -> None:
    assert Span(Source("edge.pfq", "ip \x1b[2J"), 0, 2).excerpt()[0] == "    1 | ip \ufffd[2J"
