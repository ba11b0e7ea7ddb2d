"""A tag for each word."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence

from runner.data import Label
from runner.experiment import TaskForm
from runner.tasks.classification import softmax_criterion
from runner.tasks.contract import (
    PADDING,
    LossSettings,
    Predictions,
    Rows,
    targets_beside,
)
from runner.tasks.entities import EntityResult, entity_results
from runner.tasks.evaluation import WORST_MISTAKES, opening
from runner.tasks.losses import ClassCriterion

NAN = float("nan")


@dataclass(frozen=True)
class TaggingTask:
    """The task of a softmax over the tags `classes` at each word; see `Task`."""

    form: TaskForm
    classes: tuple[str, ...]

    @property
    def outputs(self) -> int:
        """Size of the head."""
        return len(self.classes)

    def encode(self, labels: Sequence[Label]) -> Tensor:
        """Tag indices, [N, W] int64, W words of the longest, padded with `PADDING`."""
        words = cast(Sequence[tuple[int, ...]], labels)
        sentences = [torch.tensor(tags, dtype=torch.int64) for tags in words]
        return pad_sequence(sentences, batch_first=True, padding_value=PADDING)

    def criterion(self, settings: LossSettings, *, train_targets: Tensor) -> ClassCriterion:
        """Cross-entropy or focal loss of every word."""
        return softmax_criterion(
            settings, self.form, train_targets=train_targets, classes=self.outputs
        )

    def rows(self, outputs: Tensor, targets: Tensor) -> Rows:
        """The words that are there, as rows.

        Args:
            outputs: Shape [B, W, C].
            targets: Shape [B, W] or wider, padded with `PADDING`.
        """
        targets = targets_beside(outputs, targets)
        is_there = targets != PADDING
        return outputs[is_there], targets[is_there], is_there.sum(dim=1)

    def score(self, predictions: Predictions) -> dict[str, float]:
        """Every metric of the form, over a whole split.

        Entities count as found where span and type are exactly right. Without any entity, true
        or predicted, what is about entities is NaN.

        Source: `entity_results`; accuracy is scikit-learn's, over words; the loss is
        cross-entropy over words, without label smoothing.
        """
        from sklearn.metrics import accuracy_score

        overall, by_type = self._entities(predictions)
        outputs, targets = predictions.outputs, predictions.targets
        return {
            "f1": NAN if overall is None else overall.f1,
            "precision": NAN if overall is None else overall.precision,
            "recall": NAN if overall is None else overall.recall,
            "macro_f1": _mean([result.f1 for result in by_type.values()]),
            "accuracy": float(accuracy_score(targets.numpy(), outputs.argmax(dim=1).numpy())),
            "loss": float(functional.cross_entropy(outputs.double(), targets)),
        }

    def evaluate(self, predictions: Predictions) -> dict[str, Any]:
        """Also the results of each type of entity."""
        _, by_type = self._entities(predictions)
        return {
            **opening(self.form, self.score(predictions)),
            "classes": list(self.classes),
            "per_class": [
                {
                    "label": kind,
                    "precision": result.precision,
                    "recall": result.recall,
                    "f1": result.f1,
                    "support": result.support,
                }
                for kind, result in by_type.items()
            ],
            "worst": self._worst(predictions),
        }

    def quality(self, predictions: Predictions) -> dict[str, float]:
        """Share of the words that are right."""
        shares = (
            1.0 - wrong / max(length, 1)
            for wrong, length in zip(_wrong_words(predictions), _lengths(predictions), strict=True)
        )
        return dict(zip(predictions.ids, shares, strict=True))

    def facts(self) -> dict[str, Any]:
        """The tags, in the order of the outputs."""
        return {"task": self.form.name, "kind": "tags", "classes": list(self.classes)}

    def _entities(
        self, predictions: Predictions
    ) -> tuple[EntityResult | None, dict[str, EntityResult]]:
        true = self._tags(predictions.targets, predictions)
        return entity_results(true, self._tags(predictions.outputs.argmax(dim=1), predictions))

    def _tags(self, indices: Tensor, predictions: Predictions) -> list[list[str]]:
        """The tags of each sentence."""
        sentences = _by_sentence(indices, predictions)
        return [[self.classes[index] for index in sentence.tolist()] for sentence in sentences]

    def _worst(self, predictions: Predictions) -> list[dict[str, Any]]:
        """Sentences with the most wrong words."""
        wrong = _wrong_words(predictions)
        order = sorted(range(len(wrong)), key=lambda index: -wrong[index])[:WORST_MISTAKES]
        true = self._tags(predictions.targets, predictions)
        predicted = self._tags(predictions.outputs.argmax(dim=1), predictions)
        return [
            {
                "id": predictions.ids[index],
                "true": true[index],
                "predicted": predicted[index],
                "error": wrong[index],
            }
            for index in order
            if wrong[index]
        ]


def _lengths(predictions: Predictions) -> list[int]:
    assert predictions.lengths is not None, "words are gathered with their sentences' lengths"
    return cast(list[int], predictions.lengths.tolist())


def _by_sentence(words: Tensor, predictions: Predictions) -> tuple[Tensor, ...]:
    parts: tuple[Tensor, ...] = torch.split(words, _lengths(predictions))
    return parts


def _wrong_words(predictions: Predictions) -> list[int]:
    """How many words of each sentence are wrong."""
    wrong = (predictions.outputs.argmax(dim=1) != predictions.targets).long()
    return [int(part.sum()) for part in _by_sentence(wrong, predictions)]


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else NAN
