"""Pictures of one trial, drawn from its evaluation: curves, confusion matrix, worst mistakes."""

import math
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner.report.confusion import confusion_matrix
from runner.report.drawing import ACCENT, INK, SOFT, empty_figure, short_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from PIL.Image import Image

Evaluation = Mapping[str, Any]
"""As the task writes it: classes, confusion, per_class, history, worst."""

DPI = 150
_GRID = "#e3e6eb"
_TRAIN, _BEST = "#97a3b6", "#1a7f4b"
_MAX_WORST = 12


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


def _plain(axes: "Axes") -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(SOFT)
    axes.tick_params(colors=SOFT, labelsize=9)
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
    figure = empty_figure(1.2 + 3.8 * columns, 0.5 + 3.0 * lines, title)
    for index, metric in enumerate(metrics):
        _curve_panel(figure.add_subplot(lines, columns, index + 1), history, metric)
    return figure


def _curve_panel(axes: "Axes", history: Sequence[Mapping[str, float]], metric: str) -> None:
    from matplotlib.ticker import MaxNLocator

    _plain(axes)
    axes.set_xlabel("epoch", fontsize=9, color=SOFT)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    drawn = []
    for split, colour in (("train", _TRAIN), ("validation", ACCENT)):
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
    axes.set_title(f"{metric}{only}", fontsize=11, color=INK, loc="left", fontweight="bold")
    if len(drawn) > 1:
        axes.legend(frameon=False, fontsize=9, labelcolor=INK)


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
    figure = empty_figure(max(2.4 * columns, 6.0), 0.5 + 2.9 * lines, heading)
    for index, mistake in enumerate(shown):
        axes = figure.add_subplot(lines, columns, index + 1)
        axes.imshow(_square(image(mistake["id"])))
        axes.set_axis_off()
        true, predicted = (_class_name(mistake[key], classes) for key in ("true", "predicted"))
        axes.set_title(
            f"{predicted}  {mistake['probability']:.0%}\nlabelled {true}",
            fontsize=9,
            color=INK,
            loc="left",
        )
    return figure


def _square(picture: "Image", side: int = 256) -> "Image":
    from PIL import ImageOps

    return ImageOps.pad(picture.convert("RGB"), (side, side), color=(238, 240, 243))


def _class_name(value: int | str, classes: Sequence[str]) -> str:
    return short_name(classes[value] if isinstance(value, int) else value)
