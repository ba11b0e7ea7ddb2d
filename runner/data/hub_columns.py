"""Columns of Hugging Face datasets: whether they are there, the names of classes, the labels."""

import logging
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from runner.data.cells import cell_text
from runner.data.errors import DataSettingError, counted
from runner.data.example import Part
from runner.data.labels import LabelColumns, RawLabel, read_label
from runner.errors import DataError, nearest_spelling
from runner.experiment import LabelKind

_UNLABELLED = (None, -1)  # how hub data sets mark a test split without public labels

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class HubTable:
    """One part of a hub data set.

    Attributes:
        title: How messages call the data set.
        part: Which part, or None where there is one alone.
        table: The `datasets.Dataset`.
    """

    title: str
    part: Part | None
    table: Any

    def id(self, row: int) -> str:
        """The id of an example, by its row from 0."""
        return f"{self.part or 'all'}/{row:06d}"

    def where(self, row: int) -> str:
        """Where a row stands, for messages."""
        return f"{self.title}, {self.part or 'all'} row {row}"

    def cells(self, column: str) -> Iterator[object]:
        """The cells of a column; classes by name, None where they are not given."""
        names = names_of(self.table, column)
        for row, cell in enumerate(self.table[column]):
            yield cell if names is None else self._named(row, column, names, cell)

    def _named(self, row: int, column: str, names: tuple[str, ...], cell: object) -> object:
        if isinstance(cell, list | tuple):
            if cell and all(item in _UNLABELLED for item in cell):
                return None
            return [self._named(row, column, names, item) for item in cell]
        if cell in _UNLABELLED:
            return None
        if not isinstance(cell, int) or not 0 <= cell < len(names):
            raise DataError(
                f"{self.where(row)}: the {column!r} cell holds class {cell}, but there are "
                f"{len(names)}, from 0"
            )
        return names[cell]


def names_of(table: Any, column: str) -> tuple[str, ...] | None:
    """Class names in label order, where the type of a column, or of its items, knows them."""
    feature = table.features[column]
    inner = getattr(feature, "feature", feature)
    names = getattr(inner, "names", None)
    return tuple(names) if names else None


def class_names(table: Any, columns: LabelColumns, kind: LabelKind) -> tuple[str, ...] | None:
    """The classes in the order that the data set or the settings give; None if neither does."""
    if kind is LabelKind.NUMBER:
        return None
    return columns.flags if columns.flags is not None else names_of(table, columns.label)


def refuse_missing_labels(title: str, table: Any, columns: LabelColumns, *, beside: str) -> None:
    """Refuse label columns that are not there.

    Args:
        title: The data set, for messages.
        table: Its first part.
        columns: Where labels should stand.
        beside: The column of images or texts, which cannot hold them.
    Raises:
        DataSettingError: At the first that is not there.
    """
    there = tuple(name for name in table.column_names if name != beside)
    kind = type(table.features[beside]).__name__
    what = "images" if kind == "Image" else "texts"
    for key, name in columns.asked():
        if name not in there:
            rule = f"{title} has no such column beside the {what}"
            raise no_column(key, rule, table, name, there)


def no_column(
    key: str, rule: str, table: Any, asked: str, allowed: tuple[str, ...]
) -> DataSettingError:
    """The refusal of a column, with those that are there and their types.

    Args:
        key: The key that names it.
        rule: What is wrong.
        table: What has the columns.
        asked: The name seen.
        allowed: The names that would do.
    """
    near = nearest_spelling(asked, allowed)
    hint = f"; did you mean {near!r}?" if near else ""
    columns = ", ".join(
        f"{name} ({type(table.features[name]).__name__})" for name in table.column_names
    )
    return DataSettingError(
        key, f"{rule}; its columns are {columns}{hint}", seen=asked, allowed=allowed
    )


def row_labels(
    table: HubTable, columns: LabelColumns, kind: LabelKind
) -> Iterator[tuple[int, RawLabel]]:
    """Row and label of every labelled row; those without a label are counted in the log.

    Raises:
        DataError: If a label is not what it should be; names the row.
    """
    names = [name for _, name in columns.asked()]
    rows = list(zip(*(table.cells(name) for name in names), strict=True))
    is_named = any(names_of(table.table, name) is not None for name in names)
    # Elsewhere -1 is a class or a number like any other, unless a part has no other.
    is_mark = is_named or kind not in (LabelKind.CLASS, LabelKind.NUMBER)
    gone = [_is_unlabelled(cells, kind, is_mark=is_mark) for cells in rows]
    if all(_is_unlabelled(cells, kind, is_mark=True) for cells in rows):
        gone = [True] * len(rows)
    for row, cells in enumerate(rows):
        if not gone[row]:
            yield (
                row,
                _label(table.where(row), dict(zip(names, cells, strict=True)), columns, kind),
            )
    if any(gone):
        log.warning("%s: left out %s without a label", table.title, counted(sum(gone), "row"))


def _is_unlabelled(cells: tuple[object, ...], kind: LabelKind, *, is_mark: bool) -> bool:
    """Whether a row has no label; -1 says so where it is a mark.

    A number that is not a number is not missing: it is refused.
    """
    missing = _UNLABELLED if is_mark else (None,)
    return all(
        not isinstance(cell, list)
        and (cell in missing or (kind is not LabelKind.NUMBER and _is_nan(cell)))
        for cell in cells
    )


def _is_nan(cell: object) -> bool:
    return isinstance(cell, float) and math.isnan(cell)


def _label(where: str, row: dict[str, object], columns: LabelColumns, kind: LabelKind) -> RawLabel:
    cell = row.get(columns.label)
    # As it was written: it must be the name that the type of the column may know.
    if kind is LabelKind.CLASS and not isinstance(cell, list | tuple | dict) and cell_text(cell):
        return str(cell)
    return read_label(where, row, columns, kind)
