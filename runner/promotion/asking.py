"""Asking a model that MLflow has loaded, whatever it takes."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from runner.data import read_regular_file
from runner.errors import DataError
from runner.promotion.inputs import (
    IMAGE,
    PAIR,
    TEXT,
    TOKENS,
    Example,
    Given,
    InputFile,
    read_inputs,
)

_COLUMNS = (IMAGE, TEXT, PAIR, TOKENS)
# Images are read into memory so many at a time; texts of like length still find one another.
_AT_ONCE = 1024


def answers_of(
    loaded: Any, inputs: Sequence[Example] | InputFile, *, name: str
) -> list[dict[str, Any]]:
    """What a model that MLflow has loaded answers, one row an example.

    Args:
        loaded: An MLflow pyfunc model; its signature says what it takes.
        inputs: Examples, or a file of them.
        name: How messages call the model.
    Raises:
        DataError: If an example cannot be used, or the model takes neither images nor texts.
    """
    schema = loaded.metadata.get_input_schema()
    takes = [] if schema is None else [c for c in schema.input_names() if c in _COLUMNS]
    if not takes:
        raise DataError(f"the model {name!r} takes neither a column 'image' nor a column 'text'")
    given = read_inputs(inputs, takes)
    parts = [given[start : start + _AT_ONCE] for start in range(0, len(given), _AT_ONCE)]
    return [row for part in parts for row in _answers(loaded, part, takes)]


def _answers(loaded: Any, given: Sequence[Given], takes: Sequence[str]) -> list[dict[str, Any]]:
    import pandas as pd
    from mlflow.exceptions import MlflowException

    named = [column for column in takes if any(column in each.values for each in given)]
    columns = {column: [_asked(each, column) for each in given] for column in named}
    try:
        answers = loaded.predict(pd.DataFrame(columns, dtype=object))
    except MlflowException as error:
        raise DataError(_with_place(error.message, given)) from error
    return [
        {**{column: _shown(value) for column, value in each.values.items()}, **record}
        for each, record in zip(given, answers.to_dict("records"), strict=True)
    ]


def _asked(each: Given, column: str) -> Any:
    """A value as the model takes it: of an image its bytes."""
    value = each.values.get(column)
    if column != IMAGE or value is None:
        return value
    try:
        return read_regular_file(Path(value))
    except (OSError, ValueError) as error:
        raise DataError(f"{each.place}: the image cannot be read: {error}") from error


def _shown(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else value


def _with_place(message: str, given: Sequence[Given]) -> str:
    """A served model's message, the row replaced by where it stands."""
    found = re.match(r"row (\d+) \(counted from 0\)", message)
    if found is None or int(found[1]) >= len(given):
        return message
    return given[int(found[1])].place + message[found.end() :]
