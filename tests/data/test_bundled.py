"""The sets that need no network."""

import hashlib
import subprocess
import sys

import numpy as np
import pytest

from runner.data.bundled import CAT_FACES, GLYPHS, bundled_source
from runner.data.errors import DataSettingError
from runner.data.fingerprint import data_fingerprint


def test_digits_are_all_1797_of_scikit_learn():
    source = bundled_source("digits", size=None)

    assert len(source.examples) == 1797
    assert source.classes == tuple("0123456789")
    assert source.image(0).size == (8, 8)
    assert not source.flip_is_safe


def test_digits_have_dark_ink_on_white():
    image = np.asarray(bundled_source("digits", size=3).image(0))

    assert image[0, 0].tolist() == [255, 255, 255]
    assert image.min() < 60


@pytest.mark.slow
def test_digits_are_what_scikit_learn_loads():
    from sklearn.datasets import load_digits

    loaded, source = load_digits(), bundled_source("digits", size=None)

    assert [example.label for example in source.examples] == loaded.target.tolist()
    for index in (0, 900, 1796):
        expected = np.rint(255 - loaded.images[index] * (255 / 16))
        assert np.array_equal(np.asarray(source.image(index))[:, :, 0], expected)


def test_cat_faces_are_nine_expressions():
    source = bundled_source("cat-faces", size=4)

    assert len(source.classes) == 9
    assert source.classes[0] == "grinning cat face with smiling eyes"
    assert source.classes[-1] == "weary cat face"
    assert len(source.examples) == 36
    assert source.image(0).size == (64, 64)


def test_glyphs_are_several_hundred_and_never_a_cat_face():
    source = bundled_source("glyphs", size=1)

    assert len(source.classes) == len(set(source.classes)) > 250
    assert not set(GLYPHS) & set(CAT_FACES)
    assert not any("cat face" in name for name in source.classes)


def test_every_bundled_glyph_is_in_the_font():
    from fontTools.ttLib import TTFont

    from runner.data.glyph_drawing import font_file

    in_font = TTFont(font_file()).getBestCmap()

    assert set(GLYPHS) | set(CAT_FACES) <= set(in_font)


def test_no_two_glyph_classes_look_the_same():
    """Two code points of one outline could not be told apart."""
    from fontTools.ttLib import TTFont

    from runner.data.glyph_drawing import font_file

    cmap = TTFont(font_file()).getBestCmap()
    outlines = [cmap[code] for code in (*GLYPHS, *CAT_FACES)]

    assert len(outlines) == len(set(outlines))


@pytest.mark.parametrize("name", ["digits", "cat-faces", "glyphs"])
def test_size_is_the_number_of_examples_a_class(name):
    source = bundled_source(name, size=3)

    labels = np.bincount([example.label for example in source.examples])

    assert labels.tolist() == [3] * len(source.classes)


def test_a_larger_set_holds_the_smaller_one():
    small, large = (bundled_source("cat-faces", size=size) for size in (3, 5))

    assert {e.digest for e in small.examples} < {e.digest for e in large.examples}


def test_bundled_set_that_does_not_exist_is_refused_with_the_nearest_name():
    with pytest.raises(DataSettingError) as caught:
        bundled_source("cat_faces", size=None)

    assert "there are digits, cat-faces, glyphs; did you mean 'cat-faces'?" in str(caught.value)


def test_another_process_draws_the_same_bits():
    """Bit for bit: the digest of drawings made by a fresh interpreter."""
    program = (
        "import hashlib; from runner.data.bundled import bundled_source;"
        "s = bundled_source('cat-faces', size=5);"
        "print(hashlib.sha256(b''.join(s.image(i).tobytes() for i in range(45))).hexdigest())"
    )
    source = bundled_source("cat-faces", size=5)
    here = hashlib.sha256(b"".join(source.image(i).tobytes() for i in range(45))).hexdigest()

    there = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert there.stdout.strip() == here


def test_bundled_fingerprint_changes_with_the_size():
    prints = {data_fingerprint(bundled_source("cat-faces", size=size)) for size in (3, 4)}

    assert len(prints) == 2
