"""The worst mistakes of an evaluation in words, whatever was learnt."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from runner.experiment import LabelKind
from runner.report.leaderboard import value_text

if TYPE_CHECKING:
    from PIL.Image import Image

    from runner.data import Text

Show = Callable[[str], "Image | Text"]
"""Gives the picture or the text of an example id."""


@dataclass(frozen=True)
class Mistake:
    """One example that was predicted wrong.

    Attributes:
        id: The example's.
        true: Names of its labels, its number as text, or the tags of its words.
        predicted: The same of the prediction.
        measure: How sure or how far off: "99%", "off by -265.5"; empty if it is not known.
    """

    id: str
    true: tuple[str, ...]
    predicted: tuple[str, ...]
    measure: str

    @property
    def missed(self) -> tuple[str, ...]:
        """Labels that the prediction lacks."""
        return tuple(name for name in self.true if name not in self.predicted)

    @property
    def added(self) -> tuple[str, ...]:
        """Labels that are predicted and do not hold."""
        return tuple(name for name in self.predicted if name not in self.true)

    @property
    def right(self) -> tuple[str, ...]:
        """Labels that hold and are predicted."""
        return tuple(name for name in self.true if name in self.predicted)


def mistakes_of(
    worst: Sequence[Mapping[str, Any]], kind: LabelKind, *, classes: Sequence[str] = ()
) -> list[Mistake]:
    """The rows of an evaluation's `worst`, in their order.

    Args:
        worst: `id`, `true`, `predicted` and maybe `probability`; classes and tags by name or by
            index; a number that is not finite is None.
        kind: How the examples are labelled.
        classes: Names.
    """
    return [
        Mistake(
            id=str(row["id"]),
            true=_names(row["true"], kind, classes),
            predicted=_names(row["predicted"], kind, classes),
            measure=_measure(row, kind),
        )
        for row in worst
    ]


def _names(value: Any, kind: LabelKind, classes: Sequence[str]) -> tuple[str, ...]:
    if kind is LabelKind.NUMBER:
        return ("not a number" if value is None else value_text(float(value)),)
    values = value if isinstance(value, list | tuple) else [value]
    return tuple(classes[item] if isinstance(item, int) else str(item) for item in values)


def _measure(row: Mapping[str, Any], kind: LabelKind) -> str:
    if kind is LabelKind.CLASS and row.get("probability") is not None:
        return percent_text(float(row["probability"]))
    if kind is LabelKind.NUMBER and row["predicted"] is not None:
        return f"off by {value_text(float(row['predicted']) - float(row['true']))}"
    return ""


def percent_text(probability: float) -> str:
    """A probability in per cent; one below 1 is never written as 100%."""
    if probability < 0.995:
        return f"{probability:.0%}"
    return f"{math.floor(1000 * probability) / 10:g}%"
