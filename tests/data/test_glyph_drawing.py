"""Drawings differ from one another and stay visible."""

import time

import numpy as np

from runner.data.bundled import CAT_FACES
from runner.data.glyph_drawing import draw_glyph, font_file

CAT = CAT_FACES[0]


def drawn(code_point: int = CAT, *, seed: int = 0, index: int = 0) -> np.ndarray:
    return np.asarray(draw_glyph(code_point, seed=seed, index=index))


def test_drawing_is_decided_by_seed_code_point_and_index():
    first = drawn()

    assert first.shape == (64, 64, 3)
    assert np.array_equal(first, drawn())
    assert not np.array_equal(first, drawn(seed=1))
    assert not np.array_equal(first, drawn(index=1))
    assert not np.array_equal(first, drawn(CAT + 1))


def test_two_hundred_drawings_are_all_different():
    assert len({drawn(index=index).tobytes() for index in range(200)}) == 200


def test_every_drawing_shows_something():
    """Neither blank nor noise alone: neighbouring pixels agree, distant ones do not."""
    for index in range(50):
        pixels = drawn(index=index).astype(float)
        near = np.abs(np.diff(pixels, axis=1)).mean()
        far = np.abs(pixels - np.roll(pixels, 20, axis=1)).mean()
        assert pixels.std(axis=(0, 1)).max() > 12
        assert near < far


def test_a_thousand_drawings_take_a_few_seconds_at_most():
    draw_glyph(CAT, seed=0, index=0)
    started_s = time.process_time()
    for index in range(200):
        draw_glyph(CAT, seed=0, index=index)

    assert (time.process_time() - started_s) * 5 < 5


def test_font_is_the_one_that_matplotlib_ships():
    assert font_file().name == "DejaVuSans.ttf"
    assert "mpl-data" in font_file().parts
