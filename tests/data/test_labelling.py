"""From written labels to indices: orders of classes, and labels that teach nothing."""

import pytest

from runner.data.labelling import (
    in_order,
    indexed,
    names_in,
    refuse_empty_classes,
    refuse_one_label,
    tag_classes,
    used_classes,
)
from runner.errors import DataError
from runner.experiment import LabelKind


@pytest.mark.parametrize(
    ("names", "ordered"),
    [
        ({"10", "9", "1"}, ("1", "9", "10")),
        ({"0.5", "-2", "10"}, ("-2", "0.5", "10")),
        ({"10", "9", "x"}, ("10", "9", "x")),
        ({"1", "1.0", "01"}, ("01", "1", "1.0")),
        (set(), ()),
    ],
)
def test_names_are_in_the_order_of_numbers_if_all_are(names, ordered):
    assert in_order(names) == ordered


def test_o_is_the_first_tag_even_where_it_does_not_occur():
    assert tag_classes([("I-b", "B-b"), ("B-a", "O")]) == ("O", "B-a", "B-b", "I-b")
    assert tag_classes([("NOUN",)]) == ("O", "NOUN")


def test_given_classes_keep_their_order_and_lose_those_that_do_not_occur(caplog):
    assert used_classes("here", ["a", "c"], LabelKind.CLASS, ("c", "b", "a")) == ("c", "a")
    assert "here: left out 1 class without an example: b" in caplog.text


@pytest.mark.parametrize(
    ("label", "kind", "expected"),
    [
        ("b", LabelKind.CLASS, 1),
        (2.5, LabelKind.NUMBER, 2.5),
        (("c", "a"), LabelKind.CLASSES, (0, 2)),
        (("c", "a", "c"), LabelKind.TAGS, (2, 0, 2)),
        ((), LabelKind.CLASSES, ()),
    ],
)
def test_label_is_indexed_by_its_kind(label, kind, expected):
    assert indexed(label, kind, {"a": 0, "b": 1, "c": 2}) == expected


def test_names_in_a_number_are_none():
    assert names_in(2.5) == ()
    assert names_in("a") == ("a",)


@pytest.mark.parametrize(
    ("labels", "kind", "message"),
    [
        (["a", "a"], LabelKind.CLASS, "here: all 2 texts are of one class, 'a'; a classifier nee"),
        ([1.5, 1.5], LabelKind.NUMBER, "here: all 2 texts have the number 1.5; nothing to learn"),
        ([("a",), ("a",)], LabelKind.CLASSES, "here: all 2 texts have the labels a; nothing to"),
        ([(), ()], LabelKind.CLASSES, "here: all 2 texts are without a label; nothing to learn"),
        ([("O", "O"), ("O",)], LabelKind.TAGS, "here: all 2 texts have only the tag O; nothing"),
    ],
)
def test_labels_that_are_all_the_same_are_refused(labels, kind, message):
    classes = tuple(sorted({name for label in labels for name in names_in(label)}))

    with pytest.raises(DataError, match=message):
        refuse_one_label("here", "text", labels, kind, classes)


@pytest.mark.parametrize(
    ("labels", "kind"),
    [
        (["a", "b"], LabelKind.CLASS),
        ([1.5, 1.25], LabelKind.NUMBER),
        ([("a",), ()], LabelKind.CLASSES),
        ([("O", "B-a")], LabelKind.TAGS),
    ],
)
def test_labels_that_differ_are_not_refused(labels, kind):
    classes = tuple(sorted({name for label in labels for name in names_in(label)}))

    refuse_one_label("here", "text", labels, kind, classes)
    refuse_empty_classes("here", "text", labels, kind, classes)


def test_classes_without_an_example_are_refused_by_name():
    with pytest.raises(DataError, match="here: no readable image in 2 classes: b, c. Add images"):
        refuse_empty_classes("here", "image", ["a"], LabelKind.CLASS, ("a", "b", "c"))
