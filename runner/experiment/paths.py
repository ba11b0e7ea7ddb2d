"""Paths in an experiment file are relative to that file; here they become absolute."""

import os
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel

from runner.experiment.settings import ModelSettings, is_weights_path

_Data = TypeVar("_Data", bound=BaseModel)
_PARTS = ("path", "validation_path", "test_path")
_PATH_KEYS = {
    "folder": ("path",),
    "manifest": ("path", "root"),
    "torchvision": ("root",),
    "table": _PARTS,
    "conll": _PARTS,
}


def absolute_data(data: _Data, base: Path) -> _Data:
    """The data settings with their paths absolute."""
    keys = _PATH_KEYS.get(getattr(data, "source", ""), ())
    given = {key: getattr(data, key) for key in keys if getattr(data, key) is not None}
    return data.model_copy(update={key: _absolute(path, base) for key, path in given.items()})


def absolute_weights(model: ModelSettings, base: Path) -> ModelSettings:
    """The model settings with those of weights and tokenizer that are paths absolute."""
    given = {"weights": model.weights, "tokenizer": model.tokenizer}
    paths = {key: path for key, path in given.items() if path and is_weights_path(path)}
    return model.model_copy(update={key: _absolute(path, base) for key, path in paths.items()})


def absolute_function(function: str, base: Path) -> str:
    """A `file.py:function` with its file absolute."""
    path, _, name = function.rpartition(":")
    return f"{_absolute(path, base)}:{name}"


def _absolute(path: str, base: Path) -> str:
    """The path seen from a folder, without `~` and `..`; links are kept."""
    # Path follows links to drop `..`, and raises for the home of an unknown user.
    return os.path.normpath(base / os.path.expanduser(path))  # noqa: PTH111
