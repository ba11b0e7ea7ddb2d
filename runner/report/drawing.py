"""What the pictures share: colours, an empty figure, names that fit, saving whole files."""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from runner.report.glyphs import families_for

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, SOFT, ACCENT = "#1b2230", "#606b7d", "#2f6feb"
GOOD, WARN, BAD = "#1a7f4b", "#a86500", "#c2333b"
GRID, PALE = "#e3e6eb", "#97a3b6"
DPI = 150
_NAME_CHARACTERS = 22


@contextmanager
def drawing_style() -> Iterator[None]:
    """While it lasts, names are drawn as they are; figures are made and saved inside."""
    from matplotlib import rc_context

    # A class named "$5_$" is a name, not a formula; an SVG keeps text as text.
    style = rc_context(
        {"text.parse_math": False, "svg.fonttype": "none", "svg.hashsalt": "runner"}
    )
    with style, warnings.catch_warnings():
        # Its place is measured with a stand-in; the file has the character itself.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield


def empty_figure(width: float, height: float, title: str) -> "Figure":
    """An empty figure, in inches; the Figure API alone, so no global state and no display."""
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    layout = ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.1)
    figure = Figure(figsize=(width, height), layout=layout)
    if title:
        figure.suptitle(title, x=0.01, ha="left", fontsize=10, color=SOFT)
    return figure


def plain_axes(axes: "Axes", *, grid: str = "both") -> None:
    """Two quiet spines and a grid behind what is drawn.

    Args:
        axes: What to style.
        grid: Direction of the grid: "x", "y" or "both".
    """
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(SOFT)
    axes.tick_params(colors=SOFT, labelsize=9)
    axes.grid(axis=grid, color=GRID, linewidth=0.8)  # type: ignore[arg-type]
    axes.set_axisbelow(True)


def short_name(name: str, length: int = _NAME_CHARACTERS) -> str:
    """A name that fits, cut in its middle: class names often differ at the end."""
    if len(name) <= length:
        return name
    half = (length - 1) // 2
    return f"{name[: length - 1 - half]}…{name[-half:]}"


def save(figure: "Figure", path: Path) -> Path:
    """Write a figure; the file is complete or absent.

    A PNG, drawn with installed fonts. Where no installed font has a character, an SVG: it keeps
    text as text, which the browser that shows it draws with its own fonts.

    Args:
        figure: What to draw.
        path: Where, without its suffix.
    Returns:
        The file, its suffix added.
    """
    form = "png" if _use_fonts(figure) else "svg"
    written = path.with_name(f"{path.name}.{form}")
    metadata = {"Date": None} if form == "svg" else {}
    with whole_file(written) as file:
        figure.savefig(file, format=form, dpi=DPI, facecolor="white", metadata=metadata)
    return written


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A temporary path to write to, which becomes the file if the block succeeds."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _use_fonts(figure: "Figure") -> bool:
    """Give every text of a figure fonts that have its characters; says if there are such."""
    from matplotlib.text import Text

    for axes in figure.axes:
        # Names of ticks come into being when they are asked for.
        axes.get_xticklabels(), axes.get_yticklabels()
    artists = [artist for artist in figure.findobj(Text) if isinstance(artist, Text)]
    families, missing = families_for("".join(artist.get_text() for artist in artists))
    for artist in artists:
        artist.set_fontfamily(families)
    return not missing
