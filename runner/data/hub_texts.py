"""Texts of Hugging Face datasets, by hub name or local path, through `datasets` (an extra)."""

from collections.abc import Iterator
from typing import Any

from runner.data.cells import text_in
from runner.data.example import Text, TextSource
from runner.data.hub_columns import (
    HubTable,
    class_names,
    no_column,
    refuse_missing_labels,
    row_labels,
)
from runner.data.hub_loading import HubPlace, load_hub_set, parts_of
from runner.data.labels import (
    RawLabel,
    refuse_idle_separator,
    refuse_unequal,
    refuse_unfit_columns,
    words_in,
)
from runner.data.listing import Listed
from runner.data.table import TextColumns
from runner.data.text_listing import TextListing, texts_from_listing
from runner.experiment import LabelKind


def huggingface_texts(
    place: HubPlace, *, columns: TextColumns, kind: LabelKind, max_empty: float
) -> TextSource:
    """A Hugging Face data set of texts, pairs or tagged words, with its own splits if any.

    Args:
        place: Which data set.
        columns: What its columns are called; group and split are not looked at.
        kind: How the texts are labelled.
        max_empty: Share in [0, 1] of empty texts that is tolerated.
    Raises:
        DataSettingError: If a column is not there or the data set is unknown.
        DataError: If `datasets` is not installed, the hub cannot be reached, or a row cannot be
            used.
    """
    refuse_unfit_columns(columns.labels, kind)
    tables = parts_of(place.title, load_hub_set(place))
    first = next(iter(tables.values()))
    _refuse_missing(place.title, first, columns, kind)
    listed: list[Listed] = []
    texts: list[Text] = []
    places: list[str] = []
    for part, table in tables.items():
        hub_table = HubTable(place.title, part, table)
        for row, text, label in _rows(hub_table, columns, kind):
            listed.append(Listed(hub_table.id(row), label, split=part))
            texts.append(text)
            places.append(hub_table.where(row))
    refuse_idle_separator(place.title, columns.labels, [entry.label for entry in listed])
    is_tagged = kind is LabelKind.TAGS
    return texts_from_listing(
        TextListing(place.title, listed, texts, places.__getitem__),
        kind=kind,
        classes=None if is_tagged else class_names(first, columns.labels, kind),
        max_empty=max_empty,
    )


def _refuse_missing(title: str, table: Any, columns: TextColumns, kind: LabelKind) -> None:
    if kind is LabelKind.TAGS:
        asked = [("data.tokens_column", columns.tokens), ("data.tags_column", columns.tags)]
    else:
        pair = [] if columns.pair is None else [("data.pair_column", columns.pair)]
        asked = [("data.text_column", columns.text), *pair]
    for key, name in asked:
        if name not in table.column_names:
            there = tuple(table.column_names)
            raise no_column(key, f"{title} has no such column", table, name, there)
    if kind is not LabelKind.TAGS:
        refuse_missing_labels(title, table, columns.labels, beside=columns.text)


def _rows(
    table: HubTable, columns: TextColumns, kind: LabelKind
) -> Iterator[tuple[int, Text, RawLabel]]:
    """Row, text and label of every labelled row."""
    if kind is LabelKind.TAGS:
        yield from _tagged_rows(table, columns)
        return
    names = [columns.text] if columns.pair is None else [columns.text, columns.pair]
    cells = {name: list(table.table[name]) for name in names}
    for row, label in row_labels(table, columns.labels, kind):
        texts = tuple(text_in(table.where(row), name, cells[name][row]) for name in names)
        yield row, texts[0] if len(texts) == 1 else texts, label


def _tagged_rows(
    table: HubTable, columns: TextColumns
) -> Iterator[tuple[int, tuple[str, ...], tuple[str, ...]]]:
    cells = zip(table.table[columns.tokens], table.cells(columns.tags), strict=True)
    for row, (tokens, tagged) in enumerate(cells):
        if tagged is None:
            continue
        where = table.where(row)
        words = words_in(where, columns.tokens, tokens)
        tags = words_in(where, columns.tags, tagged)
        refuse_unequal(where, words, tags)
        yield row, words, tags
