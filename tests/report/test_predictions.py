"""Predictions on the terminal, for every task."""

import json

from rich.cells import cell_len

from runner.report import prediction_table


def lines(*rows: dict[str, object]) -> list[str]:
    return prediction_table(rows).splitlines()


def test_prediction_table_of_classes_shows_label_and_probability():
    assert lines(
        {"image": "a.png", "label": "cat", "probability": 0.98765, "cat": 0.98765, "dog": 0.01},
        {"image": "photos/b.png", "label": "dog", "probability": 0.5, "cat": 0.5, "dog": 0.5},
    ) == [
        "image         label  probability",
        "a.png         cat    0.9877",
        "photos/b.png  dog    0.5000",
    ]


def test_prediction_table_of_several_labels_numbers_and_pairs():
    assert lines({"text": "Sun and sea", "labels": "beach, sunset", "beach": 0.9}) == [
        "text         labels",
        "Sun and sea  beach, sunset",
    ]
    assert lines({"text": "One", "pair": "Two", "prediction": 1234.5}) == [
        "text  pair  prediction",
        "One   Two   1234.5",
    ]


def test_prediction_table_of_tags_shows_the_entities():
    found = [
        {"text": "Angela Merkel", "type": "PER", "start": 0, "end": 2},
        {"text": "Paris", "type": "LOC", "start": 3, "end": 4},
    ]
    entities = json.dumps(found)
    tags = ["B-PER", "I-PER", "O", "B-LOC"]

    assert lines(
        {"tokens": ["Angela", "Merkel", "in", "Paris"], "tags": tags, "entities": entities},
        {"tokens": ["Nothing"], "tags": ["O"], "entities": "[]"},
    ) == [
        "tokens                  entities",
        "Angela Merkel in Paris  Angela Merkel (PER), Paris (LOC)",
        "Nothing",
    ]


def test_prediction_table_of_entities_in_another_form_shows_them_as_they_are():
    assert lines({"text": "a", "entities": "not json"}) == ["text  entities", "a     not json"]


def test_prediction_table_without_a_known_answer_shows_every_column():
    assert lines({"id": 7, "score": 12.34567, "notes": None}, {"id": 8, "extra": True}) == [
        "id  score   notes  extra",
        "7   12.346",
        "8                  True",
    ]


def test_prediction_table_long_and_wide_texts_are_one_line_of_a_terminal():
    chinese = "这家酒店的早餐非常差，\n服务员态度恶劣" * 9

    table = lines(
        {"text": chinese, "label": "坏", "probability": 0.9}, {"text": "b", "label": "c"}
    )

    assert len(table) == 3
    assert table[1].split("  ")[0].endswith("…")
    assert cell_len(table[1].split("  ")[0]) <= 60
    assert cell_len(table[1].partition("坏")[0]) == table[2].index("c")


def test_prediction_table_text_cannot_steer_the_terminal():
    assert lines({"text": "a\x1b[31mb", "label": "x"})[1].startswith("a\ufffd[31mb")


def test_prediction_table_of_nothing_says_so():
    assert prediction_table([]) == "nothing to predict"
