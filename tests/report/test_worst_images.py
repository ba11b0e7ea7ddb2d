"""The picture of the worst mistakes of images."""

import pytest
from PIL import Image

from runner.experiment import LabelKind
from runner.report.mistakes import Mistake
from runner.report.worst_images import worst_images


def grey(example: str) -> Image.Image:
    return Image.new("L", (40, 20))


def test_worst_images_show_prediction_probability_and_label():
    asked = []

    def image(example: str) -> Image.Image:
        asked.append(example)
        return grey(example)

    mistakes = [
        Mistake("a.png", ("cat",), ("dog",), "99%"),
        Mistake("b.png", ("dog",), ("cat",), ""),
    ]

    figure = worst_images(mistakes, LabelKind.CLASS, image=image)

    assert asked == ["a.png", "b.png"]
    assert [axes.get_title(loc="left") for axes in figure.axes] == [
        "dog  99%\nlabelled cat",
        "cat\nlabelled dog",
    ]


@pytest.mark.parametrize(
    ("kind", "mistake", "caption"),
    [
        (
            LabelKind.NUMBER,
            Mistake("a", ("1500.0",), ("1234.5",), "off by -265.50"),
            "1234.5  off by -265.50\nactual 1500.0",
        ),
        (
            LabelKind.CLASSES,
            Mistake("a", ("sea", "boat"), ("sea", "dog"), ""),
            "missed: boat\nwrong: dog",
        ),
        (LabelKind.CLASSES, Mistake("a", (), ("dog", "cat"), ""), "wrong: dog, cat"),
    ],
)
def test_worst_images_caption_says_what_is_wrong(kind, mistake, caption):
    (axes,) = worst_images([mistake], kind, image=grey).axes

    assert axes.get_title(loc="left") == caption


def test_worst_images_shows_twelve_at_most():
    many = [Mistake(str(i), ("a",), ("b",), "") for i in range(16)]

    assert len(worst_images(many, LabelKind.CLASS, image=grey).axes) == 12
