"""Rows of delimited text: comma, semicolon, tab or bar, with and without quotation marks."""

import csv
import io
from collections.abc import Iterator
from contextlib import contextmanager

from runner.errors import DataError

_SEPARATORS = ",;\t|"
_TAB = "\t"
_LONGEST_CELL = 2**31 - 1  # the csv module stops at 131,072 characters, and texts may be longer

Row = tuple[int, list[str]]


def rows_of(text: str, *, title: str, likely: str = ",") -> list[Row]:
    """Every row with the number of its first line, blank ones too, the header among them.

    The separator is the one that the first line has most of, of two the likely one. Between
    tabs, quotation marks are part of the text wherever each line alone has all its cells: such
    files are mostly written without quoting.

    Args:
        text: The content.
        title: The file, for messages.
        likely: The separator that the file's name promises.
    Raises:
        DataError: If a quotation mark is not closed.
    """
    header = next((line for line in text.splitlines() if line.strip()), "")
    separator = max(likely + _SEPARATORS, key=header.count)
    with _long_cells():
        if separator == _TAB:
            plain = list(_read(text, separator, title, quoting=csv.QUOTE_NONE))
            if len({len(cells) for _, cells in plain if cells}) == 1:
                return [(line, [_unquoted(cell) for cell in cells]) for line, cells in plain]
        return list(_read(text, separator, title, quoting=csv.QUOTE_MINIMAL))


def _read(text: str, separator: str, title: str, *, quoting: int) -> Iterator[Row]:
    lines = csv.reader(
        io.StringIO(text, newline=""),
        delimiter=separator,
        skipinitialspace=True,
        quoting=quoting,  # type: ignore[arg-type]
        strict=True,
    )
    first = 1
    try:
        for cells in lines:
            yield first, cells
            first = lines.line_num + 1
    except csv.Error as err:
        raise DataError(
            f"{title}, line {first}: {err}. A cell that begins with a quotation mark must end "
            'with one, and those inside it are doubled ("")'
        ) from err


def _unquoted(cell: str) -> str:
    """A cell without the quotation marks around it, if it was quoted as a whole."""
    is_quoted = len(cell) > 1 and cell[0] == cell[-1] == '"'
    inner = cell[1:-1]
    return inner.replace('""', '"') if is_quoted and '"' not in inner.replace('""', "") else cell


@contextmanager
def _long_cells() -> Iterator[None]:
    """In this block the csv module reads cells of any length."""
    before = csv.field_size_limit(_LONGEST_CELL)
    try:
        yield
    finally:
        csv.field_size_limit(before)
