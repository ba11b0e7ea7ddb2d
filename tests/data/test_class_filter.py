"""A source cut down to some of its classes."""

import pytest

from runner.data import open_source
from runner.data.class_filter import only_classes
from runner.data.errors import DataSettingError
from runner.data.example import Example, TextSource
from runner.errors import DataError
from runner.experiment import BundledData, LabelKind


def digits(tmp_path, **settings):
    return open_source(
        BundledData(source="bundled", name="digits", size=5, **settings), base=tmp_path, cache=None
    )


def test_only_the_named_classes_are_left_in_their_order(tmp_path):
    whole, some = digits(tmp_path), digits(tmp_path, classes=["7", "3"])

    assert some.classes == ("7", "3")
    assert len(some.examples) == 10
    by_id = {example.id: n for n, example in enumerate(whole.examples)}
    for index, example in enumerate(some.examples):
        theirs = by_id[example.id]
        assert some.classes[example.label] == whole.classes[whole.examples[theirs].label]
        assert some.image(index).tobytes() == whole.image(theirs).tobytes()


def test_class_that_is_not_there_is_refused_with_those_that_are(tmp_path):
    with pytest.raises(DataSettingError, match="no class eleven; .* has 0, 1, 2, 3") as caught:
        digits(tmp_path, classes=["7", "eleven"])

    assert caught.value.key == "data.classes"
    assert "9" in caught.value.allowed


def texts(kind: LabelKind, *labels) -> TextSource:
    examples = tuple(Example(f"{n}", label, f"{n:064x}") for n, label in enumerate(labels))
    return TextSource("here", kind, ("a", "b", "c"), examples, (), [f"text {n}" for n in range(4)])


def test_texts_of_the_named_classes_are_left_in_their_order():
    some = only_classes(texts(LabelKind.CLASS, 0, 1, 2, 0), ["c", "a"])

    assert some.classes == ("c", "a")
    assert [example.label for example in some.examples] == [1, 0, 1]
    assert [some.text(n) for n in range(3)] == ["text 0", "text 2", "text 3"]


def test_several_labels_lose_those_that_are_not_named_and_no_example():
    some = only_classes(texts(LabelKind.CLASSES, (0, 2), (1,), (), (2,)), ["c", "a"])

    assert some.classes == ("c", "a")
    assert [example.label for example in some.examples] == [(0, 1), (), (), (0,)]
    assert len(some.texts) == 4


def test_several_labels_none_of_which_occurs_are_refused():
    with pytest.raises(DataError, match="here: no example has a label of data.classes"):
        only_classes(texts(LabelKind.CLASSES, (1,), (), (), (1,)), ["a", "c"])


@pytest.mark.parametrize(
    ("kind", "label", "what"), [(LabelKind.NUMBER, 1.5, "numbers"), (LabelKind.TAGS, (0,), "tags")]
)
def test_labels_that_are_no_classes_are_refused(kind, label, what):
    with pytest.raises(DataSettingError, match=f"the labels are {what}; take it out") as caught:
        only_classes(texts(kind, label, label, label, label), ["a", "b"])

    assert caught.value.key == "data.classes"


def test_class_named_twice_is_refused():
    with pytest.raises(DataSettingError, match="a class is named twice; here has a, b, c"):
        only_classes(texts(LabelKind.CLASS, 0, 1, 2, 0), ["a", "a"])
