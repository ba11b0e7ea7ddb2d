"""What is drawn of one trial's evaluation, whatever its task: curves, results, worst mistakes."""

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner.errors import RunnerError
from runner.experiment import CUSTOM, Direction, LabelKind
from runner.report.confusion import confused_classes, confusion_matrix
from runner.report.curves import NO_DIRECTIONS, learning_curves
from runner.report.drawing import drawing_style, save, whole_file
from runner.report.mistakes import Show, mistakes_of
from runner.report.per_label import per_label_bars
from runner.report.regression import predicted_against_actual
from runner.report.worst_images import worst_images
from runner.report.worst_texts import worst_texts

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from PIL.Image import Image

    from runner.data import Text

Evaluation = Mapping[str, Any]
"""As the task writes it: kind, metrics, worst, history; classes, confusion or most_confused,
per_class, points."""

logger = logging.getLogger(__name__)


def draw_pictures(
    evaluation: Evaluation,
    folder: Path,
    *,
    show: Show | None = None,
    title: str = "",
    directions: Mapping[str, Direction] = NO_DIRECTIONS,
) -> list[Path]:
    """Files of everything the evaluation has.

    Always `curves`; `confusion` of classes, `predicted` of numbers, `labels` where an example has
    several, `entities` of tags; `worst`: a picture of images, a page (`worst.html`) of texts.
    Pictures are PNG, or SVG where no installed font has the characters of a name.

    Args:
        evaluation: What the trial reported; a missing or empty part is left out.
        folder: Where the files go; created. Each file is complete or absent.
        show: Gives the picture or the text of an example id, for the worst mistakes; None leaves
            them out, and so do data that cannot be opened any more, with a warning.
        title: For example `resnet_cats, trial 7`; above every picture.
        directions: Which way each metric is better; the best epoch is marked of these alone.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with drawing_style():
        figures = _figures(evaluation, directions, title)
        written = [save(figure, folder / name) for name, figure in figures]
        if show is not None and evaluation.get("worst"):
            try:
                written.append(_draw_worst(evaluation, folder / "worst", show, title))
            except RunnerError as error:
                logger.warning("the worst mistakes of %s are not drawn: %s", title, error)
    return written


def _figures(
    evaluation: Evaluation, directions: Mapping[str, Direction], title: str
) -> "Iterator[tuple[str, Figure]]":
    if evaluation.get("history"):
        unit = "step" if evaluation.get("task") == CUSTOM else "epoch"
        yield (
            "curves",
            learning_curves(evaluation["history"], directions=directions, unit=unit, title=title),
        )
    if evaluation.get("confusion"):
        yield (
            "confusion",
            confusion_matrix(evaluation["confusion"], evaluation["classes"], title=title),
        )
    if evaluation.get("most_confused"):
        yield (
            "confusion",
            confused_classes(evaluation["most_confused"], evaluation["per_class"], title=title),
        )
    if evaluation.get("points"):
        metrics = evaluation.get("metrics", {})
        yield (
            "predicted",
            predicted_against_actual(evaluation["points"], metrics=metrics, title=title),
        )
    if evaluation.get("per_class") and kind_of(evaluation) is LabelKind.CLASSES:
        yield "labels", per_label_bars(evaluation["per_class"], title=title)
    if evaluation.get("per_class") and kind_of(evaluation) is LabelKind.TAGS:
        words = {"what": "entity type", "counted": "entities"}
        yield "entities", per_label_bars(evaluation["per_class"], title=title, **words)


def kind_of(evaluation: Evaluation) -> LabelKind:
    """How the evaluated examples are labelled; evaluations of before there were kinds: a class."""
    return LabelKind(evaluation.get("kind", LabelKind.CLASS))


def _draw_worst(evaluation: Evaluation, path: Path, show: Show, title: str) -> Path:
    kind = kind_of(evaluation)
    mistakes = mistakes_of(evaluation["worst"], kind, classes=evaluation.get("classes", ()))
    known = {mistake.id: show(mistake.id) for mistake in mistakes}
    texts: dict[str, Text] = {
        name: shown for name, shown in known.items() if isinstance(shown, str | tuple)
    }
    if texts:
        page = path.with_name("worst.html")
        with whole_file(page) as file:
            html = worst_texts(mistakes, kind, text=texts.__getitem__, title=title)
            file.write_text(html, encoding="utf-8")
        return page
    images: dict[str, Image] = {
        name: shown for name, shown in known.items() if not isinstance(shown, str | tuple)
    }
    return save(worst_images(mistakes, kind, image=images.__getitem__, title=title), path)
