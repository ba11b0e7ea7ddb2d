"""Labels in the cells of a table: a class, several labels, a number, tags."""

from decimal import Decimal

import pytest

from runner.data.errors import DataSettingError
from runner.data.labels import (
    LabelColumns,
    read_label,
    refuse_idle_separator,
    refuse_unequal,
    refuse_unfit_columns,
    words_in,
)
from runner.errors import DataError
from runner.experiment import LabelKind

FLAGS = LabelColumns(flags=("toxic", "rude"))


def read(cell: object, kind: LabelKind, columns: LabelColumns = LabelColumns()) -> object:  # noqa: B008
    return read_label("t.csv, line 4", {"label": cell}, columns, kind)


@pytest.mark.parametrize(
    ("cell", "name"), [(" cat ", "cat"), (1, "1"), (True, "True"), ("NA", "NA")]
)
def test_class_is_the_cell_as_text(cell, name):
    assert read(cell, LabelKind.CLASS) == name


@pytest.mark.parametrize("kind", [LabelKind.CLASS, LabelKind.CLASSES])
def test_name_of_a_class_is_written_on_one_line(kind):
    columns = LabelColumns(separator="|")

    assert read("big\ncat", kind, columns) in ("big\\ncat", ("big\\ncat",))


@pytest.mark.parametrize("kind", [LabelKind.CLASS, LabelKind.CLASSES])
def test_half_a_character_in_a_class_is_refused(kind):
    with pytest.raises(DataError, match="line 4: the 'label' cell holds half a character"):
        read("c\ud800t", kind, LabelColumns(separator="|"))


@pytest.mark.parametrize("cell", ["", "  ", None, float("nan")])
def test_class_that_is_missing_is_refused(cell):
    with pytest.raises(DataError, match="t.csv, line 4: the 'label' cell is empty"):
        read(cell, LabelKind.CLASS)


def test_list_where_one_class_should_be_is_refused():
    with pytest.raises(
        DataError, match=r"line 4: the 'label' cell should hold one class, not \['a"
    ):
        read(["a", "b"], LabelKind.CLASS)


@pytest.mark.parametrize(
    ("cell", "number"),
    [("3.5", 3.5), (" -1e-3 ", -0.001), (4, 4.0), (2.25, 2.25), (Decimal("0.1"), 0.1)],
)
def test_number_is_read(cell, number):
    assert read(cell, LabelKind.NUMBER) == number


@pytest.mark.parametrize(
    "cell", ["nan", "inf", "-Infinity", float("nan"), float("inf"), "3,5", "five", "1_000", True]
)
def test_what_is_no_finite_number_is_refused(cell):
    """Fails where every number will do."""
    with pytest.raises(DataError) as caught:
        read(cell, LabelKind.NUMBER)

    assert str(caught.value) == (
        "t.csv, line 4: the 'label' cell should be a finite number, written like 3.5 or 1e-3, "
        f"not {cell!r}"
    )


def test_number_that_is_missing_is_refused():
    with pytest.raises(DataError, match="line 4: the 'label' cell is empty"):
        read("", LabelKind.NUMBER)


@pytest.mark.parametrize(
    ("toxic", "rude", "names"),
    [
        ("0", "1", ("rude",)), (1, 0, ("toxic",)), (1.0, True, ("toxic", "rude")),
        ("false", "TRUE", ("rude",)), ("0.0", False, ()),
    ],
)  # fmt: skip
def test_columns_of_0_and_1_are_the_labels_that_hold(toxic, rude, names):
    row = {"toxic": toxic, "rude": rude}

    assert read_label("t", row, FLAGS, LabelKind.CLASSES) == names


@pytest.mark.parametrize(
    ("cell", "seen"), [("2", "'2'"), ("", "''"), (None, "nothing"), (-1, "-1")]
)
def test_flag_that_is_neither_0_nor_1_is_refused(cell, seen):
    with pytest.raises(DataError, match=f"line 4: the 'rude' cell should be 0 or 1, not {seen}"):
        read_label("t.csv, line 4", {"toxic": 1, "rude": cell}, FLAGS, LabelKind.CLASSES)


@pytest.mark.parametrize(
    ("cell", "names"),
    [("a|b", ("a", "b")), (" b | a |", ("b", "a")), ("a|a", ("a",)), ("", ()), (None, ())],
)
def test_cell_with_a_separator_is_divided(cell, names):
    assert read(cell, LabelKind.CLASSES, LabelColumns(separator="|")) == names


def test_list_of_labels_needs_no_separator():
    assert read(["a, b", 3], LabelKind.CLASSES) == ("a, b", "3")
    assert read([], LabelKind.CLASSES) == ()


def test_several_labels_without_a_separator_are_refused_with_what_to_say():
    with pytest.raises(DataSettingError) as caught:
        read("a|b", LabelKind.CLASSES)

    assert caught.value.key == "data.label_separator"
    assert "say what stands between the labels in a cell, or name columns" in str(caught.value)
    assert "at t.csv, line 4 the 'label' cell is 'a|b'" in str(caught.value)


def test_separator_that_divides_nothing_is_refused_with_a_cell():
    columns = LabelColumns("topics", separator="|")

    with pytest.raises(DataSettingError) as caught:
        refuse_idle_separator("t.csv", columns, [("a,b",), (), ("c",)])

    assert caught.value.seen == "'|'"
    assert "no cell of the column 'topics' in t.csv is divided by it" in str(caught.value)
    assert "one is, for example, 'a,b'" in str(caught.value)
    refuse_idle_separator("t.csv", columns, [("a", "b"), ()])


@pytest.mark.parametrize(
    ("columns", "key"),
    [(FLAGS, "data.label_columns"), (LabelColumns(separator="|"), "data.label_separator")],
)
def test_settings_of_several_labels_are_refused_where_there_is_one(columns, key):
    with pytest.raises(DataSettingError, match="is for several labels per example") as caught:
        refuse_unfit_columns(columns, LabelKind.NUMBER)

    assert caught.value.key == key
    refuse_unfit_columns(columns, LabelKind.CLASSES)


@pytest.mark.parametrize(
    "cell",
    [
        ["EU", "rejects", "it's"], ("EU", "rejects", "it's"), "EU rejects  it's ",
        '["EU", "rejects", "it\'s"]', '["EU","rejects","it\'s"]', "['EU', 'rejects', \"it's\"]",
    ],
)  # fmt: skip
def test_words_are_read_from_lists_and_from_text(cell):
    assert words_in("t", "tokens", cell) == ("EU", "rejects", "it's")


def test_words_between_brackets_are_words():
    assert words_in("t", "tokens", "[ Laughter ]") == ("[", "Laughter", "]")
    assert words_in("t", "tokens", "a\u00a0b c") == ("a\u00a0b", "c")
    assert words_in("t", "tokens", "") == words_in("t", "tokens", None) == ()


@pytest.mark.parametrize(
    "cell",
    [
        "['EU' 'rejects']",
        "['EU', 3]",
        "['EU, 'x']",
        "['EU', {[]: 1}]",
        "['EU', " + "[" * 3000 + "]",
        '["EU", ' + "[" * 100_000 + "]",
        "['EU', " + "-" * 100_000 + "1]",
    ],
)
def test_printed_list_that_cannot_be_read_is_refused(cell):
    with pytest.raises(DataError, match="t, row 2: the 'tags' cell looks like a list that cannot"):
        words_in("t, row 2", "tags", cell)


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        (["a", None], r"t, row 2: item 1 \(from 0\) of the 'tags' cell is null"),
        (3, "t, row 2: the 'tags' cell should hold a list, not 3"),
    ],
)
def test_cell_that_holds_no_words_is_refused(cell, message):
    with pytest.raises(DataError, match=message):
        words_in("t, row 2", "tags", cell)


def test_words_and_tags_that_differ_in_number_are_refused():
    with pytest.raises(DataError, match="row 2: 3 words but 2 tags; .* It begins 'EU rejects it'"):
        refuse_unequal("t, row 2", ("EU", "rejects", "it"), ("B-ORG", "O"))
