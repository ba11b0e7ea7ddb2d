"""What is given to a model to predict: image files, texts, or the rows of a file."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runner.data import Table, decoded, read_table, words_in
from runner.errors import DataError, nearest_spelling

Example = str | Path | Sequence[str]
"""An image file; a text; a pair of texts; or the words of a text."""

IMAGE, TEXT, PAIR, TOKENS = "image", "text", "pair", "tokens"
TABLES = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet", ".pq")
_SHOWN = 40  # characters of a text in a message


@dataclass(frozen=True)
class InputFile:
    """A file with an example a row.

    Attributes:
        path: .csv, .tsv, .jsonl or .parquet with a column `image`, `text` (and `pair`) or
            `tokens`; or .txt with a text, or the path of an image, a line.
        column: Name of the column, where it is another.
    """

    path: str | Path
    column: str | None = None


@dataclass(frozen=True)
class Given:
    """One example as it was given.

    Attributes:
        values: By the model's own column: the path of an image, a text, a pair, a list of words.
        place: Where it stands, for messages.
    """

    values: dict[str, Any]
    place: str


def read_inputs(inputs: Sequence[Example] | InputFile, takes: Collection[str]) -> list[Given]:
    """The examples in the order given, each known to be of the kind the model takes.

    Args:
        inputs: The examples themselves, or a file of them.
        takes: Columns of the model: `image`; `text`; `text` and `pair`; or `text` and `tokens`.
    Raises:
        DataError: If a file, a column or a cell is not there or of another kind; names the file
            and the row.
    """
    if isinstance(inputs, InputFile):
        given = list(_from_file(inputs, takes))
    else:
        given = [_from_example(value, takes, row) for row, value in enumerate(inputs, start=1)]
    if IMAGE in takes:
        _require_files(given)
    return given


def _require_files(given: Sequence[Given]) -> None:
    missing = [each for each in given if not Path(each.values[IMAGE]).is_file()]
    if missing:
        listed = ", ".join(
            str(each.values[IMAGE])
            if each.place == str(each.values[IMAGE])
            else f"{each.values[IMAGE]} ({each.place})"
            for each in missing
        )
        raise DataError(f"no such image file: {listed}")


def _from_example(value: Example, takes: Collection[str], row: int) -> Given:
    if IMAGE in takes:
        if not isinstance(value, str | Path):
            raise DataError(f"image {row}: {value!r} is not the path of a file")
        return Given({IMAGE: value}, str(value))
    if isinstance(value, str):
        if PAIR in takes:
            raise DataError(
                f"text {row} ({_short(value)}): this model takes pairs of texts; give them as "
                "--file with the columns 'text' and 'pair', or from Python as (text, pair)"
            )
        return Given({TEXT: _text(value, TEXT, f"text {row}")}, f"text {row} ({_short(value)})")
    if isinstance(value, Path):
        raise DataError(
            f"text {row}: this model takes texts, not files; the texts of a file go with --file "
            f"{value}"
        )
    return _from_list(list(value), takes, f"text {row}")


def _from_list(value: list[str], takes: Collection[str], place: str) -> Given:
    if TOKENS in takes:
        return Given({TOKENS: _words(value, TOKENS, place)}, place)
    if PAIR in takes and len(value) == 2:
        parts = zip((TEXT, PAIR), value, strict=True)
        return Given({name: _text(part, name, place) for name, part in parts}, place)
    wanted = "pairs of texts" if PAIR in takes else "single texts"
    raise DataError(f"{place}: this model takes {wanted}, not {len(value)} texts together")


def _from_file(file: InputFile, takes: Collection[str]) -> Iterator[Given]:
    path = Path(file.path)
    suffix = path.suffix.lower()
    if suffix != ".txt" and suffix not in TABLES:
        raise DataError(
            f"{path}: should be a table ({', '.join(TABLES)}) or a .txt with a line an example"
        )
    if not path.is_file():
        raise DataError(f"{path}: there is no such file")
    return _from_lines(file, path, takes) if suffix == ".txt" else _from_table(file, path, takes)


def _from_lines(file: InputFile, path: Path, takes: Collection[str]) -> Iterator[Given]:
    if PAIR in takes:
        raise DataError(f"{path}: this model takes pairs of texts: a table with `text` and `pair`")
    if file.column is not None:
        raise DataError(f"{path}: a .txt file has no columns, so there is no {file.column!r}")
    for number, line in enumerate(_lines(decoded(path)), start=1):
        place = f"{path}, line {number}"
        text = _text(line, "line", place)
        yield Given({IMAGE: path.parent / text.strip()} if IMAGE in takes else {TEXT: text}, place)


def _lines(text: str) -> list[str]:
    """Only what editors call a line: other separators may be part of a text."""
    lines = [line.removesuffix("\r") for line in text.split("\n")]
    return lines[:-1] if lines[-1] == "" else lines


def _from_table(file: InputFile, path: Path, takes: Collection[str]) -> Iterator[Given]:
    table = read_table(path, key="--file")
    column = file.column or _usual_column(table, takes)
    _require_column(path, table, column)
    if PAIR in takes:
        _require_column(path, table, PAIR)
    for number, cells in table.records():
        place = f"{path}, {table.unit} {number}"
        cell = cells.get(column)
        if IMAGE in takes:
            yield Given({IMAGE: path.parent / _text(cell, column, place)}, place)
        elif TOKENS in takes and isinstance(cell, str) and column != TEXT:
            # As training reads such a cell: words with spaces between them, or a printed list.
            words = list(words_in(place, column, _text(cell, column, place)))
            yield Given({TOKENS: words}, place)
        elif TOKENS in takes and not isinstance(cell, str):
            yield Given({TOKENS: _words(cell, column, place)}, place)
        else:
            pair = {PAIR: _text(cells.get(PAIR), PAIR, place)} if PAIR in takes else {}
            yield Given({TEXT: _text(cell, column, place), **pair}, place)


def _usual_column(table: Table, takes: Collection[str]) -> str:
    if TOKENS in takes and TOKENS in table.columns:
        return TOKENS
    return IMAGE if IMAGE in takes else TEXT


def _require_column(path: Path, table: Table, column: str) -> None:
    if column in table.columns:
        return
    near = nearest_spelling(column, table.columns)
    hint = f"; did you mean {near!r}?" if near else "."
    raise DataError(
        f"{path} has no column {column!r}; its columns are {', '.join(table.columns)}{hint} "
        "--column names the one to take"
    )


def _text(cell: object, column: str, place: str) -> str:
    if cell is None:
        raise DataError(f"{place}: the {column!r} cell is missing")
    if not isinstance(cell, str):
        raise DataError(f"{place}: {column!r} should be text, not {cell!r}")
    if not cell.strip():
        raise DataError(
            f"{place}: {column!r} is empty" if column != "line" else f"{place} is empty"
        )
    return cell


def _words(cell: object, column: str, place: str) -> list[str]:
    if not isinstance(cell, list) or not all(isinstance(word, str) for word in cell):
        raise DataError(f"{place}: {column!r} should be a text or a list of words, not {cell!r}")
    if not "".join(cell).strip():
        raise DataError(f"{place}: {column!r} holds no words")
    return cell


def _short(text: str) -> str:
    line = " ".join(text.split())
    return repr(line if len(line) <= _SHOWN else f"{line[:_SHOWN]}...")
