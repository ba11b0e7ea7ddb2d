"""Results of each label, or of each type of entity: bars of F1 with what it is made of."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from runner.report.drawing import (
    ACCENT,
    GOOD,
    INK,
    PALE,
    SOFT,
    WARN,
    empty_figure,
    plain_axes,
    short_name,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Result = Mapping[str, Any]

_MAX_LABELS = 40
# Metric, its mark over the bar, the mark's colour, how large.
_MARKS = (
    ("precision", ">", GOOD, 36),
    ("recall", "<", WARN, 36),
    ("auroc", "D", INK, 24),
)


def per_label_bars(
    per_class: Sequence[Result],
    *,
    what: str = "label",
    counted: str = "examples",
    title: str = "",
) -> "Figure":
    """A bar of F1 a label, the best first; precision, recall and AUROC are marks on its line.

    More than 40 labels: the 40 with the lowest F1. Labels without an example come last, pale.

    Args:
        per_class: Rows with `label`, `precision`, `recall`, `f1`, `support` and maybe `auroc`,
            which is None or not finite where it is not defined.
        what: What a row is: "label" or "entity type".
        counted: What its support counts.
        title: Above the picture.
    """
    ordered = sorted(per_class, key=lambda row: (row["support"] == 0, -row["f1"], row["label"]))
    shown = ordered[-_MAX_LABELS:]
    figure = empty_figure(8.4, 1.5 + 0.3 * max(len(shown), 2), title)
    axes = figure.add_subplot()
    heading = f"F1 of each {what}"
    if len(shown) < len(ordered):
        heading = f"F1 of the {len(shown)} lowest of {len(ordered)} {what}s"
    axes.set_title(heading, fontsize=11, color=INK, loc="left", fontweight="bold", pad=26)
    _draw_bars(axes, shown)
    _draw_marks(axes, shown)
    _write_support(axes, shown, counted)
    handles, names = axes.get_legend_handles_labels()
    # The bars come last by themselves.
    axes.legend(
        [*handles[-1:], *handles[:-1]],
        [*names[-1:], *names[:-1]],
        loc="lower left",
        bbox_to_anchor=(-0.01, 1.0),
        ncols=4,
        frameon=False,
        fontsize=9,
        labelcolor=INK,
        handletextpad=0.4,
        columnspacing=1.4,
        borderpad=0.2,
    )
    return figure


def _draw_bars(axes: "Axes", rows: Sequence[Result]) -> None:
    plain_axes(axes, grid="x")
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0, colors=INK)
    places = range(len(rows))
    colours = [ACCENT if row["support"] else PALE for row in rows]
    axes.barh(
        places,
        [row["f1"] for row in rows],
        height=0.62,
        color=colours,
        alpha=0.55,
        label="F1",
    )
    axes.set_yticks(places, [short_name(str(row["label"]), 30) for row in rows], fontsize=9)
    axes.set(xlim=(0, 1), ylim=(len(rows) - 0.4, -0.6))


def _draw_marks(axes: "Axes", rows: Sequence[Result]) -> None:
    for metric, mark, colour, size in _MARKS:
        found = [
            (row[metric], place)
            for place, row in enumerate(rows)
            if row["support"] and _is_defined(row.get(metric))
        ]
        if found:
            values, places = zip(*found, strict=True)
            name = "AUROC" if metric == "auroc" else metric
            axes.scatter(
                values, places, s=size, marker=mark, color=colour, label=name, zorder=3,
                clip_on=False, linewidths=0,
            )  # fmt: skip


def _is_defined(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _write_support(axes: "Axes", rows: Sequence[Result], counted: str) -> None:
    """How much each row rests on, in a column at the right."""
    across = axes.get_yaxis_transform()
    style: dict[str, Any] = {"transform": across, "ha": "right", "fontsize": 9, "color": SOFT}
    axes.text(1.1, -0.75, counted, va="bottom", **style)
    for place, row in enumerate(rows):
        axes.text(1.1, place, f"{row['support']:,}", va="center", **style)
