"""Learning curves: a panel a metric, the best epoch marked where "best" is known."""

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from runner.experiment import Direction
from runner.report.drawing import ACCENT, GOOD, INK, PALE, SOFT, empty_figure, plain_axes
from runner.report.leaderboard import value_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Points = list[tuple[float, float]]
NO_DIRECTIONS: Mapping[str, Direction] = MappingProxyType({})
_COLOURS = {"train": PALE, "validation": ACCENT}
# An objective of one's own may report anything; MLflow shows the rest.
_MAX_PANELS = 24
_MAX_MARKERS = 40


def learning_curves(
    history: Sequence[Mapping[str, Any]],
    *,
    directions: Mapping[str, Direction] = NO_DIRECTIONS,
    unit: str = "epoch",
    title: str = "",
) -> "Figure":
    """Train and validation curves, a panel a metric, the best validation epoch marked.

    Args:
        history: One mapping an epoch: `epoch` (from 1) and `<split>/<metric>` values.
        directions: Which way each metric is better; one that is not in here gets no mark.
        unit: What an `epoch` is called under the panels.
        title: Above the picture.
    """
    metrics = _metrics(history)
    columns = 2 if len(metrics) == 4 else min(len(metrics), 3) or 1
    lines = math.ceil(len(metrics) / columns) or 1
    figure = empty_figure(1.2 + 3.8 * columns, 0.5 + 3.0 * lines, title)
    for index, metric in enumerate(metrics):
        axes = figure.add_subplot(lines, columns, index + 1)
        axes.set_xlabel(unit, fontsize=9, color=SOFT)
        _draw_panel(axes, history, metric, directions.get(metric))
    return figure


def _metrics(history: Sequence[Mapping[str, Any]]) -> list[str]:
    """Metrics that have a value; the loss first, as the one that both splits have."""
    keys = dict.fromkeys(key for row in history for key in row)
    splits = {key: key.partition("/")[0] for key in keys if _finite_points(history, key)}
    names = {key.partition("/")[2] for key, split in splits.items() if split in _COLOURS}
    return sorted(names, key=lambda name: (name != "loss", name))[:_MAX_PANELS]


def _draw_panel(
    axes: "Axes",
    history: Sequence[Mapping[str, Any]],
    metric: str,
    direction: Direction | None,
) -> None:
    from matplotlib.ticker import MaxNLocator

    plain_axes(axes)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    series = _series(history, metric)
    for split, points in series.items():
        epochs, values = zip(*points, strict=True)
        marker = "o" if len(points) <= _MAX_MARKERS else None
        colour = _COLOURS[split]
        axes.plot(epochs, values, color=colour, label=split, marker=marker, markersize=4, lw=1.8)
        if split == "validation" and direction is not None:
            _mark_best(axes, points, direction)
    only = f" ({next(iter(series))})" if len(series) == 1 else ""
    axes.set_title(f"{metric}{only}", fontsize=11, color=INK, loc="left", fontweight="bold")
    if len(series) > 1:
        axes.legend(frameon=False, fontsize=9, labelcolor=INK)


def _series(history: Sequence[Mapping[str, Any]], metric: str) -> dict[str, Points]:
    """A metric's points by split."""
    found = {split: _finite_points(history, f"{split}/{metric}") for split in _COLOURS}
    return {split: points for split, points in found.items() if points}


def _finite_points(history: Sequence[Mapping[str, Any]], key: str) -> Points:
    return [(row["epoch"], row[key]) for row in history if _is_finite(row.get(key))]


def _is_finite(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _mark_best(axes: "Axes", points: Points, direction: Direction) -> None:
    choose = max if direction == "maximize" else min
    epoch, value = choose(points, key=lambda point: point[1])
    axes.plot([epoch], [value], "o", color=GOOD, markersize=7, zorder=5)
    text = value_text(value)
    axes.annotate(
        text.rstrip("0").rstrip(".") if "." in text and "e" not in text else text,
        (epoch, value),
        xytext=(0, 8),
        textcoords="offset points",
        ha="center",
        fontsize=9,
        color=GOOD,
    )
    axes.margins(x=0.08, y=0.16)
