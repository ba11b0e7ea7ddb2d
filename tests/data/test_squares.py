"""The stored square: central, cheap for any shape."""

import pytest
from PIL import Image

from runner.data.squares import INTERPOLATIONS, centre_square


def test_centre_square_of_an_endless_strip_is_cheap_and_central():
    strip = Image.new("RGB", (30_000, 3), "black")
    strip.paste("white", (14_000, 0, 16_000, 3))

    square = centre_square(strip, resolution=32, interpolation="bilinear")

    assert square.shape == (32, 32, 3)
    assert square.min() == 255


@pytest.mark.parametrize("size", [(1, 1), (3, 7), (7, 3), (40, 40)])
@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
def test_centre_square_of_a_small_image_is_enlarged(size, interpolation):
    image = Image.new("RGB", size, (10, 20, 30))

    square = centre_square(image, resolution=32, interpolation=interpolation)

    assert square.shape == (32, 32, 3)
    assert square.reshape(-1, 3).tolist() == [[10, 20, 30]] * 32 * 32
