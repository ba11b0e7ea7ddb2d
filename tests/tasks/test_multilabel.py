"""Several labels: metrics against scikit-learn's, labels that occur always or never."""

import math

import numpy as np
import pytest
import torch
from sklearn import metrics
from torch import Tensor

from runner.experiment import TASK_FORMS
from runner.tasks import Predictions
from runner.tasks.multilabel import MultilabelTask

_FORM = TASK_FORMS["text_multilabel"]


def _predictions(outputs: Tensor, targets: Tensor) -> Predictions:
    return Predictions(outputs, targets, tuple(f"t{index}" for index in range(len(targets))))


def _random(count: int, labels: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    targets = (torch.rand(count, labels, generator=generator) < 0.3).float()
    return torch.randn(count, labels, generator=generator) + targets, targets


@pytest.mark.parametrize("labels", [1, 3])
def test_score_is_scikit_learns(labels: int) -> None:
    outputs, targets = _random(200, labels)
    task = MultilabelTask(_FORM, tuple("abc"[:labels]))
    scores = task.score(_predictions(outputs, targets))
    held, p = targets.numpy().astype(int), outputs.double().sigmoid().numpy()
    guessed = (p >= 0.5).astype(int)
    columns = range(labels)
    mean_over_labels = {
        "macro_f1": [metrics.f1_score(held[:, k], guessed[:, k]) for k in columns],
        "auroc": [metrics.roc_auc_score(held[:, k], p[:, k]) for k in columns],
        "average_precision": [
            metrics.average_precision_score(held[:, k], p[:, k]) for k in columns
        ],
        "loss": [metrics.log_loss(held[:, k], p[:, k]) for k in columns],
    }
    assert scores == pytest.approx(
        {
            **{name: np.mean(values) for name, values in mean_over_labels.items()},
            "micro_f1": metrics.f1_score(held.ravel(), guessed.ravel()),
            "exact_match": (held == guessed).all(axis=1).mean(),
        }
    )


def test_score_leaves_out_labels_that_hold_always_or_never() -> None:
    outputs, targets = _random(50, 3)
    targets[:, 1], targets[:, 2] = 0.0, 1.0
    outputs[:, 1] = -1.0
    task = MultilabelTask(_FORM, ("a", "never", "always"))
    scores = task.score(_predictions(outputs, targets))
    p = outputs.sigmoid()
    assert scores["auroc"] == pytest.approx(metrics.roc_auc_score(targets[:, 0], p[:, 0]))
    assert scores["average_precision"] == pytest.approx(
        metrics.average_precision_score(targets[:, 0], p[:, 0])
    )
    # A label that neither occurs nor is predicted has no F1.
    assert scores["macro_f1"] == pytest.approx(
        np.mean([metrics.f1_score(targets[:, k], p[:, k] >= 0.5) for k in (0, 2)])
    )
    rows = task.evaluate(_predictions(outputs, targets))["per_class"]
    assert [row["auroc"] is None for row in rows] == [False, True, True]
    assert [row["support"] for row in rows] == [int(targets[:, 0].sum()), 0, 50]


def test_score_of_a_split_without_any_label_has_neither_f1_nor_ranking() -> None:
    task = MultilabelTask(_FORM, ("a", "b"))
    scores = task.score(_predictions(-torch.ones(3, 2), torch.zeros(3, 2)))
    assert {name for name, value in scores.items() if math.isnan(value)} == {
        "macro_f1",
        "micro_f1",
        "auroc",
        "average_precision",
    }
    assert scores["exact_match"] == 1.0


def test_encode_sets_one_for_each_label_that_holds() -> None:
    encoded = MultilabelTask(_FORM, ("a", "b", "c")).encode([(), (0, 2), (1,)])
    assert encoded.dtype is torch.float32
    assert encoded.tolist() == [[0, 0, 0], [1, 0, 1], [0, 1, 0]]


def test_evaluate_names_the_labels_of_the_worst_first_those_with_most_wrong() -> None:
    task = MultilabelTask(_FORM, ("a", "b", "c"))
    outputs = torch.tensor([[1.0, -1, -1], [8.0, -1, 1], [5.0, -5, 5], [9.0, -1, -1]])
    targets = torch.tensor([[1.0, 0, 0], [0, 0, 1], [0, 1, 0], [0, 0, 0]])
    worst = task.evaluate(_predictions(outputs, targets))["worst"]
    assert worst == [
        {"id": "t2", "true": ["b"], "predicted": ["a", "c"], "error": 3},
        {"id": "t3", "true": [], "predicted": ["a"], "error": 1},
        {"id": "t1", "true": ["c"], "predicted": ["a", "c"], "error": 1},
    ]


def test_quality_is_the_share_of_labels_that_are_right() -> None:
    task = MultilabelTask(_FORM, ("a", "b", "c", "d"))
    outputs = torch.tensor([[1.0, -1, -1, 1], [1, 1, 1, 1]])
    targets = torch.tensor([[1.0, 1, 0, 1], [0, 0, 0, 1]])
    assert task.quality(_predictions(outputs, targets)) == {"t0": 0.75, "t1": 0.25}
