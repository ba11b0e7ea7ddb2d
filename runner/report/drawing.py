"""What the pictures share: colours, an empty figure, names that fit."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK, SOFT, ACCENT = "#1b2230", "#606b7d", "#2f6feb"
_NAME_CHARACTERS = 22


def empty_figure(width: float, height: float, title: str) -> "Figure":
    """An empty figure, in inches; the Figure API alone, so no global state and no display."""
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    layout = ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.1)
    figure = Figure(figsize=(width, height), layout=layout)
    if title:
        figure.suptitle(title, x=0.01, ha="left", fontsize=10, color=SOFT)
    return figure


def short_name(name: str) -> str:
    """A name that fits, cut in its middle: class names often differ at the end."""
    if len(name) <= _NAME_CHARACTERS:
        return name
    half = (_NAME_CHARACTERS - 1) // 2
    return f"{name[: _NAME_CHARACTERS - 1 - half]}…{name[-half:]}"
