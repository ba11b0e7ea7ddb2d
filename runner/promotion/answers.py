"""What a served model answers with, as far as its signature says it; the same for every modality.

How the answers are made of a network's outputs is in `served_answers`, which is served too.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from runner.experiment import LabelKind

if TYPE_CHECKING:
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec


@dataclass(frozen=True)
class Answers:
    """How a model's outputs become answers.

    Attributes:
        kind: What is answered: one class, several, a number, or a tag a word.
        classes: Names of the outputs, in order; none of a number.
        mean: What is added to a number that came out in standard deviations; 0 otherwise.
        std: The standard deviation it is multiplied with before; 1 otherwise.
    """

    kind: LabelKind
    classes: tuple[str, ...] = ()
    mean: float = 0.0
    std: float = 1.0

    @classmethod
    def from_facts(cls, kind: LabelKind, facts: Mapping[str, Any]) -> "Answers":
        """From what a task knows of itself: `classes`, and `mean` and `std` of a number."""
        return cls(
            kind,
            tuple(facts.get("classes", ())),
            float(facts.get("mean", 0.0)),
            float(facts.get("std", 1.0)),
        )

    def description(self) -> dict[str, Any]:
        """What the served model reads of them in model.json."""
        return {
            "kind": str(self.kind),
            "classes": list(self.classes),
            "mean": self.mean,
            "std": self.std,
        }


def answer_signature(
    answers: Answers,
    inputs: "list[ColSpec]",
    *,
    batch_size: int,
) -> "ModelSignature":
    """What a served model takes and gives.

    Args:
        answers: What it answers with.
        inputs: The columns it takes.
        batch_size: Examples that go through the network at once unless told otherwise.
    """
    from mlflow.models import ModelSignature
    from mlflow.types import DataType, ParamSchema, ParamSpec, Schema

    from runner.promotion.served_answers import DEFAULT_THRESHOLD

    params = [ParamSpec("batch_size", DataType.long, batch_size)]
    if answers.kind is LabelKind.CLASS:
        params.insert(0, ParamSpec("top_k", DataType.long, 1))
    if answers.kind is LabelKind.CLASSES:
        params.insert(0, ParamSpec("threshold", DataType.double, DEFAULT_THRESHOLD))
    return ModelSignature(
        inputs=Schema([*inputs]),
        outputs=Schema([*_output_columns(answers)]),
        params=ParamSchema(params),
    )


def _output_columns(answers: Answers) -> "list[ColSpec]":
    from mlflow.types import ColSpec, DataType
    from mlflow.types.schema import Array

    from runner.promotion.served_answers import class_column

    each = [ColSpec(DataType.double, class_column(name)) for name in answers.classes]
    if answers.kind is LabelKind.CLASS:
        label, share = ColSpec(DataType.string, "label"), ColSpec(DataType.double, "probability")
        return [label, share, *each]
    if answers.kind is LabelKind.CLASSES:
        return [ColSpec(DataType.string, "labels"), *each]
    if answers.kind is LabelKind.NUMBER:
        return [ColSpec(DataType.double, "prediction")]
    return [ColSpec(Array(DataType.string), "tags"), ColSpec(DataType.string, "entities")]
