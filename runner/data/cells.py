"""Cells of tables, whatever the file gave them as."""

import math

from runner.errors import DataError

_SHOWN = 60  # characters of a value in a message


def cell_text(cell: object) -> str:
    """A cell as text without white space around it; empty where it is missing."""
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return ""
    return str(cell).strip()


def text_in(where: str, column: str, cell: object) -> str:
    """A cell with a text, as it was written; white space around it is part of it.

    Args:
        where: File and line, for messages.
        column: The cell's column, for messages.
        cell: What the file gave.
    Raises:
        DataError: If it is a list or a mapping, or holds half a character.
    """
    if isinstance(cell, list | tuple | dict):
        raise DataError(f"{where}: the {column!r} cell should hold text, not {shown(cell)}")
    text = cell if isinstance(cell, str) else cell_text(cell)
    refuse_half_characters(where, column, text)
    return text


def refuse_half_characters(where: str, column: str, text: str) -> None:
    """Refuse a lone surrogate: JSON can hold one, and no tokenizer can read it.

    Raises:
        DataError: If there is one.
    """
    try:
        text.encode()
    except UnicodeEncodeError as err:
        half = ascii(text[err.start])
        raise DataError(
            f"{where}: the {column!r} cell holds half a character ({half}): it was cut in two "
            "when the file was made"
        ) from err


def shown(cell: object) -> str:
    """A value for a message: quoted if it is text, cut if it is long."""
    if cell is None:
        return "nothing"
    try:
        text = repr(cell)
    except RecursionError:
        return f"a {type(cell).__name__} nested too deep to be shown"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
