"""Pictures of a trial are drawn for any number of classes, without a display."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from runner.report import draw_pictures
from runner.report.confusion import confusion_matrix
from runner.report.pictures import learning_curves, worst_mistakes


def confusion(size: int) -> list[list[int]]:
    counts = np.eye(size, dtype=int) * 20
    counts[0, size - 1] = 7
    return counts.tolist()


def texts(figure: object) -> list[str]:
    return [text.get_text() for axes in figure.axes for text in axes.texts]  # type: ignore[attr-defined]


HISTORY = [
    {"epoch": 1, "train/loss": 2.0, "validation/loss": 1.9, "validation/accuracy": 0.3},
    {"epoch": 2, "train/loss": 1.0, "validation/loss": float("nan"), "validation/accuracy": 0.8},
    {"epoch": 3, "train/loss": 0.5, "validation/loss": 1.2, "validation/accuracy": 0.7},
]


def test_learning_curves_a_panel_a_metric_with_the_best_epoch_marked() -> None:
    loss, accuracy = learning_curves(HISTORY).axes
    assert loss.get_title(loc="left") == "loss"
    assert accuracy.get_title(loc="left") == "accuracy (validation)"
    assert [text.get_text() for text in accuracy.texts] == ["0.8"]
    assert [text.get_text() for text in loss.texts] == ["1.2"]
    validation = loss.get_lines()[1]
    assert list(validation.get_xdata()) == [1, 3]


def test_learning_curves_of_an_empty_history_draws_nothing() -> None:
    assert learning_curves([]).axes == []


@pytest.mark.parametrize("size", [2, 9, 30])
def test_confusion_matrix_few_classes_have_counts(size: int) -> None:
    figure = confusion_matrix(confusion(size), [f"class {i}" for i in range(size)])
    assert sorted(texts(figure)) == sorted(["20"] * size + ["7"])
    assert figure.axes[0].get_title(loc="left") == f"{20 * size} of {20 * size + 7} right"


@pytest.mark.parametrize("size", [31, 102])
def test_confusion_matrix_many_classes_list_the_most_frequent_mistakes(size: int) -> None:
    figure = confusion_matrix(confusion(size), [f"class {i}" for i in range(size)])
    assert texts(figure) == ["most frequent mistakes", "7", f"class 0 as class {size - 1}"]


def test_confusion_matrix_long_names_keep_both_ends() -> None:
    names = [f"American Staffordshire bull terrier {i}" for i in range(31)]
    (_, _, mistake) = texts(confusion_matrix(confusion(31), names))
    assert mistake == "American St… terrier 0 as American St…terrier 30"


def test_worst_mistakes_show_prediction_probability_and_label() -> None:
    worst = [
        {"id": "a.png", "true": 0, "predicted": 1, "probability": 0.987},
        {"id": "b.png", "true": "dog", "predicted": "cat", "probability": 0.5},
    ]
    asked: list[str] = []

    def image(example: str) -> Image.Image:
        asked.append(example)
        return Image.new("L", (40, 20))

    figure = worst_mistakes(worst, ["cat", "dog"], image=image)
    assert asked == ["a.png", "b.png"]
    assert [axes.get_title(loc="left") for axes in figure.axes] == [
        "dog  99%\nlabelled cat",
        "cat  50%\nlabelled dog",
    ]


def test_draw_pictures_writes_whole_png_files_and_nothing_else(tmp_path: Path) -> None:
    evaluation = {
        "classes": ["cat", "dog"],
        "confusion": confusion(2),
        "history": HISTORY,
        "worst": [{"id": "a", "true": 0, "predicted": 1, "probability": 0.9}],
    }
    paths = draw_pictures(
        evaluation, tmp_path / "new", image=lambda _: Image.new("RGB", (9, 9)), title="trial 7"
    )
    assert sorted(path.name for path in paths) == ["confusion.png", "curves.png", "worst.png"]
    assert set((tmp_path / "new").iterdir()) == set(paths)
    for path in paths:
        with Image.open(path) as picture:
            picture.load()
            assert picture.format == "PNG"
            assert min(picture.size) > 300


def test_draw_pictures_leaves_out_what_the_evaluation_lacks(tmp_path: Path) -> None:
    (only,) = draw_pictures(
        {"classes": ["a", "b"], "confusion": confusion(2), "worst": []}, tmp_path
    )
    assert only.name == "confusion.png"
