"""The gate: whether a candidate may take the champion's place."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any

from runner.errors import PromotionRefused
from runner.experiment import LabelKind
from runner.promotion.intervals import mean_interval, paired_interval, wilson_interval
from runner.report import value_text

QUALITY_NAMES: Mapping[LabelKind, str] = MappingProxyType(
    {
        LabelKind.CLASS: "accuracy",
        LabelKind.CLASSES: "share of labels right",
        LabelKind.NUMBER: "mean absolute error",
        LabelKind.TAGS: "share of words right, averaged over the sentences,",
    }
)
"""What the mean quality of the examples is called; a number's quality is minus its error."""
_INSTEAD = "To replace it without a comparison, add --without-comparison"


@dataclass(frozen=True)
class Evaluation:
    """A model's results on one test split.

    Attributes:
        split: Fingerprint of the split.
        metric: Name of the metric that decides, `values` holding all of them by name.
        values: Fractions (or the loss); of numbers in their own units.
        is_maximized: Whether a larger value of the metric is better.
        quality: How well each example was answered, by its id; larger is better. Class: 1 right,
            0 wrong; classes: share of its labels right; number: minus its absolute error; tags:
            share of its words right.
        labels: How the examples are labelled; None where only the user's own code knows.
    """

    split: str
    metric: str
    values: Mapping[str, float]
    is_maximized: bool
    quality: Mapping[str, float]
    labels: LabelKind | None = LabelKind.CLASS

    @property
    def value(self) -> float:
        """The deciding metric's value."""
        return self.values[self.metric]

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values; `from_json` reads it."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "Evaluation":
        """From what a look has recorded, of this version or of one that knew classes alone."""
        known = dict(content)
        if "correct" in known:
            known["quality"] = {key: float(right) for key, right in known.pop("correct").items()}
        for name in ("values", "quality"):
            # Numbers that are none are null in JSON.
            known[name] = {k: math.nan if v is None else v for k, v in known[name].items()}
        labels = known.pop("labels", LabelKind.CLASS)
        return cls(**known, labels=None if labels is None else LabelKind(labels))


@dataclass(frozen=True)
class Champion:
    """The model version that holds the alias.

    Attributes:
        version: Its version in the registry.
        run_id: The MLflow run of the trial it came from.
        split: Fingerprint of the split it was trained on.
        evaluation: Its results on that split's test part.
    """

    version: str
    run_id: str
    split: str
    evaluation: Evaluation


@dataclass(frozen=True)
class QualityInterval:
    """The mean quality of a test split's examples, in the words and units people know.

    Attributes:
        name: What it is: accuracy, mean absolute error, ...
        value: Its value; a fraction, or an error in the target's own units.
        low: Lower bound of its 95 % interval.
        high: Upper bound.
    """

    name: str
    value: float
    low: float
    high: float

    def __str__(self) -> str:
        shown = [value_text(figure) for figure in (self.value, self.low, self.high)]
        return f"{self.name} {shown[0]} (95 % interval {shown[1]} to {shown[2]})"

    def is_metric(self, metric: str) -> bool:
        """Whether it is the value of a metric under the same or another name."""
        is_error = metric == "mae" and self.name == QUALITY_NAMES[LabelKind.NUMBER]
        return metric == self.name or is_error


def quality_interval(evaluation: Evaluation) -> QualityInterval:
    """The mean quality with its interval: Wilson's for accuracy, else by bootstrap.

    Of at least one example.
    """
    values = list(evaluation.quality.values())
    mean = math.fsum(values) / len(values)
    name = _quality_name(evaluation)
    if evaluation.labels is LabelKind.CLASS:
        return QualityInterval(name, mean, *wilson_interval(round(sum(values)), len(values)))
    low, high = mean_interval(values)
    if evaluation.labels is LabelKind.NUMBER:
        return QualityInterval(name, -mean, -high, -low)
    return QualityInterval(name, mean, low, high)


def require_other_trial(run_id: str, champion: Champion) -> None:
    """Refuse to promote the champion over itself: nothing would change but the version.

    Raises:
        PromotionRefused: If the candidate is the champion's own trial.
    """
    if champion.run_id == run_id:
        raise PromotionRefused(f"this trial is the champion already (version {champion.version})")


def require_same_split(split: str, champion: Champion) -> None:
    """Refuse a comparison that would be unfair, before the test split is looked at.

    Raises:
        PromotionRefused: If the champion was trained on another split: it may have been trained
            on the very examples it would now be tested on.
    """
    if champion.split == split:
        return
    raise PromotionRefused(
        f"the champion (version {champion.version}) was trained on another split "
        f"({champion.split[:12]}, this study's is {split[:12]}): it may have seen these test "
        f"examples in training, so the two cannot be compared fairly. {_INSTEAD}"
    )


def require_comparable(metric: str, labels: LabelKind | None, champion: Champion) -> None:
    """Refuse a comparison that cannot be made, before the test split is looked at.

    Args:
        metric: What the candidate's study chooses by.
        labels: How its examples are labelled; None where only the user's own code knows.
        champion: Whose place it would take.
    Raises:
        PromotionRefused: If the champion has no such metric, or one of another kind of label.
    """
    theirs = champion.evaluation
    if metric not in theirs.values:
        raise PromotionRefused(
            f"the champion (version {champion.version}) has no test {metric}, by which "
            f"this study chooses; it has {', '.join(theirs.values)}. {_INSTEAD}"
        )
    if labels is not theirs.labels:
        kinds = [str(kind or "a task of your own") for kind in (theirs.labels, labels)]
        raise PromotionRefused(
            f"the champion (version {champion.version}) has learnt another task: its {metric} is "
            f"of {kinds[0]}, this study's of {kinds[1]}. {_INSTEAD}"
        )


def require_no_worse(candidate: Evaluation, champion: Champion) -> str:
    """Pass a candidate that is at least as good as the champion; says how they compare.

    The candidate's metric decides, also where the champion was chosen by another.

    Raises:
        PromotionRefused: If the champion is better, with both values and the paired interval; or
            if the two cannot be compared.
    """
    theirs = _comparable_value(candidate, champion)
    ours = candidate.value
    is_worse = ours < theirs if candidate.is_maximized else ours > theirs
    comparison = (
        f"{candidate.metric} {value_text(ours)} against the champion's {value_text(theirs)} "
        f"(version {champion.version}) {_paired(candidate, champion.evaluation)}"
    ).rstrip()
    if is_worse:
        raise PromotionRefused(f"the champion is better: {comparison}")
    return comparison


def _comparable_value(candidate: Evaluation, champion: Champion) -> float:
    """The champion's value of the candidate's metric.

    Raises:
        PromotionRefused: If it has none, or if the candidate's own is not a number.
    """
    require_comparable(candidate.metric, candidate.labels, champion)
    if math.isnan(candidate.value):
        raise PromotionRefused(
            f"{candidate.metric} is not defined on these {len(candidate.quality)} test examples "
            "(too few kinds of labels among them), so the candidate cannot be compared with the "
            f"champion (version {champion.version}). {_INSTEAD}"
        )
    return champion.evaluation.values[candidate.metric]


def _paired(ours: Evaluation, theirs: Evaluation) -> str:
    """How two models differ on the examples that both have answered."""
    ids = sorted(ours.quality.keys() & theirs.quality.keys())
    if not ids:
        return "on other test examples" if ours.quality else ""
    low, high = paired_interval([ours.quality[i] for i in ids], [theirs.quality[i] for i in ids])
    if ours.labels is LabelKind.NUMBER:
        low, high = -high, -low
    return (
        f"on the same {len(ids)} test examples; difference in {_quality_name(ours)} "
        f"between {_signed(low)} and {_signed(high)} (95 %)"
    )


def _quality_name(evaluation: Evaluation) -> str:
    labels = evaluation.labels
    return "quality" if labels is None else QUALITY_NAMES[labels]


def _signed(figure: float) -> str:
    text = value_text(figure + 0.0)  # a negative nothing becomes a plain one
    return text if text.startswith("-") else f"+{text}"
