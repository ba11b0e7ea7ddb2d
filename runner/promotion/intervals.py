"""Intervals: how far a figure measured on a test split may be from the truth."""

from collections.abc import Iterator, Sequence

import numpy as np

Z_95 = 1.959963984540054
RESAMPLES = 10_000
# At 100,000 examples this leaves 2,000 resamples, enough for the 2.5 % points, in some seconds.
_MAX_DRAWS = 200_000_000
_MIN_RESAMPLES = 1_000
_DRAWS_AT_ONCE = 5_000_000
# Up to here, drawing how often each value occurs is quicker than drawing the examples.
_FEW_VALUES = 64


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


def mean_interval(values: Sequence[float]) -> tuple[float, float]:
    """95 % interval of a mean over examples.

    Args:
        values: One an example, finite; at least one.
    Source: percentile bootstrap (Efron 1979), 10,000 resamples (fewer of more than 20,000
        examples, never under 1,000), fixed seed.
    """
    found = np.asarray(values, dtype=np.float64)
    resamples = max(_MIN_RESAMPLES, min(RESAMPLES, _MAX_DRAWS // len(found)))
    means = np.concatenate(list(_resampled_means(found, resamples)))
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


def paired_interval(ours: Sequence[float], theirs: Sequence[float]) -> tuple[float, float]:
    """95 % interval of the mean difference between two models on the same examples.

    Args:
        ours: A figure an example, shape [N].
        theirs: The other model's, on the same examples in the same order.
    """
    difference = np.asarray(ours, dtype=np.float64) - np.asarray(theirs, dtype=np.float64)
    return mean_interval(difference.tolist())


def _resampled_means(values: np.ndarray, resamples: int) -> Iterator[np.ndarray]:
    """Means of resamples of values [N], some at a time so that memory stays small."""
    generator = np.random.default_rng(0)
    count = len(values)
    different, times = np.unique(values, return_counts=True)
    is_few = len(different) <= _FEW_VALUES
    at_once = max(1, _DRAWS_AT_ONCE // (len(different) if is_few else count))
    for start in range(0, resamples, at_once):
        size = min(at_once, resamples - start)
        if is_few:
            drawn = generator.multinomial(count, times / count, size=size)
            yield drawn @ different / count
        else:
            yield values[generator.integers(0, count, size=(size, count))].mean(axis=1)
