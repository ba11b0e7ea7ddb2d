"""Predicted against actual, for numbers: a scatter with its diagonal, the residuals beside it."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from runner.report.drawing import ACCENT, BAD, INK, SOFT, empty_figure, plain_axes
from runner.report.leaderboard import value_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MAX_BINS = 40
# Quartile distances beyond the quartiles. Source: Tukey's outer fences.
_FAR = 3.0


def predicted_against_actual(
    points: Sequence[Sequence[float]],
    *,
    metrics: Mapping[str, float | None] | None = None,
    title: str = "",
) -> "Figure":
    """A scatter of predictions over labels, and how the residuals are spread.

    A prediction far from all others and from the labels is drawn at the edge as a red triangle,
    so that it does not press the others into a line.

    Args:
        points: Pairs of actual and predicted value; those that are not finite are left out.
        metrics: Of the whole split, for the heading.
        title: Above the picture.
    """
    import numpy as np

    pairs = np.asarray(points, dtype=np.float64).reshape(-1, 2)
    pairs = pairs[np.isfinite(pairs).all(axis=1)]
    figure = empty_figure(10.6, 5.2, title)
    if not len(pairs):
        figure.text(0.5, 0.5, "no prediction is a finite number", ha="center", color=BAD)
        return figure
    grid = figure.add_gridspec(1, 2, width_ratios=[1.12, 1])
    _draw_scatter(figure.add_subplot(grid[0]), pairs, metrics or {})
    _draw_residuals(figure.add_subplot(grid[1]), pairs[:, 1] - pairs[:, 0])
    return figure


def _draw_scatter(axes: "Axes", pairs: Any, metrics: Mapping[str, float | None]) -> None:
    import numpy as np

    plain_axes(axes)
    actual, predicted = pairs.T
    low, high = _fences(predicted)
    low, high = min(low, actual.min()), max(high, actual.max())
    is_far = (predicted < low) | (predicted > high)
    shown = np.clip(predicted, low, high)
    margin = 0.04 * (high - low) or 0.05 * abs(high) or 0.5
    ends = (low - margin, high + margin)
    axes.plot(ends, ends, color=SOFT, linewidth=1.2, linestyle=(0, (4, 3)), zorder=1)
    size, alpha = (22, 0.65) if len(pairs) <= 300 else (9, 0.35)
    near = ~is_far
    axes.scatter(actual[near], shown[near], s=size, color=ACCENT, alpha=alpha, linewidths=0)
    axes.scatter(actual[is_far], shown[is_far], s=30, color=BAD, marker="^")
    axes.set(xlim=ends, ylim=ends, aspect="equal")
    axes.set_xlabel("actual", fontsize=10, color=INK)
    axes.set_ylabel("predicted", fontsize=10, color=INK)
    _head(axes, _metric_line(metrics) or "predicted against actual", _count_line(is_far))


def _metric_line(metrics: Mapping[str, float | None]) -> str:
    # The loss is in other units than the picture; one that is not defined is None.
    shown = {
        name: value for name, value in metrics.items() if name != "loss" and value is not None
    }
    return "   ".join(f"{name} {value_text(value)}" for name, value in shown.items())


def _count_line(is_far: Any) -> str:
    count, far = len(is_far), int(is_far.sum())
    line = f"{count:,} example{'' if count == 1 else 's'}"
    return f"{line}; {far:,} beyond the edge" if far else line


def _draw_residuals(axes: "Axes", residuals: Any) -> None:
    import numpy as np

    plain_axes(axes, grid="y")
    quarter, middle, three_quarters = np.quantile(residuals, [0.25, 0.5, 0.75])
    low, high = _fences(residuals)
    inside = np.clip(residuals, low, high)
    bins = min(_MAX_BINS, max(8, round(2 * len(residuals) ** 0.5)))
    axes.hist(inside, bins=bins, color=ACCENT, alpha=0.8, edgecolor="white", linewidth=0.6)
    axes.axvline(0.0, color=INK, linewidth=1.2)
    axes.set_xlabel("predicted - actual", fontsize=10, color=INK)
    axes.set_ylabel("examples", fontsize=10, color=INK)
    beyond = int(((residuals < low) | (residuals > high)).sum())
    note = f"half within {value_text(float(quarter))} and {value_text(float(three_quarters))}"
    if beyond:
        note += f"; {beyond:,} beyond the edge"
    _head(axes, f"residuals, median {value_text(float(middle))}", note)


def _fences(values: Any) -> tuple[float, float]:
    """The range of some values, far-off ones left out: one would leave a single bar."""
    import numpy as np

    quarter, three_quarters = np.quantile(values, [0.25, 0.75])
    reach = _FAR * (three_quarters - quarter) or float(np.ptp(values))
    return max(values.min(), quarter - reach), min(values.max(), three_quarters + reach)


def _head(axes: "Axes", title: str, note: str) -> None:
    """A title, and a softer line under it."""
    axes.set_title(f"{title}\n", fontsize=11, color=INK, loc="left", fontweight="bold")
    axes.annotate(
        note,
        (0, 1),
        xytext=(0, 6),
        xycoords="axes fraction",
        textcoords="offset points",
        fontsize=9,
        color=SOFT,
    )
