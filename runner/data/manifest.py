"""CSV and Parquet manifests: one row an image, with its path, label, and perhaps group, split."""

import csv
import io
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from runner.data.errors import DataSettingError, counted, named
from runner.data.example import Part, Source
from runner.data.folder import PART_FOLDERS
from runner.data.listing import FileContents, Listed, source_from_listing
from runner.errors import DataError, nearest_spelling

_SEPARATORS = ",;\t|"
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True)
class Columns:
    """What the columns of a manifest are called; group and split may be absent from the file."""

    path: str = "path"
    label: str = "label"
    group: str = "group"
    split: str = "split"


@dataclass(frozen=True)
class Table:
    """A manifest as read: column names, and rows of text with where each one stands."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, dict[str, str]], ...]  # ("line 4", cells by column)


def manifest_source(
    path: Path,
    *,
    root: Path,
    columns: Columns,
    allow_outside: bool,
    max_unreadable: float,
    cache: Path | None,
) -> Source:
    """The images a manifest lists.

    Args:
        path: A .csv, .tsv, .txt or .parquet file.
        root: Folder the paths in it are relative to.
        columns: What its columns are called.
        allow_outside: Whether its paths may leave `root`.
        max_unreadable: Share in [0, 1] of missing or unreadable images that is tolerated.
        cache: Folder of caches, or None.
    Raises:
        DataSettingError: If the file or a column is missing, or a path leaves the root.
        DataError: If a cell is empty, a path listed twice, or too many images unreadable.
    """
    table = read_table(path)
    _refuse_missing_columns(path, table, columns)
    listed, paths = [], []
    for where, row in table.rows:
        entry = _listed(f"{path}, {where}", row, columns)
        listed.append(entry)
        paths.append(_inside(root, entry.id, f"{path}, {where}", allow_outside=allow_outside))
    _refuse_repeats(path, table, listed)
    return source_from_listing(
        str(path),
        listed,
        contents=FileContents(tuple(paths), os.path.abspath(path)),  # noqa: PTH100
        max_unreadable=max_unreadable,
        cache=cache,
    )


def read_table(path: Path) -> Table:
    """The rows of a CSV or Parquet file, every cell as text, missing cells empty."""
    if not path.is_file():
        kind = "is a folder, not a file" if path.is_dir() else "does not exist"
        raise DataSettingError("data.path", f"the manifest {kind}", seen=str(path))
    is_parquet = path.suffix.lower() in (".parquet", ".pq")
    return _read_parquet(path) if is_parquet else _read_csv(path)


def _read_csv(path: Path) -> Table:
    """A delimited text file; comma, semicolon, tab or bar, whichever its first line shows."""
    encoded = path.read_bytes()
    encoding = "utf-16" if encoded.startswith(_UTF16_MARKS) else "utf-8-sig"
    try:
        text = encoded.decode(encoding)
    except UnicodeDecodeError as err:
        line = encoded[: err.start].count(b"\n") + 1
        raise DataError(f"{path}, line {line}: not UTF-8 text; save the file as UTF-8") from err
    header = next((line for line in text.splitlines() if line.strip()), "")
    separator = max(_SEPARATORS, key=header.count)
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True)
    try:
        rows = [(lines.line_num, row) for row in lines if any(cell.strip() for cell in row)]
    except csv.Error as err:
        raise DataError(f"{path}, line {lines.line_num}: {err}") from err
    if not rows:
        raise DataError(f"{path} is empty; its first line must name the columns")
    names = tuple(name.strip() for name in rows[0][1])
    _refuse_ragged(path, names, rows)
    return Table(names, tuple((f"line {n}", _cells(names, row)) for n, row in rows[1:]))


def _cells(names: tuple[str, ...], row: list[str]) -> dict[str, str]:
    return dict(zip(names, (cell.strip() for cell in row), strict=False))


def _refuse_ragged(path: Path, names: tuple[str, ...], rows: list[tuple[int, list[str]]]) -> None:
    for line, row in rows:
        if len(row) > len(names):
            raise DataError(
                f"{path}, line {line}: {len(row)} cells, but the first line names "
                f"{counted(len(names), 'column')} ({', '.join(names)}); quote a cell that holds "
                "the separator"
            )


def _read_parquet(path: Path) -> Table:
    """A Parquet file; numbers become text as they print."""
    import pyarrow.parquet as parquet
    from pyarrow.lib import ArrowException

    try:
        table = parquet.read_table(path)
    except (ArrowException, OSError) as err:
        raise DataError(f"{path} is not a Parquet file: {err}") from err
    names = tuple(str(name) for name in table.column_names)
    columns = [column.to_pylist() for column in table.columns]
    rows = zip(*columns, strict=True) if columns else iter(())
    return Table(names, tuple(_parquet_rows(names, rows)))


def _parquet_rows(
    names: tuple[str, ...], rows: Iterator[tuple[object, ...]]
) -> Iterator[tuple[str, dict[str, str]]]:
    for number, row in enumerate(rows, start=1):
        cells = ("" if cell is None else str(cell).strip() for cell in row)
        yield f"row {number}", dict(zip(names, cells, strict=True))


def _refuse_missing_columns(path: Path, table: Table, columns: Columns) -> None:
    """Path and label must be there; group and split only where they were renamed."""
    asked = {"path": columns.path, "label": columns.label}
    for part in ("group", "split"):
        if getattr(columns, part) != part:
            asked[part] = getattr(columns, part)
    for part, name in asked.items():
        if name not in table.columns:
            near = nearest_spelling(name, table.columns)
            hint = f"; did you mean {near!r}?" if near else ""
            raise DataSettingError(
                f"data.{part}_column",
                f"{path} has no such column; its columns are {', '.join(table.columns)}{hint}",
                seen=name,
                allowed=table.columns,
            )


def _listed(where: str, row: dict[str, str], columns: Columns) -> Listed:
    """One row as a listing entry; its id is the path as written, with forward slashes."""
    path, label = row.get(columns.path, ""), row.get(columns.label, "")
    for name, cell in ((columns.path, path), (columns.label, label)):
        if not cell:
            raise DataError(f"{where}: the {name!r} cell is empty")
    normal = os.path.normpath(path if "/" in path else path.replace("\\", "/"))
    return Listed(
        PurePosixPath(normal).as_posix(),
        label,
        group=row.get(columns.group) or None,
        split=_part(where, row.get(columns.split, "")),
    )


def _part(where: str, cell: str) -> Part | None:
    if not cell:
        return None
    part = PART_FOLDERS.get(cell.lower())
    if part is None:
        raise DataError(
            f"{where}: {cell!r} is no split; allowed are {', '.join(sorted(PART_FOLDERS))}"
        )
    return part


def _inside(root: Path, relative: str, where: str, *, allow_outside: bool) -> Path:
    """The file a row names.

    The check is on the text of the path: links that the owner put below the root are followed.
    """
    base = os.path.abspath(root)  # noqa: PTH100 - resolve() would follow links
    path = os.path.normpath(os.path.join(base, relative))  # noqa: PTH118
    if not allow_outside and os.path.commonpath([base, path]) != base:
        raise DataSettingError(
            "data.allow_outside",
            f"{where}: {relative} leaves the root folder {base}; set allow_outside: true if you "
            "trust this manifest",
            seen="false",
            allowed=("true",),
        )
    return Path(path)


def _refuse_repeats(path: Path, table: Table, listed: list[Listed]) -> None:
    counts = Counter(entry.id for entry in listed)
    repeated = [name for name, count in counts.items() if count > 1]
    if repeated:
        first = repeated[0]
        places = [
            where
            for (where, _), entry in zip(table.rows, listed, strict=True)
            if entry.id == first
        ]
        raise DataError(
            f"{path}: {counted(len(repeated), 'path')} listed more than once, for example {first} "
            f"({named(places)}); keep one row each"
        )
