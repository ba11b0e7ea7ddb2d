"""Which classes are taken for which, readable for two classes or ten thousand."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from runner.report.drawing import ACCENT, INK, SOFT, empty_figure, short_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Above this many classes numbers and names no longer fit: colours and a list of pairs instead.
_MAX_NUMBERED = 30
_MAX_NAMED = 60
_WORST_PAIRS = 12
_WORST_PAIRS_ALONE = 25  # where there is no matrix beside them


def confusion_matrix(
    confusion: Sequence[Sequence[int]], classes: Sequence[str], *, title: str = ""
) -> "Figure":
    """Rows are labels, columns are predictions, colour is the share of the row.

    Up to 30 classes each cell has its count; above, the most frequent mistakes are listed.

    Args:
        confusion: Counts, [C][C], row = label, column = prediction.
        classes: C names in the same order.
        title: Above the picture.
    """
    import numpy as np

    counts = np.asarray(confusion, dtype=np.int64)
    size = len(classes)
    is_numbered = size <= _MAX_NUMBERED
    side = 2.4 + min(0.42 * size, 11.0) if is_numbered else 9.0
    figure = empty_figure(side + (0.6 if is_numbered else 4.2), side, title)
    grid = figure.add_gridspec(
        1, 1 if is_numbered else 2, width_ratios=None if is_numbered else [3, 1]
    )
    axes = figure.add_subplot(grid[0])
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    _draw_matrix(figure, axes, shares)
    _name_axes(axes, classes)
    right = int(np.trace(counts))
    axes.set_title(f"{right:,} of {int(counts.sum()):,} right", fontsize=11, color=INK, loc="left")
    if is_numbered:
        _number_cells(axes, counts, shares)
    else:
        _list_pairs(figure.add_subplot(grid[1]), list(_worst_pairs(counts, classes)), step=0.042)
    return figure


def confused_classes(
    pairs: Sequence[Mapping[str, Any]], results: Sequence[Mapping[str, Any]], *, title: str = ""
) -> "Figure":
    """The most frequent mistakes as a list, where there are too many classes for a matrix.

    Args:
        pairs: true, predicted and count of each pair of classes, the most frequent first.
        results: Recall and support of each class.
        title: Above the picture.
    """
    figure = empty_figure(7.5, 6.5, title)
    axes = figure.add_subplot()
    right = round(sum(row["recall"] * row["support"] for row in results))
    total = sum(row["support"] for row in results)
    head = f"{right:,} of {total:,} right, {len(results):,} classes"
    axes.set_title(head, fontsize=11, color=INK, loc="left")
    listed = [(pair["count"], pair["true"], pair["predicted"]) for pair in pairs]
    _list_pairs(axes, listed[:_WORST_PAIRS_ALONE], step=0.036)
    return figure


def _draw_matrix(figure: "Figure", axes: "Axes", shares: Any) -> None:
    from matplotlib.colors import PowerNorm

    # A square root keeps one mistake in a hundred visible beside a full diagonal.
    drawn = axes.imshow(shares, cmap="Blues", norm=PowerNorm(0.5, vmin=0.0, vmax=1.0))
    bar = figure.colorbar(drawn, ax=axes, fraction=0.04, pad=0.02, ticks=[0, 0.05, 0.2, 0.5, 1])
    bar.set_label("share of the class", fontsize=9, color=SOFT)
    bar.ax.tick_params(labelsize=8, colors=SOFT)
    bar.outline.set_visible(False)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, colors=SOFT)
    axes.set_xlabel("predicted", fontsize=10, color=INK)
    axes.set_ylabel("labelled", fontsize=10, color=INK)


def _name_axes(axes: "Axes", classes: Sequence[str]) -> None:
    size = len(classes)
    if size > _MAX_NAMED:
        axes.set_xlabel("predicted (number of the class)", fontsize=10, color=INK)
        axes.set_ylabel("labelled (number of the class)", fontsize=10, color=INK)
        return
    names = [short_name(name) for name in classes]
    font = 9 if size <= 20 else 7 if size <= 40 else 6
    is_long = max(map(len, names)) * size > 90
    axes.set_yticks(range(size), names, fontsize=font)
    axes.set_xticks(
        range(size),
        names,
        fontsize=font,
        rotation=90 if is_long and size > 14 else 40 if is_long else 0,
        ha="right" if is_long and size <= 14 else "center",
        rotation_mode="anchor" if is_long and size <= 14 else "default",
    )


def _number_cells(axes: "Axes", counts: Any, shares: Any) -> None:
    size = len(counts)
    font = 9 if size <= 14 else 7 if size <= 22 else 5.5
    for row in range(size):
        for column in range(size):
            count = int(counts[row, column])
            if not count:
                continue
            colour = "white" if shares[row, column] > 0.3 else INK
            axes.text(
                column, row, f"{count}", ha="center", va="center", fontsize=font, color=colour
            )


def _worst_pairs(counts: Any, classes: Sequence[str]) -> Iterator[tuple[int, str, str]]:
    """The most frequent mistakes of a matrix: how often, label, prediction."""
    import numpy as np

    wrong = counts.copy()
    np.fill_diagonal(wrong, 0)
    order = np.argsort(wrong, axis=None, kind="stable")[::-1][:_WORST_PAIRS]
    for place in order:
        row, column = divmod(int(place), len(classes))
        if count := int(wrong[row, column]):
            yield count, classes[row], classes[column]


def _list_pairs(axes: "Axes", pairs: Sequence[tuple[int, str, str]], *, step: float) -> None:
    """The most frequent mistakes as text, each `step` of the axes' height below the one before."""
    axes.set_axis_off()
    axes.text(0.1, 1, "most frequent mistakes", fontsize=10, color=INK, va="top", weight="bold")
    for line, (count, label, prediction) in enumerate(pairs):
        text = f"{short_name(label)} as {short_name(prediction)}"
        top = 0.95 - step * line
        axes.text(0.1, top, f"{count}", fontsize=9, color=ACCENT, va="top")
        axes.text(0.2, top, text, fontsize=9, color=INK, va="top")
