"""The gate: whether a candidate may take the champion's place."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from runner.errors import PromotionRefused

RESAMPLES = 10_000
Z_95 = 1.959963984540054


@dataclass(frozen=True)
class Evaluation:
    """A model's results on one test split.

    Attributes:
        split: Fingerprint of the split.
        metric: Name of the metric that decides, `values` holding all of them by name.
        values: Fractions (or the loss).
        is_maximized: Whether a larger value of the metric is better.
        correct: Whether each example's label was predicted, by example id.
    """

    split: str
    metric: str
    values: Mapping[str, float]
    is_maximized: bool
    correct: Mapping[str, bool]

    @property
    def value(self) -> float:
        """The deciding metric's value."""
        return self.values[self.metric]


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


def wilson_interval(successes: int, count: int) -> tuple[float, float]:
    """95 % interval of a proportion.

    Args:
        successes: How many, in [0, count].
        count: Of how many; at least 1.
    Returns:
        Lower and upper bound, fractions in [0, 1].
    Source: Wilson 1927.
    """
    share = successes / count
    centre = (share + Z_95**2 / (2 * count)) / (1 + Z_95**2 / count)
    half = (
        Z_95
        * np.sqrt(share * (1 - share) / count + Z_95**2 / (4 * count**2))
        / (1 + Z_95**2 / count)
    )
    return float(max(0.0, centre - half)), float(min(1.0, centre + half))


def paired_interval(ours: Sequence[bool], theirs: Sequence[bool]) -> tuple[float, float]:
    """95 % bootstrap interval of the difference in accuracy on the same examples.

    Source: percentile bootstrap over examples (Efron 1979), 10,000 resamples, fixed seed.
    """
    difference = np.asarray(ours, dtype=float) - np.asarray(theirs, dtype=float)
    generator = np.random.default_rng(0)
    # Counting how often each of the three possible differences is drawn avoids a large matrix.
    counts = np.array([(difference == value).sum() for value in (-1.0, 0.0, 1.0)])
    drawn = generator.multinomial(len(difference), counts / len(difference), size=RESAMPLES)
    means = (drawn[:, 2] - drawn[:, 0]) / len(difference)
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


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
        "examples in training, so the two cannot be compared fairly. To replace it without a "
        "comparison, add --without-comparison"
    )


def require_no_worse(candidate: Evaluation, champion: Champion) -> str:
    """Pass a candidate that is at least as good as the champion; says how they compare.

    Raises:
        PromotionRefused: If the champion is better; with both values and the paired interval.
    """
    ours, theirs = candidate, champion.evaluation
    is_worse = ours.value < theirs.value if ours.is_maximized else ours.value > theirs.value
    ids = sorted(ours.correct.keys() & theirs.correct.keys())
    low, high = paired_interval([ours.correct[i] for i in ids], [theirs.correct[i] for i in ids])
    comparison = (
        f"{ours.metric} {ours.value:.4f} against the champion's {theirs.value:.4f} (version "
        f"{champion.version}) on the same {len(ids)} test examples; difference in accuracy "
        f"between {low:+.4f} and {high:+.4f} (95 %)"
    )
    if is_worse:
        raise PromotionRefused(f"the champion is better: {comparison}")
    return comparison
