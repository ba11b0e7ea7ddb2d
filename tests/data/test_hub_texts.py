"""Texts of Hugging Face datasets, written and read here: types of columns, names of labels."""

from pathlib import Path

import pytest

from runner.data.errors import DataSettingError
from runner.data.example import Part, TextSource
from runner.data.hub_loading import HubPlace
from runner.data.hub_texts import huggingface_texts
from runner.data.labels import LabelColumns
from runner.data.table import TextColumns
from runner.errors import DataError
from runner.experiment import LabelKind

datasets = pytest.importorskip("datasets")

STRING = datasets.Value("string")
MOOD = datasets.ClassLabel(names=["sad", "glad", "mad"])


@pytest.fixture
def opened(tmp_path):
    """Saves columns of these types as a data set and opens it."""

    def open_columns(
        features: dict[str, object],
        kind: LabelKind = LabelKind.CLASS,
        *,
        columns: TextColumns = TextColumns(),  # noqa: B008
        max_empty: float = 0.0,
        **parts: dict[str, list[object]],
    ) -> TextSource:
        tables = {
            part: datasets.Dataset.from_dict(rows, features=datasets.Features(features))
            for part, rows in parts.items()
        }
        folder = str(tmp_path / "saved")
        datasets.DatasetDict(tables).save_to_disk(folder)
        place = HubPlace("saved", local=Path(folder))
        return huggingface_texts(place, columns=columns, kind=kind, max_empty=max_empty)

    return open_columns


def test_classes_keep_their_names_order_and_parts(opened):
    source = opened(
        {"text": STRING, "label": MOOD},
        train={"text": ["a", "b", "c"], "label": [0, 1, 2]},
        test={"text": ["d", "e"], "label": [1, 0]},
    )

    assert source.classes == ("sad", "glad", "mad")
    assert list(source.texts) == ["d", "e", "a", "b", "c"]
    assert [example.label for example in source.examples] == [1, 0, 0, 1, 2]
    assert source.examples[0].id == "test/000000"
    assert [example.split for example in source.examples][1:3] == [Part.TEST, Part.TRAIN]


@pytest.mark.parametrize(
    ("value", "labels", "classes"),
    [
        ("int64", [10, 9, 0], ("0", "9", "10")),
        ("string", ["b", "a", "c"], ("a", "b", "c")),
        ("bool", [True, False, True], ("False", "True")),
    ],
)
def test_classes_without_names_are_named_by_their_values(opened, value, labels, classes):
    rows = {"text": ["a", "b", "c"], "label": labels}

    source = opened({"text": STRING, "label": datasets.Value(value)}, train=rows)

    assert source.classes == classes


def test_pairs_are_read(opened):
    rows = {"premise": ["a", "b"], "hypothesis": ["c", "d"], "label": [0, 1]}

    source = opened(
        {"premise": STRING, "hypothesis": STRING, "label": MOOD},
        columns=TextColumns("premise", "hypothesis"),
        train=rows,
    )

    assert list(source.texts) == [("a", "c"), ("b", "d")]
    assert source.is_pair


def test_numbers_are_read_and_those_that_are_missing_left_out(opened, caplog):
    rows = {"text": ["a", "b", "c"], "score": [1.5, None, -1.0]}
    hidden = {"text": ["d", "e"], "score": [-1.0, -1.0]}

    source = opened(
        {"text": STRING, "score": datasets.Value("float32")},
        LabelKind.NUMBER,
        columns=TextColumns(labels=LabelColumns("score")),
        train=rows,
        test=hidden,
    )

    assert [example.label for example in source.examples] == [1.5, -1.0]
    assert "left out 1 row without a label" in caplog.text
    assert "left out 2 rows without a label" in caplog.text


def test_names_of_classes_that_are_numbers_can_be_learnt_as_such(opened):
    stars = datasets.ClassLabel(names=["1", "2", "5"])

    source = opened(
        {"text": STRING, "label": stars},
        LabelKind.NUMBER,
        train={"text": ["a", "b"], "label": [2, 0]},
    )

    assert [example.label for example in source.examples] == [5.0, 1.0]


def test_lists_of_classes_are_several_labels(opened):
    source = opened(
        {"text": STRING, "label": datasets.Sequence(MOOD)},
        LabelKind.CLASSES,
        train={"text": ["a", "b", "c"], "label": [[2, 0], [], [2]]},
    )

    assert source.classes == ("sad", "mad")
    assert [example.label for example in source.examples] == [(0, 1), (), (1,)]


def test_columns_of_0_and_1_are_several_labels_and_minus_1_is_none(opened, caplog):
    flag = datasets.Value("int64")
    rows = {"text": ["a", "b", "c"], "rude": [1, 0, -1], "mad": [1, 0, -1]}

    source = opened(
        {"text": STRING, "rude": flag, "mad": flag},
        LabelKind.CLASSES,
        columns=TextColumns(labels=LabelColumns(flags=("rude", "mad"))),
        train=rows,
    )

    assert [example.label for example in source.examples] == [(0, 1), ()]
    assert "left out 1 row without a label" in caplog.text


NER = datasets.ClassLabel(names=["O", "B-PER", "I-PER", "B-LOC"])


@pytest.mark.parametrize(
    ("feature", "tags"),
    [
        (datasets.Sequence(NER), [[1, 2, 0], [0, 3]]),
        (datasets.Sequence(STRING), [["B-PER", "I-PER", "O"], ["O", "B-LOC"]]),
    ],
)
def test_words_and_tags_are_read(opened, feature, tags):
    source = opened(
        {"tokens": datasets.Sequence(STRING), "ner_tags": feature},
        LabelKind.TAGS,
        columns=TextColumns(tags="ner_tags"),
        train={"tokens": [["Ann", "Lee", "left"], ["to", "Rome"]], "ner_tags": tags},
    )

    assert source.classes == ("O", "B-LOC", "B-PER", "I-PER")
    assert list(source.texts) == [("Ann", "Lee", "left"), ("to", "Rome")]
    assert [example.label for example in source.examples] == [(2, 3, 0), (0, 1)]


def test_sentences_without_tags_are_left_out(opened):
    source = opened(
        {"tokens": datasets.Sequence(STRING), "tags": datasets.Sequence(NER)},
        LabelKind.TAGS,
        train={"tokens": [["Ann"], ["no"]], "tags": [[1], [0]]},
        test={"tokens": [["x", "y"]], "tags": [[-1, -1]]},
    )

    assert [example.id for example in source.examples] == ["train/000000", "train/000001"]


def test_words_and_tags_that_differ_in_number_are_refused_with_their_row(opened):
    with pytest.raises(DataError, match="Hugging Face saved, train row 1: 2 words but 1 tags"):
        opened(
            {"tokens": datasets.Sequence(STRING), "tags": datasets.Sequence(STRING)},
            LabelKind.TAGS,
            train={"tokens": [["a"], ["b", "c"]], "tags": [["O"], ["B-x"]]},
            test={"tokens": [["a"]], "tags": [["O"]]},
        )


@pytest.mark.parametrize(
    ("kind", "columns", "key", "message"),
    [
        (LabelKind.CLASS, TextColumns("txt"), "data.text_column", "did you mean 'text'?"),
        (LabelKind.CLASS, TextColumns(pair="b"), "data.pair_column", "columns are text (Value), "),
        (
            LabelKind.NUMBER,
            TextColumns(labels=LabelColumns("labels")),
            "data.label_column",
            "no such column beside the texts; its columns are text (Value), label (ClassLabel); "
            "did you mean 'label'?",
        ),
        (LabelKind.TAGS, TextColumns(tokens="text"), "data.tags_column", "has no such column"),
    ],
)
def test_column_that_is_missing_is_refused_with_those_that_are_there(
    opened, kind, columns, key, message
):
    with pytest.raises(DataSettingError) as caught:
        opened(
            {"text": STRING, "label": MOOD},
            kind,
            columns=columns,
            train={"text": ["a", "b"], "label": [0, 1]},
        )

    assert caught.value.key == key
    assert message in str(caught.value)


def test_empty_texts_are_refused_with_their_rows_or_left_out(opened):
    rows = {"text": ["a", "", None, "d"], "label": [0, 0, 1, 1]}
    features = {"text": STRING, "label": MOOD}

    with pytest.raises(DataError, match="2 of 4 texts empty .* all row 1, .* all row 2"):
        opened(features, train=rows)
    assert opened(features, max_empty=0.5, train=rows).unreadable == (
        "all/000001: empty text",
        "all/000002: empty text",
    )


def test_label_that_is_no_number_is_refused_with_its_row(opened):
    with pytest.raises(DataError, match="all row 1: the 'label' cell should be a finite number"):
        opened(
            {"text": STRING, "label": datasets.Value("float64")},
            LabelKind.NUMBER,
            train={"text": ["a", "b"], "label": [1.0, float("nan")]},
        )
