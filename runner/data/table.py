"""Texts in tables: one row a text, a pair or a sentence of tagged words, with its label."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from runner.data.cells import cell_text, text_in
from runner.data.example import Part, Text, TextSource
from runner.data.labels import (
    LabelColumns,
    RawLabel,
    read_label,
    refuse_idle_separator,
    refuse_unequal,
    refuse_unfit_columns,
    words_in,
)
from runner.data.listing import Listed
from runner.data.manifest import part_in
from runner.data.part_files import PartFiles
from runner.data.table_files import (
    read_table,
    refuse_missing_columns,
    refuse_short_rows,
)
from runner.data.text_listing import TextListing, texts_from_listing
from runner.errors import DataError
from runner.experiment import LabelKind

Row = Mapping[str, object]


@dataclass(frozen=True)
class TextColumns:
    """What the columns of a table of texts are called; group and split may be absent.

    Attributes:
        text: The text.
        pair: The second text of a pair, or None for single texts.
        tokens: The words of a sentence, where labels are tags.
        tags: Their tags.
        labels: The labels, where they are not tags.
        group: What stays on one side of a split.
        split: The part a row belongs to.
    """

    text: str = "text"
    pair: str | None = None
    tokens: str = "tokens"
    tags: str = "tags"
    labels: LabelColumns = field(default_factory=LabelColumns)
    group: str = "group"
    split: str = "split"

    def asked(self, kind: LabelKind) -> list[tuple[str, str]]:
        """Key of the `data` section, and name, of each column that must be there."""
        if kind is LabelKind.TAGS:
            asked = [("data.tokens_column", self.tokens), ("data.tags_column", self.tags)]
        else:
            pair = [] if self.pair is None else [("data.pair_column", self.pair)]
            asked = [("data.text_column", self.text), *pair, *self.labels.asked()]
        renamed = [("group", self.group), ("split", self.split)]
        return asked + [(f"data.{part}_column", name) for part, name in renamed if name != part]


def table_source(
    files: PartFiles, *, columns: TextColumns, kind: LabelKind, max_empty: float
) -> TextSource:
    """The texts of one table, or of one for each part.

    An example's id is its part ("all" where one file holds everything) and the number of its
    line in the file (of its row, in Parquet).

    Args:
        files: .csv, .tsv, .jsonl or .parquet files.
        columns: What their columns are called.
        kind: How the texts are labelled.
        max_empty: Share in [0, 1] of empty texts that is tolerated.
    Raises:
        DataSettingError: If a file or column is missing, or a setting does not fit.
        DataError: If a row cannot be used; names file and line.
    """
    refuse_unfit_columns(columns.labels, kind)
    listed: list[Listed] = []
    texts: list[Text] = []
    rows: list[tuple[Path, str, int]] = []
    for part, (key, path) in files.by_part().items():
        table = read_table(path, key=key)
        refuse_missing_columns(str(path), table.columns, columns.asked(kind))
        refuse_short_rows(str(path), table)
        for number, row in table.records():
            where = f"{path}, {table.unit} {number}"
            text, label = read_text_row(where, row, columns, kind)
            split = _part(where, row, columns, part)
            group = cell_text(row.get(columns.group)) or None
            listed.append(Listed(f"{part or 'all'}/{number:07d}", label, group, split))
            texts.append(text)
            rows.append((path, table.unit, number))
    refuse_idle_separator(str(files.path), columns.labels, [entry.label for entry in listed])
    listing = TextListing(str(files.path), listed, texts, lambda n: _place(*rows[n]))
    return texts_from_listing(
        listing, kind=kind, classes=columns.labels.flags, max_empty=max_empty
    )


def read_text_row(
    where: str, row: Row, columns: TextColumns, kind: LabelKind
) -> tuple[Text, RawLabel]:
    """The text of one row, and its label.

    Args:
        where: File and line, for messages.
        row: Cells by column.
        columns: Which cell is what.
        kind: How the texts are labelled.
    Raises:
        DataError: If a cell is not what it should be.
    """
    if kind is LabelKind.TAGS:
        words = words_in(where, columns.tokens, row.get(columns.tokens))
        tags = words_in(where, columns.tags, row.get(columns.tags))
        refuse_unequal(where, words, tags)
        return words, tags
    text = text_in(where, columns.text, row.get(columns.text))
    label = read_label(where, row, columns.labels, kind)
    if columns.pair is None:
        return text, label
    return (text, text_in(where, columns.pair, row.get(columns.pair))), label


def _part(where: str, row: Row, columns: TextColumns, of_file: Part | None) -> Part | None:
    """The part of a row: that of its file, else what its split cell says."""
    of_row = part_in(where, cell_text(row.get(columns.split)))
    if of_file is not None and of_row not in (None, of_file):
        raise DataError(
            f"{where}: the {columns.split!r} cell says {of_row}, but the file holds the part "
            f"{of_file}; name one file alone, or take the column out"
        )
    return of_file or of_row


def _place(path: Path, unit: str, number: int) -> str:
    return f"{path}, {unit} {number}"
