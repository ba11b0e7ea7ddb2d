"""One class of several: metrics against scikit-learn's, the evaluation in full."""

import json
import math
import time
import tracemalloc

import numpy as np
import pytest
import torch
from sklearn import metrics
from torch import Tensor

from runner.experiment import TASK_FORMS
from runner.tasks import Predictions
from runner.tasks.classification import MOST_CLASSES_OF_A_MATRIX, ClassificationTask

_FORM = TASK_FORMS["image_classification"]
_IDS = ("a.png", "b.png", "c.png", "d.png")


def _task(*classes: str) -> ClassificationTask:
    return ClassificationTask(_FORM, classes)


def _predictions(outputs: Tensor, targets: list[int]) -> Predictions:
    ids = tuple(f"{index}.png" for index in range(len(targets)))
    return Predictions(outputs, torch.tensor(targets), ids)


def _random(count: int, classes: int) -> tuple[Tensor, list[int]]:
    generator = torch.Generator().manual_seed(1)
    targets = torch.randint(classes, (count,), generator=generator)
    outputs = torch.randn(count, classes, generator=generator)
    outputs[torch.arange(count), targets] += 1
    return outputs, targets.tolist()


def test_score_is_scikit_learns() -> None:
    outputs, targets = _random(200, 4)
    scores = _task("a", "b", "c", "d").score(_predictions(outputs, targets))
    predicted, p = outputs.argmax(dim=1).numpy(), outputs.double().softmax(dim=1).numpy()
    assert scores == pytest.approx(
        {
            "accuracy": metrics.accuracy_score(targets, predicted),
            "balanced_accuracy": metrics.balanced_accuracy_score(targets, predicted),
            "macro_f1": metrics.f1_score(targets, predicted, average="macro"),
            "weighted_f1": metrics.f1_score(targets, predicted, average="weighted"),
            "mcc": metrics.matthews_corrcoef(targets, predicted),
            "auroc": metrics.roc_auc_score(targets, p, multi_class="ovr"),
            "loss": metrics.log_loss(targets, p),
        }
    )


def test_score_of_two_classes_has_the_usual_auroc() -> None:
    outputs, targets = _random(100, 2)
    scores = _task("no", "yes").score(_predictions(outputs, targets))
    expected = metrics.roc_auc_score(targets, (outputs[:, 1] - outputs[:, 0]).numpy())
    assert scores["auroc"] == pytest.approx(expected)


def test_score_of_a_class_that_does_not_occur_averages_auroc_over_the_others() -> None:
    outputs, targets = _random(100, 3)
    kept = [row for row, target in enumerate(targets) if target != 1]
    outputs, targets = outputs[kept], [targets[row] for row in kept]
    p = outputs.double().softmax(dim=1).numpy()
    each = [metrics.roc_auc_score(np.array(targets) == k, p[:, k]) for k in (0, 2)]
    scores = _task("a", "b", "c").score(_predictions(outputs, targets))
    assert scores["auroc"] == pytest.approx(sum(each) / 2)
    assert scores["balanced_accuracy"] == pytest.approx(
        metrics.recall_score(
            targets, outputs.argmax(dim=1), labels=[0, 2], average="macro", zero_division=0
        )
    )


def test_score_of_a_split_with_one_class_has_no_auroc_and_no_correlation() -> None:
    outputs, _ = _random(4, 3)
    scores = _task("a", "b", "c").score(_predictions(outputs, [1, 1, 1, 1]))
    assert {name for name, value in scores.items() if math.isnan(value)} == {"auroc", "mcc"}


def test_evaluate_gives_the_whole_report() -> None:
    outputs = torch.tensor([[0.0, 2, 0], [0, 1, 0], [3, 0, 0], [0, 0, 4]])
    predictions = Predictions(outputs, torch.tensor([1, 0, 1, 2]), _IDS)
    evaluation = _task("cat", "cow", "dog").evaluate(predictions)
    assert evaluation["task"] == "image_classification"
    assert evaluation["kind"] == "class"
    assert evaluation["classes"] == ["cat", "cow", "dog"]
    assert evaluation["confusion"] == [[0, 1, 0], [1, 1, 0], [0, 0, 1]]
    assert evaluation["metrics"]["accuracy"] == 0.5
    assert evaluation["per_class"] == [
        {"label": "cat", "precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 1},
        {"label": "cow", "precision": 0.5, "recall": 0.5, "f1": 0.5, "support": 2},
        {"label": "dog", "precision": 1.0, "recall": 1.0, "f1": 1.0, "support": 1},
    ]
    sure, less_sure = evaluation["worst"]
    assert sure["probability"] == pytest.approx(math.exp(3) / (math.exp(3) + 2))
    assert {**sure, "probability": 0} == {
        "id": "c.png",
        "true": "cow",
        "predicted": "cat",
        "probability": 0,
    }
    assert (less_sure["id"], less_sure["true"], less_sure["predicted"]) == ("b.png", "cat", "cow")


def test_evaluate_keeps_the_sixteen_surest_mistakes() -> None:
    outputs, _ = _random(50, 2)
    wrong = (1 - outputs.argmax(dim=1)).tolist()
    worst = _task("no", "yes").evaluate(_predictions(outputs, wrong))["worst"]
    sureness = outputs.softmax(dim=1).max(dim=1).values.sort(descending=True).values
    assert [row["probability"] for row in worst] == sureness[:16].tolist()


def test_quality_is_one_for_right_and_zero_for_wrong() -> None:
    outputs = torch.tensor([[0.0, 2], [3, 0]])
    quality = _task("no", "yes").quality(Predictions(outputs, torch.tensor([1, 1]), _IDS[:2]))
    assert quality == {"a.png": 1.0, "b.png": 0.0}


def test_score_of_many_classes_is_scikit_learns() -> None:
    outputs, targets = _random(400, 300)  # some classes do not occur, some have ten examples
    scores = _task(*(f"{index}" for index in range(300))).score(_predictions(outputs, targets))
    predicted, p = outputs.argmax(dim=1).numpy(), outputs.double().softmax(dim=1).numpy()
    present = sorted(set(targets))
    areas = [metrics.roc_auc_score(np.array(targets) == k, p[:, k]) for k in present]
    assert scores["auroc"] == pytest.approx(np.mean(areas), abs=1e-12)
    assert scores["mcc"] == pytest.approx(metrics.matthews_corrcoef(targets, predicted))
    everyone = list(range(300))
    f1 = metrics.f1_score(targets, predicted, labels=everyone, average="macro", zero_division=0)
    assert scores["macro_f1"] == pytest.approx(f1)


@pytest.mark.parametrize("broken", [math.nan, math.inf, -math.inf])
def test_score_of_an_output_that_is_no_number_has_no_auroc(broken: float) -> None:
    outputs, targets = _random(30, 3)
    outputs[7, 2] = broken
    assert math.isnan(_task("a", "b", "c").score(_predictions(outputs, targets))["auroc"])


def test_score_keeps_the_order_of_sure_predictions() -> None:
    # As probabilities both of the first two are 1 in float32, and the third is not above them.
    outputs = torch.tensor([[0.0, 18.0], [0.0, 20.0], [0.0, 17.0], [0.0, 19.0]])
    scores = _task("no", "yes").score(_predictions(outputs, [0, 1, 0, 1]))
    assert scores["auroc"] == 1.0


@pytest.mark.parametrize(
    ("classes", "key"),
    [
        (MOST_CLASSES_OF_A_MATRIX, "confusion"),
        (MOST_CLASSES_OF_A_MATRIX + 1, "most_confused"),
    ],
)
def test_evaluate_has_a_matrix_of_few_classes_and_a_list_of_many(classes: int, key: str) -> None:
    outputs, targets = _random(50, classes)
    evaluation = _task(*(f"{index}" for index in range(classes))).evaluate(
        _predictions(outputs, targets)
    )
    assert [k for k in ("confusion", "most_confused") if k in evaluation] == [key]
    json.dumps(evaluation, allow_nan=False)


def test_evaluate_of_many_classes_lists_who_is_taken_for_whom() -> None:
    names = [f"breed {index}" for index in range(300)]
    outputs = torch.zeros(6, 300)
    for row, predicted in enumerate([7, 7, 7, 0, 8, 1]):
        outputs[row, predicted] = 9.0
    evaluation = _task(*names).evaluate(_predictions(outputs, [2, 2, 3, 0, 3, 1]))
    assert evaluation["most_confused"] == [
        {"true": "breed 2", "predicted": "breed 7", "count": 2},
        {"true": "breed 3", "predicted": "breed 7", "count": 1},
        {"true": "breed 3", "predicted": "breed 8", "count": 1},
    ]
    assert evaluation["per_class"][2] == {
        "label": "breed 2", "precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 2,
    }  # fmt: skip


def test_ten_thousand_classes_are_scored_and_evaluated_in_little_memory_and_time() -> None:
    """The dense matrix took 800 MB, and a hundred million numbers of JSON, twice a trial.

    Fails where the whole matrix is kept.
    """
    outputs, targets = _random(1000, 10_000)
    task = _task(*(f"class {index}" for index in range(10_000)))
    predictions = _predictions(outputs, targets)
    started = time.perf_counter()
    tracemalloc.start()  # counts numpy's memory and Python's
    try:
        scores = task.score(predictions)
        evaluation = task.evaluate(predictions)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 100e6
    assert time.perf_counter() - started < 30
    assert evaluation["metrics"] == scores
    assert len(json.dumps(evaluation)) < 3e6
    present = sorted(set(targets))[::50]
    log_p = outputs.double().log_softmax(dim=1).numpy()
    areas = [metrics.roc_auc_score(np.array(targets) == k, log_p[:, k]) for k in present]
    assert 0.5 < scores["auroc"] == pytest.approx(np.mean(areas), abs=0.05)
