"""Predictions as a table for the terminal, whatever was predicted."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from rich.cells import cell_len, set_cell_size

from runner.report.leaderboard import value_text
from runner.report.listing import aligned

# What was asked, and answers, in the order they are shown.
_INPUTS = ("image", "text", "pair", "tokens")
_ANSWERS = ("label", "probability", "labels", "prediction", "entities")
# A line of a terminal has room for the answer beside it.
_INPUT_CELLS = 60
_CELLS = 100


def prediction_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Predictions as aligned text, a line a row: what was asked, and the answer.

    Probabilities of every class, and the tags of every word, are in the rows and not shown. Rows
    with no answer that is known here (an objective of one's own) are shown whole.
    """
    if not rows:
        return "nothing to predict"
    names = _columns(rows)
    cells = [[_cell(name, row.get(name)) for name in names] for row in rows]
    return aligned([names, *cells])


def _columns(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    present = dict.fromkeys(name for row in rows for name in row)
    inputs = [name for name in _INPUTS if name in present]
    answers = [name for name in _ANSWERS if name in present]
    if answers:
        return [*inputs, *answers]
    return [*inputs, *(name for name in present if name not in inputs)]


def _cell(name: str, value: Any) -> str:
    if name == "probability" and isinstance(value, float):
        return f"{value:.4f}"
    if name == "entities":
        return _one_line(_entities(value), _CELLS)
    if isinstance(value, float):
        return value_text(value)
    if name in _INPUTS and name != "image":
        return _one_line(_plain(value), _INPUT_CELLS)
    return _one_line(_plain(value))


def _entities(value: Any) -> str:
    """`Angela Merkel (PER), Paris (LOC)`."""
    try:
        found = json.loads(value) if isinstance(value, str) else value
        return ", ".join(f"{entity['text']} ({entity['type']})" for entity in found or [])
    except (ValueError, TypeError, KeyError):
        return _plain(value)


def _plain(value: Any) -> str:
    if isinstance(value, str):
        return value
    is_words = isinstance(value, list | tuple) and all(isinstance(part, str) for part in value)
    if is_words:
        return " ".join(value)
    return "" if value is None else str(value)


def _one_line(text: str, cells: int | None = None) -> str:
    """A text on one line, harmless to a terminal, cut to a number of cells."""
    line = "".join(c if c.isprintable() else "\ufffd" for c in " ".join(text.split()))
    if cells is None or cell_len(line) <= cells:
        return line
    return set_cell_size(line, cells - 1).rstrip() + "…"
