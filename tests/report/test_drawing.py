"""Figures are saved whole, as PNG where fonts allow and else as SVG with its text as text."""

import warnings

import pytest
from PIL import Image

from runner.report.drawing import drawing_style, empty_figure, save, short_name, whole_file

NO_FONT_HAS = "\U000e0fff"


def saved(folder, title: str, ticks: str = "a"):
    with drawing_style():
        figure = empty_figure(4, 3, title)
        axes = figure.add_subplot()
        axes.set_xticks([0], [ticks])
        return save(figure, folder / "picture")


def test_save_writes_a_png_that_opens(tmp_path):
    path = saved(tmp_path, "Привет, été")

    assert path.name == "picture.png"
    assert list(tmp_path.iterdir()) == [path]
    with Image.open(path) as picture:
        picture.load()
        assert picture.format == "PNG"


@pytest.mark.parametrize(("title", "tick"), [(f"t{NO_FONT_HAS}", "a"), ("t", f"n{NO_FONT_HAS}")])
def test_save_characters_without_a_font_stay_text_in_an_svg(tmp_path, title, tick):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        path = saved(tmp_path, title, tick)

    assert path.name == "picture.svg"
    drawing = path.read_text(encoding="utf-8")
    assert title in drawing
    assert tick in drawing


def test_save_svg_is_the_same_each_time(tmp_path):
    first, second = tmp_path / "a", tmp_path / "b"
    for folder in (first, second):
        folder.mkdir()
        saved(folder, NO_FONT_HAS)

    assert (first / "picture.svg").read_bytes() == (second / "picture.svg").read_bytes()


def test_save_names_that_look_like_formulas_are_names(tmp_path):
    path = saved(tmp_path, r"$\frac{$ costs $5_$", NO_FONT_HAS + "$x^$")

    assert r"$\frac{$ costs $5_$" in path.read_text(encoding="utf-8")


def test_whole_file_of_a_block_that_fails_leaves_the_old_one(tmp_path):
    path = tmp_path / "page.html"
    path.write_text("old")

    def write_half() -> None:
        with whole_file(path) as file:
            file.write_text("new")
            raise ValueError("half")

    with pytest.raises(ValueError, match="^half$"):
        write_half()

    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_short_name_keeps_both_ends():
    assert short_name("short") == "short"
    assert short_name("American Staffordshire bull terrier 7") == "American St… terrier 7"
    assert len(short_name("x" * 99, 30)) == 30
