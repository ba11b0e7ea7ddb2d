"""Rows of delimited text: separators, quotation marks, long cells, line numbers."""

import csv

import pytest

from runner.data.delimited import rows_of
from runner.errors import DataError


def rows(text: str) -> list[list[str]]:
    return [cells for _, cells in rows_of(text, title="t.csv") if cells]


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_separator_is_that_of_the_first_line(separator):
    """Fails where the likely one is taken whatever the line has."""
    text = f"text{separator}label\na b{separator}1\n"

    assert rows(text) == [["text", "label"], ["a b", "1"]]


def test_quoted_cell_may_hold_separators_line_breaks_and_quotation_marks():
    text = 'text,label\n"one, ""two""\nthree",1\nfour,0\n'

    assert rows_of(text, title="t.csv") == [
        (1, ["text", "label"]),
        (2, ['one, "two"\nthree', "1"]),
        (4, ["four", "0"]),
    ]


def test_quotation_mark_that_is_not_closed_is_refused_with_its_line():
    with pytest.raises(DataError, match=r"t.csv, line 3: unexpected end of data. .* doubled"):
        rows_of('text,label\nfine,1\n"not closed,0\nand,1\n', title="t.csv")


def test_text_after_a_closing_quotation_mark_is_refused_with_its_line():
    with pytest.raises(DataError, match="t.csv, line 2: ',' expected after"):
        rows_of('text,label\n"quoted" and not,0\n', title="t.csv")


def test_quotation_marks_between_tabs_are_text():
    text = 'text\tlabel\n"Why? he said\t1\nbecause"\t0\n'

    assert rows(text) == [["text", "label"], ['"Why? he said', "1"], ['because"', "0"]]


def test_cell_between_tabs_that_is_quoted_as_a_whole_is_unquoted():
    assert rows('text\tlabel\n"he said ""no"""\t1\n')[1] == ['he said "no"', "1"]


def test_quoted_cell_between_tabs_may_hold_line_breaks():
    assert rows('text\tlabel\n"one\ntwo"\t1\n')[1] == ["one\ntwo", "1"]


def test_cell_of_any_length_is_read():
    before = csv.field_size_limit()

    assert len(rows(f"text,label\n{'x' * 200_000},1\n")[1][0]) == 200_000
    assert csv.field_size_limit() == before


def test_unusual_line_separators_of_unicode_are_part_of_a_text():
    assert rows("text,label\none\u2028two\x0cthree\x85four,1\n")[1] == [
        "one\u2028two\x0cthree\x85four",
        "1",
    ]


def test_of_two_separators_the_likely_one_is_taken():
    text = "text, long\tlabel\na, b\t1\n"

    assert rows_of(text, title="t.tsv", likely="\t")[1] == (2, ["a, b", "1"])
