"""Labels as tables write them: a class, several labels, a number, a tag for each word."""

import ast
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from runner.data.cells import cell_text, refuse_half_characters, shown
from runner.data.errors import DataSettingError
from runner.data.names import one_line
from runner.errors import DataError
from runner.experiment import LabelKind, RowLabelSettings

RawLabel = str | float | tuple[str, ...]
"""By kind of label: the class by name; the number; the names of the labels that hold, or of each
word's tag."""

_SPACES = " \t\r\n"  # not what else Unicode counts as white space: it may be part of a word
_FLAGS = {"0": False, "1": True, "0.0": False, "1.0": True, "false": False, "true": True}


@dataclass(frozen=True)
class LabelColumns:
    """Where a row says what its label is.

    Attributes:
        label: Column with the label.
        flags: Columns of 0 and 1, one for each of several labels, instead of `label`.
        separator: What stands between several labels in one cell.
    """

    label: str = "label"
    flags: tuple[str, ...] | None = None
    separator: str | None = None

    @classmethod
    def of(cls, settings: RowLabelSettings) -> Self:
        """Those that the settings of a source name."""
        return cls(settings.label_column, settings.label_columns, settings.label_separator)

    def asked(self) -> list[tuple[str, str]]:
        """Key of the `data` section, and name, of each column that must be there."""
        if self.flags is not None:
            return [("data.label_columns", name) for name in self.flags]
        return [("data.label_column", self.label)]


def refuse_unfit_columns(columns: LabelColumns, kind: LabelKind) -> None:
    """Refuse settings of several labels where an example has one.

    Raises:
        DataSettingError: If there are such settings.
    """
    given = {"data.label_columns": columns.flags, "data.label_separator": columns.separator}
    for key, value in given.items():
        if value is not None and kind is not LabelKind.CLASSES:
            seen = value if isinstance(value, str) else ", ".join(value)
            rule = "is for several labels per example: task text_multilabel or image_multilabel"
            raise DataSettingError(key, rule, seen=seen)


def read_label(
    where: str, row: Mapping[str, object], columns: LabelColumns, kind: LabelKind
) -> RawLabel:
    """The label of one row, for every kind but tags.

    Args:
        where: File and line, for messages.
        row: Cells by column.
        columns: Where the label stands.
        kind: What it should be.
    Raises:
        DataSettingError: If several labels stand in a cell and nothing says what separates them.
        DataError: If a cell is empty or is not what it should be.
    """
    if kind is LabelKind.CLASSES and columns.flags is not None:
        return tuple([name for name in columns.flags if _flag(where, name, row.get(name))])
    cell = row.get(columns.label)
    if kind is LabelKind.CLASSES:
        return _several(where, columns, cell)
    text = cell_text(cell)
    if isinstance(cell, list | tuple | dict):
        what = "a number" if kind is LabelKind.NUMBER else "one class"
        raise DataError(
            f"{where}: the {columns.label!r} cell should hold {what}, not {shown(cell)}"
        )
    is_nan = kind is LabelKind.NUMBER and isinstance(cell, float)
    if not text and not is_nan:
        raise DataError(f"{where}: the {columns.label!r} cell is empty")
    if kind is LabelKind.NUMBER:
        return _number(where, columns.label, cell)
    return _name(where, columns, text)


def refuse_idle_separator(name: str, columns: LabelColumns, labels: Sequence[RawLabel]) -> None:
    """Refuse a separator that separated nothing: it is mostly the wrong one.

    Raises:
        DataSettingError: If no example has two labels.
    """
    several = [label for label in labels if isinstance(label, tuple)]
    if columns.separator is None or not several or any(len(label) > 1 for label in several):
        return
    longest = max((label[0] for label in several if label), key=len, default="")
    raise DataSettingError(
        "data.label_separator",
        f"no cell of the column {columns.label!r} in {name} is divided by it; one is, for "
        f"example, {shown(longest)}. Name the right one, or take a task with one class for each "
        "example",
        seen=repr(columns.separator),
    )


def words_in(where: str, column: str, cell: object) -> tuple[str, ...]:
    """The words, or their tags, in one cell: a list, or text with spaces between them.

    Raises:
        DataError: If the cell is neither.
    """
    if isinstance(cell, str):
        return _listed_in_text(where, column, cell)
    if cell is None:
        return ()
    if not isinstance(cell, list | tuple):
        raise DataError(f"{where}: the {column!r} cell should hold a list, not {shown(cell)}")
    missing = [number for number, word in enumerate(cell) if word is None]
    if missing:
        raise DataError(f"{where}: item {missing[0]} (from 0) of the {column!r} cell is null")
    refuse_half_characters(where, column, " ".join(str(word) for word in cell))
    return tuple(str(word) for word in cell)


def refuse_unequal(where: str, words: Sequence[str], tags: Sequence[str]) -> None:
    """Refuse a sentence whose words and tags differ in number.

    Raises:
        DataError: If they do.
    """
    if len(words) != len(tags):
        raise DataError(
            f"{where}: {len(words)} words but {len(tags)} tags; each word needs one. It begins "
            f"{shown(' '.join(words))}"
        )


def _flag(where: str, name: str, cell: object) -> bool:
    flag = _FLAGS.get(cell_text(cell).lower())
    if flag is None:
        raise DataError(f"{where}: the {name!r} cell should be 0 or 1, not {shown(cell)}")
    return flag


def _several(where: str, columns: LabelColumns, cell: object) -> tuple[str, ...]:
    """The distinct labels in one cell, in their order."""
    if isinstance(cell, list | tuple):
        names = [cell_text(item) for item in cell]
    elif columns.separator is not None:
        names = cell_text(cell).split(columns.separator)
    elif not (text := cell_text(cell)):
        names = []
    else:
        raise DataSettingError(
            "data.label_separator",
            f"say what stands between the labels in a cell, or name columns of 0 and 1 in "
            f"data.label_columns; at {where} the {columns.label!r} cell is {shown(text)}",
        )
    kept = [name.strip() for name in names if name.strip()]
    return tuple(dict.fromkeys(_name(where, columns, name) for name in kept))


def _name(where: str, columns: LabelColumns, text: str) -> str:
    """The name of a class as it can be written anywhere."""
    refuse_half_characters(where, columns.label, text)
    return one_line(text)


def _number(where: str, column: str, cell: object) -> float:
    text = str(cell).strip()
    try:
        number = float(text) if "_" not in text and not isinstance(cell, bool) else math.nan
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise DataError(
            f"{where}: the {column!r} cell should be a finite number, written like 3.5 or 1e-3, "
            f"not {shown(cell)}"
        )
    return number


def _listed_in_text(where: str, column: str, cell: str) -> tuple[str, ...]:
    """Words between white space; a list that was printed into the cell is read as one."""
    text = cell.strip(_SPACES)
    if not (text.startswith(("['", '["')) and text.endswith("]")):
        return tuple(re.split(f"[{_SPACES}]+", text)) if text else ()
    items = _printed_list(text)
    if items is None:
        raise DataError(
            f"{where}: the {column!r} cell looks like a list that cannot be read: {shown(cell)}. "
            "Write the words with spaces between them, or use .jsonl or .parquet"
        )
    return tuple(items)


def _printed_list(text: str) -> list[str] | None:
    """The list of texts that JSON or Python printed like this; None if neither did."""
    try:
        items = json.loads(text)
    except (ValueError, RecursionError):
        try:
            items = ast.literal_eval(text)
        except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
            # All that Python says may come of a text; the last two where it nests too deep.
            return None
        # NumPy prints lists without commas, which Python would read as one long word.
        items = items if repr(items) == text else None
    is_list = isinstance(items, list) and all(isinstance(item, str) for item in items)
    return items if is_list else None
