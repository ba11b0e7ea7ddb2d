"""The worst mistakes of an image task as one picture: each image with what was said of it."""

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from runner.experiment import LabelKind
from runner.report.drawing import INK, empty_figure, short_name
from runner.report.mistakes import Mistake

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from PIL.Image import Image

_MAX_SHOWN = 12
_LINE_CHARACTERS = 36
_HEADINGS = {
    LabelKind.CLASS: "prediction with its probability, and the label",
    LabelKind.CLASSES: "labels that were missed, and labels that do not hold",
    LabelKind.NUMBER: "prediction and how far it is off, and the actual value",
}


def worst_images(
    mistakes: Sequence[Mistake],
    kind: LabelKind,
    *,
    image: "Callable[[str], Image]",
    title: str = "",
) -> "Figure":
    """Up to twelve examples the model was most wrong about.

    Args:
        mistakes: The worst first.
        kind: How the examples are labelled.
        image: Gives the picture of an id.
        title: Above the picture.
    """
    shown = mistakes[:_MAX_SHOWN]
    columns = min(len(shown), 4)
    lines = math.ceil(len(shown) / columns)
    heading = f"{title}: {_HEADINGS[kind]}" if title else _HEADINGS[kind]
    figure = empty_figure(max(2.4 * columns, 6.0), 0.5 + 2.9 * lines, heading)
    for index, mistake in enumerate(shown):
        axes = figure.add_subplot(lines, columns, index + 1)
        axes.imshow(_square(image(mistake.id)))
        axes.set_axis_off()
        axes.set_title(caption(mistake, kind), fontsize=9, color=INK, loc="left")
    return figure


def caption(mistake: Mistake, kind: LabelKind) -> str:
    """One or two lines on a mistake."""
    if kind is LabelKind.CLASSES:
        parts = {"missed": mistake.missed, "wrong": mistake.added}
        lines = [f"{word}: {', '.join(names)}" for word, names in parts.items() if names]
        return "\n".join(short_name(line, _LINE_CHARACTERS) for line in lines)
    (predicted,), (true,) = mistake.predicted, mistake.true
    word = "labelled" if kind is LabelKind.CLASS else "actual"
    return f"{short_name(predicted)}  {mistake.measure}".rstrip() + f"\n{word} {short_name(true)}"


def _square(picture: "Image", side: int = 256) -> "Image":
    from PIL import ImageOps

    return ImageOps.pad(picture.convert("RGB"), (side, side), color=(238, 240, 243))
