"""Reading tables: delimited text, JSON lines and Parquet, with where each row stands."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runner.data.cells import shown
from runner.data.delimited import rows_of
from runner.data.errors import DataSettingError, counted
from runner.errors import DataError, nearest_spelling
from runner.machine import free_memory

_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
_PARQUET = b"PAR1"
_SIGNATURES = {
    b"PK\x03\x04": "an Excel workbook (.xlsx) or another ZIP archive",
    b"\xd0\xcf\x11\xe0": "an Excel workbook (.xls) or another file of Microsoft Office",
    _PARQUET: "a Parquet file, whose name should end in .parquet",
    b"\x1f\x8b": "compressed with gzip",
    b"%PDF-": "a PDF file",
}
"""What people give for a text file, by its first bytes."""
# What a value of a Parquet file takes as a Python object, at the least; texts take more.
_BYTES_OF_A_VALUE = 64
_BYTES_OF_A_CELL = 8  # a reference to the value, there or not
_SHOWN_NAME = 40  # characters of a column's name in a message


@dataclass(frozen=True)
class Table:
    """A table as read.

    Attributes:
        columns: Names of the columns.
        rows: For each row its number in the file, and its cells: text from delimited files,
            what the format gives (numbers, lists, None) from others. Delimited rows may be
            short.
        unit: What the numbers count: "line" or "row", both from 1.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[int, tuple[object, ...]], ...]
    unit: str

    def records(self) -> Iterator[tuple[int, dict[str, object]]]:
        """Number and cells by column, row after row."""
        for number, cells in self.rows:
            yield number, dict(zip(self.columns, cells, strict=False))


def read_table(path: Path, *, key: str = "data.path") -> Table:
    """The rows of a .csv, .tsv, .jsonl or .parquet file.

    Args:
        path: The file; what is neither JSON lines nor Parquet is taken for delimited text.
        key: The key of the experiment that names it, for messages.
    Raises:
        DataSettingError: If there is no such file.
        DataError: If it is empty or not what its name says.
    """
    if not path.is_file():
        kind = "is a folder, not a file" if path.is_dir() else "does not exist"
        raise DataSettingError(key, f"the file {kind}", seen=str(path))
    match path.suffix.lower():
        case ".parquet" | ".pq":
            return _read_parquet(path)
        case ".jsonl" | ".ndjson":
            return _read_jsonl(path)
    return _read_delimited(path)


def decoded(path: Path) -> str:
    """A text file's content: UTF-8, or UTF-16 with a byte order mark.

    Raises:
        DataError: If it is no text at all; if it is in another encoding, names the line.
    """
    encoded = path.read_bytes()
    for beginning, what in _SIGNATURES.items():
        # A header may begin with these letters; a Parquet file ends with them too.
        is_one = beginning != _PARQUET or encoded.endswith(_PARQUET)
        if encoded.startswith(beginning) and is_one:
            raise DataError(f"{path} is {what}, not text; save it as text (CSV, UTF-8)")
    encoding = "utf-16" if encoded.startswith(_UTF16_MARKS) else "utf-8-sig"
    try:
        return encoded.decode(encoding)
    except UnicodeDecodeError as err:
        line = encoded[: err.start].count(b"\n") + 1
        raise DataError(f"{path}, line {line}: not UTF-8 text; save the file as UTF-8") from err


def _refuse_unmarked_utf16(path: Path, text: str) -> None:
    """Refuse UTF-16 without its mark, which passes for UTF-8: a NUL beside each letter."""
    if "\0" in text.partition("\n")[0]:
        raise DataError(f"{path}, line 1: holds NUL characters; save the file as UTF-8")


def refuse_missing_columns(
    title: str, columns: tuple[str, ...], asked: Iterable[tuple[str, str]]
) -> None:
    """Refuse a table without the columns that the settings name.

    Args:
        title: The file, for messages.
        columns: Those that are there.
        asked: (key of the `data` section, name of the column) of each that must be.
    Raises:
        DataSettingError: At the first that is not there, or is there twice.
    """
    for key, name in asked:
        if name not in columns:
            near = nearest_spelling(name, columns) if len(columns) > 1 else None
            hint = f"; did you mean {near!r}?" if near else _no_header_hint(columns)
            there = ", ".join(_short(column) for column in columns)
            rule = f"{title} has no such column; its columns are {there}{hint}"
            raise DataSettingError(key, rule, seen=name, allowed=columns)
        if columns.count(name) > 1:
            raise DataSettingError(key, f"{title} has two columns of this name", seen=name)


def refuse_short_rows(title: str, table: Table) -> None:
    """Refuse rows with fewer cells than there are columns.

    Raises:
        DataError: At the first such row.
    """
    for number, cells in table.rows:
        if len(cells) < len(table.columns):
            raise DataError(
                f"{title}, {table.unit} {number}: {counted(len(cells), 'cell')}, but there are "
                f"{counted(len(table.columns), 'column')} "
                f"({', '.join(_short(name) for name in table.columns)})"
            )


def _no_header_hint(columns: tuple[str, ...]) -> str:
    """A word on the two things that make no column have its name."""
    if len(columns) == 1:
        return ". If it has several, separate them by a comma, semicolon, tab or bar"
    return ". The first line must name the columns"


def _short(name: str) -> str:
    return name if len(name) <= _SHOWN_NAME else f"{name[:_SHOWN_NAME]}..."


def _read_delimited(path: Path) -> Table:
    """A delimited text file, its first line the names of the columns."""
    likely = "\t" if path.suffix.lower() == ".tsv" else ","
    text = decoded(path)
    _refuse_unmarked_utf16(path, text)
    lines = rows_of(text, title=str(path), likely=likely)
    rows = [(n, cells) for n, cells in lines if any(cell.strip() for cell in cells)]
    if not rows:
        raise DataError(f"{path} is empty; its first line must name the columns")
    names = tuple(name.strip() for name in rows[0][1])
    for line, cells in rows:
        if len(cells) > len(names):
            raise DataError(
                f"{path}, line {line}: {len(cells)} cells, but the first line names "
                f"{counted(len(names), 'column')} ({', '.join(_short(name) for name in names)}); "
                "quote a cell that holds the separator"
            )
    return Table(names, tuple((line, tuple(cells)) for line, cells in rows[1:]), "line")


def _read_jsonl(path: Path) -> Table:
    """One JSON object a line; its keys are the columns, and those it lacks are missing cells."""
    records = []
    for number, line in enumerate(decoded(path).split("\n"), start=1):
        if line.strip():
            records.append((number, _json_object(f"{path}, line {number}", line)))
    if not records:
        raise DataError(f"{path} is empty; each line must hold a JSON object")
    names = tuple(dict.fromkeys(name for _, record in records for name in record))
    size = f"{len(records):,} rows of {counted(len(names), 'column')}"
    _refuse_without_room(path, size, len(records) * len(names) * _BYTES_OF_A_CELL)
    return Table(
        names, tuple((n, tuple([record.get(name) for name in names])) for n, record in records),
        "line",
    )  # fmt: skip


def _json_object(where: str, line: str) -> dict[str, object]:
    try:
        record = json.loads(line)
    except ValueError as err:
        hint = "; write one JSON object a line" if line.strip() in ("[", "{") else ""
        raise DataError(f"{where}: not JSON ({err}){hint}") from err
    except RecursionError as err:
        raise DataError(f"{where}: lists or objects nested too deep to be read") from err
    if not isinstance(record, dict):
        raise DataError(f"{where}: should hold a JSON object, not {shown(record)}")
    return record


def _read_parquet(path: Path) -> Table:
    import pyarrow.parquet as parquet
    from pyarrow.lib import ArrowException

    try:
        described = parquet.read_metadata(path)
        _refuse_too_large(path, described)
        with parquet.ParquetFile(path, read_dictionary=_texts_of(described)) as file:
            table = file.read()
        _refuse_too_long(path, table)
    except (ArrowException, OSError) as err:
        raise DataError(f"{path} is not a Parquet file: {err}") from err
    names = tuple(str(name) for name in table.column_names)
    columns = []
    for name, column in zip(names, table.columns, strict=True):
        try:
            columns.append(column.to_pylist())
        except (ArrowException, ValueError, OverflowError) as err:
            # Text that is not UTF-8, a date beyond Python's calendar.
            raise DataError(f"{path}: the column {name!r} cannot be read: {err}") from err
    rows = zip(*columns, strict=True) if columns else iter(())
    return Table(names, tuple(enumerate(rows, start=1)), "row")


def _refuse_too_large(path: Path, described: Any) -> None:
    """Refuse a Parquet file that unpacks to more than the memory that is free.

    Equal values are kept once, so a small file can hold any number of rows, and of items of lists.

    Args:
        path: The file, for the message.
        described: Its `FileMetaData`.
    """
    groups = range(described.num_row_groups)
    packed = sum(described.row_group(group).total_byte_size for group in groups)
    leaves = range(described.num_columns)
    values = sum(described.row_group(g).column(c).num_values for g in groups for c in leaves)
    size = f"{described.num_rows:,} rows of {counted(described.num_columns, 'column')}"
    _refuse_without_room(path, size, packed + values * _BYTES_OF_A_VALUE)


def _texts_of(described: Any) -> list[str]:
    """Columns of texts, whose equal values are to be kept once in memory too."""
    columns = (described.schema.column(number) for number in range(described.num_columns))
    return [
        column.path
        for column in columns
        if column.physical_type == "BYTE_ARRAY" and column.logical_type.type != "DECIMAL"
    ]


def _refuse_too_long(path: Path, table: Any) -> None:
    """Refuse a table whose texts, each written out, take more than the memory that is free."""
    needed = sum(_length(chunk) for column in table.columns for chunk in column.chunks)
    size = f"{table.num_rows:,} rows of {counted(table.num_columns, 'column')}"
    _refuse_without_room(path, size, needed)


def _length(values: Any) -> int:
    """Bytes of an Arrow array with every value written out."""
    from pyarrow import compute, types

    if types.is_dictionary(values.type):
        lengths = compute.binary_length(values.dictionary).cast("int64")
        return compute.sum(lengths.take(values.indices)).as_py() or 0
    if types.is_struct(values.type):
        return sum(_length(each) for each in values.flatten())
    if types.is_list(values.type) or types.is_large_list(values.type):
        return _length(values.flatten())
    return int(values.nbytes)


def _refuse_without_room(path: Path, size: str, needed: int) -> None:
    """Refuse what takes more than the memory that is free.

    Args:
        path: The file, for the message.
        size: How many rows and columns it has, likewise.
        needed: Bytes that it takes in memory.
    """
    free = free_memory()
    if needed > free:
        raise DataError(
            f"{path}: {size} would take about {needed / 2**30:,.1f} GiB of memory, and "
            f"{free / 2**30:,.1f} are free. Keep the rows and columns that are needed in a "
            "file of their own"
        )
