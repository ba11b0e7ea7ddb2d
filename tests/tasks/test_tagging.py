"""Tags: rows of words that are there, entities over whole sentences."""

import math

import pytest
from torch import Tensor
from torch.nn import functional

from runner.experiment import TASK_FORMS
from runner.tasks import PADDING, Predictions, gather
from runner.tasks.tagging import TaggingTask

_TASK = TaggingTask(TASK_FORMS["token_classification"], ("O", "B-LOC", "B-PER", "I-PER"))


def _hot(tags: Tensor) -> Tensor:
    return functional.one_hot(tags.clamp(min=0), 4).float()


def _predictions(true: list[tuple[int, ...]], guessed: list[tuple[int, ...]]) -> Predictions:
    targets = _TASK.encode(true)
    ids = [f"s{index}" for index in range(len(true))]
    return gather([_TASK.rows(_hot(_TASK.encode(guessed)), targets)], ids)


def test_encode_pads_to_the_longest_sentence() -> None:
    assert _TASK.encode([(2, 3, 0), (1,)]).tolist() == [[2, 3, 0], [1, PADDING, PADDING]]


def test_rows_are_the_words_that_are_there() -> None:
    targets = _TASK.encode([(2, 3, 0), (1,)])
    outputs, rows, lengths = _TASK.rows(_hot(targets), targets)
    assert rows.tolist() == outputs.argmax(dim=1).tolist() == [2, 3, 0, 1]
    assert lengths is not None
    assert lengths.tolist() == [3, 1]


def test_rows_of_targets_wider_than_their_batch_are_the_same() -> None:
    targets = _TASK.encode([(2, 3), (1,), (0, 0, 0, 0)])[:2]
    outputs, rows, _ = _TASK.rows(_hot(targets[:, :2]), targets)
    assert (len(outputs), rows.tolist()) == (3, [2, 3, 1])


def test_rows_of_outputs_without_all_the_words_are_refused() -> None:
    targets = _TASK.encode([(2, 3, 0)])
    with pytest.raises(ValueError, match="outputs for 2 words, but targets for 3"):
        _TASK.rows(_hot(targets[:, :2]), targets)


def test_score_counts_entities_words_and_log_loss() -> None:
    # Entities: PER at 0-1 found, LOC at 3 called PER; a PER that is not there in s1.
    scores = _TASK.score(_predictions([(2, 3, 0, 1), (0, 0)], [(2, 3, 0, 2), (0, 2)]))
    assert scores["precision"] == pytest.approx(1 / 3)
    assert scores["recall"] == pytest.approx(1 / 2)
    assert scores["f1"] == pytest.approx(2 / 5)
    assert scores["macro_f1"] == pytest.approx((1 / 2 + 0) / 2)
    assert scores["accuracy"] == pytest.approx(4 / 6)
    sure, rest = math.log(math.e + 3) - 1, math.log(math.e + 3)
    assert scores["loss"] == pytest.approx((4 * sure + 2 * rest) / 6)


def test_score_where_nothing_is_an_entity_has_nothing_about_entities() -> None:
    scores = _TASK.score(_predictions([(0, 0)], [(0, 0)]))
    assert {name for name, value in scores.items() if math.isnan(value)} == {
        "f1",
        "precision",
        "recall",
        "macro_f1",
    }
    assert scores["accuracy"] == 1.0


def test_score_of_a_model_that_finds_nothing_is_zero() -> None:
    scores = _TASK.score(_predictions([(2, 3)], [(0, 0)]))
    assert (scores["f1"], scores["precision"], scores["recall"]) == (0.0, 0.0, 0.0)


def test_evaluate_gives_each_type_and_the_sentences_with_most_wrong_words() -> None:
    evaluation = _TASK.evaluate(_predictions([(2, 3), (0,), (1, 0, 0)], [(2, 0), (0,), (0, 0, 2)]))
    assert evaluation["per_class"] == [
        {"label": "LOC", "precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 1},
        {"label": "PER", "precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 1},
    ]
    assert evaluation["worst"] == [
        {"id": "s2", "true": ["B-LOC", "O", "O"], "predicted": ["O", "O", "B-PER"], "error": 2},
        {"id": "s0", "true": ["B-PER", "I-PER"], "predicted": ["B-PER", "O"], "error": 1},
    ]


def test_quality_is_the_share_of_words_that_are_right() -> None:
    quality = _TASK.quality(_predictions([(2, 3), (0,), (1, 0, 0)], [(2, 0), (0,), (0, 0, 2)]))
    assert quality == pytest.approx({"s0": 0.5, "s1": 1.0, "s2": 1 / 3})
