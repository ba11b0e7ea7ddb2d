"""Paths in an experiment file are relative to that file; here they become absolute."""

import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel

from runner.experiment.addresses import is_address
from runner.experiment.data_settings import HuggingFaceData
from runner.experiment.settings import FOLDER_STARTS, ModelSettings, is_weights_path

_Data = TypeVar("_Data", bound=BaseModel)
_PARTS = ("path", "validation_path", "test_path")
# Keys of Ray's runtime environment whose text is a path, unless it is an address.
_FILES_OF_RAY = ("working_dir", "pip", "uv", "conda")
_PATH_KEYS = {
    "folder": ("path",),
    "manifest": ("path", "root"),
    "torchvision": ("root",),
    "table": _PARTS,
    "conll": _PARTS,
}


def data_paths(data: BaseModel) -> dict[str, str]:
    """The paths of data settings by key; addresses are none."""
    keys = _PATH_KEYS.get(getattr(data, "source", ""), ())
    given = {key: getattr(data, key) for key in keys if getattr(data, key) is not None}
    if isinstance(data, HuggingFaceData) and Path(data.name).is_absolute():
        given["name"] = data.name
    return {key: path for key, path in given.items() if not is_address(path)}


def model_paths(model: ModelSettings) -> dict[str, str]:
    """The paths of model settings by key: of weights, tokenizer and name those that are paths."""
    given = {"weights": model.weights, "tokenizer": model.tokenizer}
    if model.weights == "none" and model.name.startswith(FOLDER_STARTS):
        given["name"] = model.name
    return {key: path for key, path in given.items() if path and is_weights_path(path)}


def absolute_data(data: _Data, base: Path) -> _Data:
    """The data settings with their paths absolute."""
    if isinstance(data, HuggingFaceData):
        folder = _absolute(data.name, base)
        # Path raises for names that are too long.
        if os.path.exists(folder):  # noqa: PTH110
            # Not of the hub, then: a folder of the same layout.
            data = data.model_copy(update={"name": folder})
    return _with_paths(data, data_paths(data), partial(_absolute, base=base))


def absolute_weights(model: ModelSettings, base: Path) -> ModelSettings:
    """The model settings with those of weights and tokenizer that are paths absolute."""
    return _with_paths(model, model_paths(model), partial(_absolute, base=base))


def absolute_function(function: str, base: Path) -> str:
    """A `file.py:function` with its file absolute."""
    path, _, name = function.rpartition(":")
    return f"{_absolute(path, base)}:{name}"


def absolute_environment(runtime_env: Mapping[str, Any], base: Path) -> dict[str, Any]:
    """Ray's runtime environment with the files and folders that it names absolute."""
    here = dict(runtime_env)
    for key in _FILES_OF_RAY:
        if isinstance(here.get(key), str) and _is_file_of_ray(key, here[key]):
            here[key] = _absolute(here[key], base)
    if isinstance(here.get("py_modules"), list):
        here["py_modules"] = [
            _absolute(each, base) if isinstance(each, str) and not is_address(each) else each
            for each in here["py_modules"]
        ]
    return here


def _is_file_of_ray(key: str, value: str) -> bool:
    # A conda environment may also be given by its name.
    is_name = key == "conda" and not value.endswith((".yml", ".yaml"))
    return not is_name and not is_address(value)


def data_at(data: _Data, where: Callable[[str], str]) -> _Data:
    """The data settings where their files lie elsewhere.

    Args:
        data: With absolute paths.
        where: Gives the other path of each.
    """
    paths = data_paths(data)
    is_manifest = getattr(data, "source", "") == "manifest"
    if is_manifest and getattr(data, "root", None) is None and "path" in paths:
        # A manifest that is elsewhere has not taken its images along.
        paths["root"] = str(Path(paths["path"]).parent)
    return _with_paths(data, paths, where)


def model_at(model: ModelSettings, where: Callable[[str], str]) -> ModelSettings:
    """The model settings where their files lie elsewhere; see `data_at`."""
    return _with_paths(model, model_paths(model), where)


def function_at(function: str, where: Callable[[str], str]) -> str:
    """A `file.py:function` whose folder lies elsewhere; see `data_at`."""
    path, _, name = function.rpartition(":")
    file = Path(path)
    return f"{Path(where(str(file.parent)), file.name)}:{name}"


def _with_paths(settings: _Data, paths: Mapping[str, str], change: Callable[[str], str]) -> _Data:
    return settings.model_copy(update={key: change(path) for key, path in paths.items()})


def _absolute(path: str, base: Path) -> str:
    """The path seen from a folder, without `~` and `..`; links are kept."""
    # Path follows links to drop `..`, and raises for the home of an unknown user.
    return os.path.normpath(base / os.path.expanduser(path))  # noqa: PTH111
