"""Cells as text, and as messages show them."""

import pytest

from runner.data.cells import cell_text, shown, text_in
from runner.errors import DataError


@pytest.mark.parametrize(
    ("cell", "text"),
    [(None, ""), (float("nan"), ""), (" a ", "a"), (3, "3"), (1.0, "1.0"), (False, "False")],
)
def test_cell_text_is_what_was_written_without_white_space_around_it(cell, text):
    assert cell_text(cell) == text


@pytest.mark.parametrize(("cell", "text"), [(" a\n", " a\n"), (12, "12"), (None, "")])
def test_text_in_a_cell_keeps_its_white_space(cell, text):
    assert text_in("t", "text", cell) == text


def test_cell_that_holds_no_text_is_refused():
    with pytest.raises(DataError, match=r"t, line 2: the 'text' cell should hold text, not \['a'"):
        text_in("t, line 2", "text", ["a"])


def test_half_a_character_is_refused():
    with pytest.raises(
        DataError, match=r"t, line 2: the 'text' cell holds half a character \('.ud"
    ):
        text_in("t, line 2", "text", "fine \ud83d")


def test_long_value_is_cut_in_messages():
    assert shown("x" * 100) == f"'{'x' * 59}..."
    assert shown(None) == "nothing"
