"""CSV and Parquet manifests: one row an image, with its path, label, and perhaps group, split."""

import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from runner.data.cells import cell_text, refuse_half_characters
from runner.data.errors import DataSettingError, counted, named
from runner.data.example import Part, Source
from runner.data.folder import PART_FOLDERS
from runner.data.inside import Fence
from runner.data.labels import (
    LabelColumns,
    read_label,
    refuse_idle_separator,
    refuse_unfit_columns,
)
from runner.data.listing import FileContents, Listed, source_from_listing
from runner.data.names import one_line
from runner.data.table_files import Table, read_table, refuse_missing_columns
from runner.errors import DataError
from runner.experiment import LabelKind


@dataclass(frozen=True)
class Columns:
    """What the columns of a manifest are called; group and split may be absent from the file."""

    path: str = "path"
    labels: LabelColumns = field(default_factory=LabelColumns)
    group: str = "group"
    split: str = "split"


def manifest_source(
    path: Path,
    *,
    root: Path,
    columns: Columns,
    kind: LabelKind = LabelKind.CLASS,
    allow_outside: bool,
    max_unreadable: float,
    cache: Path | None,
    max_pixels: int | None = None,
) -> Source:
    """The images a manifest lists.

    Args:
        path: A .csv, .tsv, .txt or .parquet file.
        root: Folder the paths in it are relative to.
        columns: What its columns are called.
        kind: How the images are labelled.
        allow_outside: Whether its paths may leave `root`.
        max_unreadable: Share in [0, 1] of missing or unreadable images that is tolerated.
        cache: Folder of caches, or None.
        max_pixels: As of `decode`.
    Raises:
        DataSettingError: If the file or a column is missing, or a path leaves the root.
        DataError: If a cell is empty, a path listed twice, or too many images unreadable.
    """
    refuse_unfit_columns(columns.labels, kind)
    table = read_table(path)
    _refuse_missing(path, table, columns)
    listed, paths = [], []
    fence = None if allow_outside else Fence(root)
    for number, row in table.records():
        where = f"{path}, {table.unit} {number}"
        written = _path_in(where, row, columns.path)
        listed.append(_listed(where, row, written, columns, kind))
        paths.append(_inside(root, written, where, fence))
    _refuse_repeats(path, table, listed)
    refuse_idle_separator(str(path), columns.labels, [entry.label for entry in listed])
    return source_from_listing(
        str(path),
        listed,
        contents=FileContents(tuple(paths), os.path.abspath(path)),  # noqa: PTH100
        kind=kind,
        classes=columns.labels.flags,
        max_unreadable=max_unreadable,
        cache=cache,
        max_pixels=max_pixels,
    )


def _refuse_missing(path: Path, table: Table, columns: Columns) -> None:
    """Path and label must be there; group and split only where they were renamed."""
    asked = [("data.path_column", columns.path), *columns.labels.asked()]
    for part in ("group", "split"):
        if getattr(columns, part) != part:
            asked.append((f"data.{part}_column", getattr(columns, part)))
    refuse_missing_columns(str(path), table.columns, asked)


def _path_in(where: str, row: dict[str, object], column: str) -> str:
    """The path in a row as written, with forward slashes."""
    path = cell_text(row.get(column))
    if not path:
        raise DataError(f"{where}: the {column!r} cell is empty")
    if "\0" in path:
        raise DataError(f"{where}: the {column!r} cell holds a NUL character: {path!r}")
    refuse_half_characters(where, column, path)
    return _normal(path)


def _listed(
    where: str, row: dict[str, object], written: str, columns: Columns, kind: LabelKind
) -> Listed:
    """One row as a listing entry; its id is the path, on one line."""
    return Listed(
        one_line(written),
        read_label(where, row, columns.labels, kind),
        group=cell_text(row.get(columns.group)) or None,
        split=part_in(where, cell_text(row.get(columns.split))),
    )


def _normal(path: str) -> str:
    """A path as written, with forward slashes."""
    normal = os.path.normpath(path if "/" in path else path.replace("\\", "/"))
    return PurePosixPath(normal).as_posix()


def manifest_names(path: Path, column: str) -> tuple[str, ...]:
    """The images that a manifest names, each once; () if it has no such column.

    Paths as written, with forward slashes: where the image lies, not how messages call it.

    Args:
        path: As of `manifest_source`.
        column: What the column of paths is called.
    Raises:
        DataSettingError: If there is no such file.
        DataError: If it cannot be read.
    """
    cells = (cell_text(row.get(column)) for _, row in read_table(path).records())
    return tuple(dict.fromkeys(_normal(cell) for cell in cells if cell))


def part_in(where: str, cell: str) -> Part | None:
    """The part that a cell names; None where it is empty.

    Raises:
        DataError: If it names no part.
    """
    if not cell:
        return None
    part = PART_FOLDERS.get(cell.lower())
    if part is None:
        raise DataError(
            f"{where}: {cell!r} is no split; allowed are {', '.join(sorted(PART_FOLDERS))}"
        )
    return part


def _inside(root: Path, relative: str, where: str, fence: Fence | None) -> Path:
    """The file a row names; a link counts as what it leads to.

    Args:
        root: Folder that paths start from.
        relative: The path as written.
        where: The row, for messages.
        fence: Where the file must lie; None: anywhere.
    """
    base = os.path.abspath(root)  # noqa: PTH100 - resolve() would follow links
    path = Path(os.path.normpath(os.path.join(base, relative)))  # noqa: PTH118
    if fence is not None and not fence.holds(path):
        raise DataSettingError(
            "data.allow_outside",
            f"{where}: {one_line(relative)} leaves the root folder {base}; set allow_outside: "
            "true if you "
            "trust this manifest",
            seen="false",
            allowed=("true",),
        )
    return path


def _refuse_repeats(path: Path, table: Table, listed: list[Listed]) -> None:
    counts = Counter(entry.id for entry in listed)
    repeated = [name for name, count in counts.items() if count > 1]
    if repeated:
        first = repeated[0]
        places = [
            f"{table.unit} {number}"
            for (number, _), entry in zip(table.rows, listed, strict=True)
            if entry.id == first
        ]
        raise DataError(
            f"{path}: {counted(len(repeated), 'path')} listed more than once, for example {first} "
            f"({named(places)}); keep one row each"
        )
