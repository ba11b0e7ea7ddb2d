"""Pictures of one trial, drawn from its evaluation: curves, confusion matrix, worst mistakes."""

import math
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from PIL.Image import Image

Evaluation = Mapping[str, Any]
"""As the task writes it: classes, confusion, per_class, history, worst."""

DPI = 150
_INK, _SOFT, _GRID = "#1b2230", "#606b7d", "#e3e6eb"
_TRAIN, _VALIDATION, _BEST = "#97a3b6", "#2f6feb", "#1a7f4b"
# Above this many classes numbers and names no longer fit: colours and a list of pairs instead.
_MAX_NUMBERED = 30
_MAX_NAMED = 60
_WORST_PAIRS = 12
_MAX_WORST = 12
_NAME_CHARACTERS = 22


def draw_pictures(
    evaluation: Evaluation,
    folder: Path,
    *,
    image: Callable[[str], "Image"] | None = None,
    title: str = "",
) -> list[Path]:
    """PNG files of everything the evaluation has: curves.png, confusion.png, worst.png.

    Args:
        evaluation: What the trial reported; a missing or empty part is left out.
        folder: Where the files go; created. Each file is complete or absent.
        image: Gives the picture of an example id, for the worst mistakes; None leaves them out.
        title: For example `resnet_cats, trial 7`; above every picture.
    """
    folder.mkdir(parents=True, exist_ok=True)
    figures: dict[str, Figure] = {}
    if evaluation.get("history"):
        figures["curves.png"] = learning_curves(evaluation["history"], title=title)
    if evaluation.get("confusion"):
        figures["confusion.png"] = confusion_matrix(
            evaluation["confusion"], evaluation["classes"], title=title
        )
    if image is not None and evaluation.get("worst"):
        figures["worst.png"] = worst_mistakes(
            evaluation["worst"], evaluation["classes"], image=image, title=title
        )
    return [_save(figure, folder / name) for name, figure in figures.items()]


def _save(figure: "Figure", path: Path) -> Path:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    figure.savefig(temporary, format="png", dpi=DPI, facecolor="white")
    temporary.replace(path)
    return path


def _figure(width: float, height: float, title: str) -> "Figure":
    """An empty figure, in inches; the Figure API alone, so no global state and no display."""
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    layout = ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.1)
    figure = Figure(figsize=(width, height), layout=layout)
    if title:
        figure.suptitle(title, x=0.01, ha="left", fontsize=10, color=_SOFT)
    return figure


def _plain(axes: "Axes") -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(_SOFT)
    axes.tick_params(colors=_SOFT, labelsize=9)
    axes.grid(color=_GRID, linewidth=0.8)
    axes.set_axisbelow(True)


def learning_curves(history: Sequence[Mapping[str, float]], *, title: str = "") -> "Figure":
    """Train and validation curves, a panel a metric, the best validation epoch marked.

    Args:
        history: One mapping an epoch: `epoch` (from 1) and `<split>/<metric>` values.
        title: Above the picture.
    """
    names = {key.partition("/")[2] for row in history for key in row if "/" in key}
    # The loss first: it is the one that both splits have.
    metrics = sorted(names, key=lambda name: (name != "loss", name))
    columns = 2 if len(metrics) == 4 else min(len(metrics), 3) or 1
    lines = math.ceil(len(metrics) / columns) or 1
    figure = _figure(1.2 + 3.8 * columns, 0.5 + 3.0 * lines, title)
    for index, metric in enumerate(metrics):
        _curve_panel(figure.add_subplot(lines, columns, index + 1), history, metric)
    return figure


def _curve_panel(axes: "Axes", history: Sequence[Mapping[str, float]], metric: str) -> None:
    from matplotlib.ticker import MaxNLocator

    _plain(axes)
    axes.set_xlabel("epoch", fontsize=9, color=_SOFT)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    drawn = []
    for split, colour in (("train", _TRAIN), ("validation", _VALIDATION)):
        points = _finite_points(history, f"{split}/{metric}")
        if not points:
            continue
        drawn.append(split)
        epochs, values = zip(*points, strict=True)
        marker = "o" if len(points) <= 40 else None
        axes.plot(epochs, values, color=colour, label=split, marker=marker, markersize=4, lw=1.8)
        if split == "validation":
            _mark_best(axes, points, is_maximized="loss" not in metric)
    only = f" ({drawn[0]})" if len(drawn) == 1 else ""
    axes.set_title(f"{metric}{only}", fontsize=11, color=_INK, loc="left", fontweight="bold")
    if len(drawn) > 1:
        axes.legend(frameon=False, fontsize=9, labelcolor=_INK)


def _finite_points(history: Sequence[Mapping[str, float]], key: str) -> list[tuple[float, float]]:
    points = [(row["epoch"], row[key]) for row in history if key in row]
    return [(epoch, value) for epoch, value in points if math.isfinite(value)]


def _mark_best(axes: "Axes", points: Sequence[tuple[float, float]], *, is_maximized: bool) -> None:
    choose = max if is_maximized else min
    epoch, value = choose(points, key=lambda point: point[1])
    axes.plot([epoch], [value], "o", color=_BEST, markersize=7, zorder=5)
    axes.annotate(
        f"{value:.4g}",
        (epoch, value),
        xytext=(0, 8),
        textcoords="offset points",
        ha="center",
        fontsize=9,
        color=_BEST,
    )
    axes.margins(x=0.06, y=0.16)


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
    figure = _figure(side + (0.6 if is_numbered else 4.2), side, title)
    grid = figure.add_gridspec(
        1, 1 if is_numbered else 2, width_ratios=None if is_numbered else [3, 1]
    )
    axes = figure.add_subplot(grid[0])
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    _draw_matrix(figure, axes, shares)
    _name_axes(axes, classes)
    right = int(np.trace(counts))
    axes.set_title(
        f"{right:,} of {int(counts.sum()):,} right", fontsize=11, color=_INK, loc="left"
    )
    if is_numbered:
        _number_cells(axes, counts, shares)
    else:
        _list_pairs(figure.add_subplot(grid[1]), counts, classes)
    return figure


def _draw_matrix(figure: "Figure", axes: "Axes", shares: Any) -> None:
    from matplotlib.colors import PowerNorm

    # A square root keeps one mistake in a hundred visible beside a full diagonal.
    drawn = axes.imshow(shares, cmap="Blues", norm=PowerNorm(0.5, vmin=0.0, vmax=1.0))
    bar = figure.colorbar(drawn, ax=axes, fraction=0.04, pad=0.02, ticks=[0, 0.05, 0.2, 0.5, 1])
    bar.set_label("share of the class", fontsize=9, color=_SOFT)
    bar.ax.tick_params(labelsize=8, colors=_SOFT)
    bar.outline.set_visible(False)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, colors=_SOFT)
    axes.set_xlabel("predicted", fontsize=10, color=_INK)
    axes.set_ylabel("labelled", fontsize=10, color=_INK)


def _name_axes(axes: "Axes", classes: Sequence[str]) -> None:
    size = len(classes)
    if size > _MAX_NAMED:
        axes.set_xlabel("predicted (number of the class)", fontsize=10, color=_INK)
        axes.set_ylabel("labelled (number of the class)", fontsize=10, color=_INK)
        return
    names = [_short(name) for name in classes]
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
            colour = "white" if shares[row, column] > 0.3 else _INK
            axes.text(
                column, row, f"{count}", ha="center", va="center", fontsize=font, color=colour
            )


def _list_pairs(axes: "Axes", counts: Any, classes: Sequence[str]) -> None:
    """The most frequent mistakes as text, beside a matrix too large for names."""
    import numpy as np

    axes.set_axis_off()
    wrong = counts.copy()
    np.fill_diagonal(wrong, 0)
    order = np.argsort(wrong, axis=None, kind="stable")[::-1][:_WORST_PAIRS]
    axes.text(0.1, 1, "most frequent mistakes", fontsize=10, color=_INK, va="top", weight="bold")
    for line, place in enumerate(order):
        row, column = divmod(int(place), len(classes))
        count = int(wrong[row, column])
        if not count:
            break
        text = f"{_short(classes[row])} as {_short(classes[column])}"
        top = 0.95 - 0.042 * line
        axes.text(0.1, top, f"{count}", fontsize=9, color=_VALIDATION, va="top")
        axes.text(0.2, top, text, fontsize=9, color=_INK, va="top")


def worst_mistakes(
    worst: Sequence[Mapping[str, Any]],
    classes: Sequence[str],
    *,
    image: Callable[[str], "Image"],
    title: str = "",
) -> "Figure":
    """Examples the model was surest about and wrong, with label, prediction and probability.

    Args:
        worst: `id`, `true` and `predicted` (indices or names), `probability` of the prediction.
        classes: Names.
        image: Gives the picture of an id.
        title: Above the picture.
    """
    shown = worst[:_MAX_WORST]
    columns = min(len(shown), 4)
    lines = math.ceil(len(shown) / columns)
    heading = "prediction with its probability, and the label"
    heading = f"{title}: {heading}" if title else heading
    figure = _figure(max(2.4 * columns, 6.0), 0.5 + 2.9 * lines, heading)
    for index, mistake in enumerate(shown):
        axes = figure.add_subplot(lines, columns, index + 1)
        axes.imshow(_square(image(mistake["id"])))
        axes.set_axis_off()
        true, predicted = (_class_name(mistake[key], classes) for key in ("true", "predicted"))
        axes.set_title(
            f"{predicted}  {mistake['probability']:.0%}\nlabelled {true}",
            fontsize=9,
            color=_INK,
            loc="left",
        )
    return figure


def _square(picture: "Image", side: int = 256) -> "Image":
    from PIL import ImageOps

    return ImageOps.pad(picture.convert("RGB"), (side, side), color=(238, 240, 243))


def _class_name(value: int | str, classes: Sequence[str]) -> str:
    return _short(classes[value] if isinstance(value, int) else value)


def _short(name: str) -> str:
    """A name that fits, cut in its middle: class names often differ at the end."""
    if len(name) <= _NAME_CHARACTERS:
        return name
    half = (_NAME_CHARACTERS - 1) // 2
    return f"{name[: _NAME_CHARACTERS - 1 - half]}…{name[-half:]}"
