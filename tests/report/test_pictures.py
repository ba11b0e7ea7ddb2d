"""What is drawn of an evaluation, for every kind of task, without a display."""

import logging
from pathlib import Path

import pytest
from PIL import Image

from runner.errors import DataError
from runner.report import draw_pictures

HISTORY = [
    {"epoch": 1, "train/loss": 2.0, "validation/loss": 1.9, "validation/accuracy": 0.3},
    {"epoch": 2, "train/loss": 1.0, "validation/loss": 1.2, "validation/accuracy": 0.8},
]
RESULTS = [{"label": "cat", "precision": 0.5, "recall": 0.6, "f1": 0.54, "support": 9}]
EVALUATIONS = {
    "class": {
        "kind": "class",
        "classes": ["cat", "dog"],
        "confusion": [[5, 1], [0, 6]],
        "per_class": RESULTS,
        "worst": [{"id": "a", "true": "cat", "predicted": "dog", "probability": 0.9}],
    },
    "classes": {
        "kind": "classes",
        "classes": ["cat", "dog"],
        "per_class": [{**RESULTS[0], "auroc": None}],
        "worst": [{"id": "a", "true": ["cat"], "predicted": [], "error": 1}],
    },
    "number": {
        "kind": "number",
        "metrics": {"mae": 3.5, "rmse": 4.5, "r2": None},
        "points": [[1, 2], [3, None], [5, 4.5]],
        "worst": [{"id": "a", "true": 1, "predicted": 2, "error": 1}],
    },
    "tags": {
        "kind": "tags",
        "classes": ["O", "B-PER"],
        "per_class": RESULTS,
        "worst": [{"id": "a", "true": ["O", "B-PER"], "predicted": ["O", "O"], "error": 1}],
    },
}
OWN_PICTURES = {
    "class": "confusion.png",
    "classes": "labels.png",
    "number": "predicted.png",
    "tags": "entities.png",
}


def grey(example: str) -> Image.Image:
    return Image.new("RGB", (9, 9))


def names(paths: list[Path]) -> list[str]:
    return sorted(path.name for path in paths)


@pytest.mark.parametrize("kind", ["class", "classes", "number"])
def test_draw_pictures_of_images_are_whole_png_files_and_nothing_else(kind, tmp_path):
    evaluation = {**EVALUATIONS[kind], "history": HISTORY}

    paths = draw_pictures(evaluation, tmp_path / "new", show=grey, title="trial 7")

    assert names(paths) == sorted(["curves.png", "worst.png", OWN_PICTURES[kind]])
    assert set((tmp_path / "new").iterdir()) == set(paths)
    for path in paths:
        with Image.open(path) as picture:
            picture.load()
            assert picture.format == "PNG"
            assert min(picture.size) > 250


@pytest.mark.parametrize("kind", ["class", "classes", "number", "tags"])
def test_draw_pictures_of_texts_have_a_page_of_the_worst(kind, tmp_path):
    words = ("Angela", "Merkel") if kind == "tags" else "Angela Merkel"

    paths = draw_pictures(EVALUATIONS[kind], tmp_path, show=lambda _: words, title="trial 7")

    assert names(paths) == sorted([OWN_PICTURES[kind], "worst.html"])
    page = (tmp_path / "worst.html").read_text(encoding="utf-8")
    assert "trial 7" in page
    assert "Merkel" in page


def test_draw_pictures_of_an_evaluation_of_before_there_were_kinds(tmp_path):
    old = {name: value for name, value in EVALUATIONS["class"].items() if name != "kind"}

    assert names(draw_pictures(old, tmp_path, show=grey)) == ["confusion.png", "worst.png"]


def test_draw_pictures_of_many_classes_have_a_list_for_the_matrix(tmp_path):
    pairs = [{"true": "cat", "predicted": "dog", "count": 3}]
    many = {"kind": "class", "most_confused": pairs, "per_class": RESULTS}

    assert names(draw_pictures(many, tmp_path, show=grey)) == ["confusion.png"]


def test_draw_pictures_leaves_out_what_the_evaluation_lacks(tmp_path):
    (only,) = draw_pictures({"history": HISTORY, "worst": []}, tmp_path, show=grey)
    assert only.name == "curves.png"
    assert draw_pictures({}, tmp_path, show=grey) == []


def test_draw_pictures_class_names_without_a_font_give_an_svg(tmp_path):
    odd = "class \U000e0fff"
    evaluation = {**EVALUATIONS["class"], "classes": ["cat", odd]}

    (confusion,) = draw_pictures(evaluation, tmp_path)

    assert confusion.name == "confusion.svg"
    assert odd in confusion.read_text(encoding="utf-8")


def test_draw_pictures_data_that_are_gone_leave_out_the_worst_with_a_warning(tmp_path, caplog):
    def gone(example: str) -> Image.Image:
        raise DataError("no such folder: photos")

    with caplog.at_level(logging.WARNING):
        paths = draw_pictures(EVALUATIONS["class"], tmp_path, show=gone, title="cats, trial 7")

    assert names(paths) == ["confusion.png"]
    assert caplog.messages == [
        "the worst mistakes of cats, trial 7 are not drawn: no such folder: photos"
    ]
