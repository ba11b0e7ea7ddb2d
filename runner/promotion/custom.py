"""Promotion of a trial of one's own: its own test, and whatever it saved in the registry.

A folder that a flavour of MLflow has written (it holds an MLmodel file) becomes a model that plain
MLflow loads and serves. Any other file or folder becomes a version with those files as they are.
"""

import hashlib
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from runner.promotion.packaging import LoggedModel, log_folder
from runner.trial import SavedTrial, measure

if TYPE_CHECKING:
    from mlflow import MlflowClient

_CARD = "MLmodel"


@dataclass(frozen=True)
class CustomResult:
    """What is known of a trial of one's own when it is promoted.

    Attributes:
        values: Metrics by name, the search metric among them.
        quality: How well each example was answered, by its id, larger is better; may be empty.
        is_test: Whether they were measured by the user's `evaluate`; else it is the validation
            value, by which the trial was chosen.
    """

    values: Mapping[str, float]
    quality: Mapping[str, float]
    is_test: bool


def evaluate_custom(
    function: str | None, trial: SavedTrial, *, metric: str, validation: float
) -> CustomResult:
    """Measure a trial by the user's own function, in this process.

    Args:
        function: The experiment's `evaluate`, as `file.py:function`; None if it has none.
        trial: What the function is called with.
        metric: Short name of the search metric.
        validation: The trial's value of it.
    Raises:
        UnusableFunction: If there is no such function.
        TrialFailed: If it raises, or does not return the search metric.
    """
    if function is None:
        return CustomResult({metric: validation}, {}, is_test=False)
    measured = measure(function, trial, metric=metric)
    return CustomResult(measured.values, measured.quality, is_test=True)


def custom_split(objective: str, function: str | None) -> str:
    """What stands for the test split of a trial of one's own, as 64 hex digits.

    The runner cannot see what a user's function measures on: two trials count as measured on the
    same examples if the function has the same file and name.

    Args:
        objective: The experiment's `objective`, or its command as text.
        function: The experiment's `evaluate`; None if it has none.
    """
    about = f"test by {function}" if function is not None else f"validation by {objective}"
    return hashlib.sha256(about.encode("utf-8", "surrogateescape")).hexdigest()


def log_saved(
    client: "MlflowClient",
    saved: Path,
    *,
    run_id: str,
    tags: Mapping[str, str] | None = None,
) -> LoggedModel:
    """Log what a trial saved to its run, for `register_model`.

    Args:
        client: On the tracking store that has the run.
        saved: A file or folder; it stays as it is.
        run_id: The trial's run.
        tags: Tags of the logged model.
    Raises:
        MlflowException: If MLflow refuses or cannot be reached.
    Side effects: One logged model in the run's experiment; it is marked as failed where the
        upload breaks off.
    """

    def write(folder: Path, logged: LoggedModel) -> None:
        """The files, and in a model's card whose it is now."""
        _copy(saved, folder)
        if is_mlflow_model(saved):
            _adopt(folder, logged)

    return log_folder(client, write, run_id=run_id, tags=tags)


def is_mlflow_model(saved: Path) -> bool:
    """Whether a folder was written by a flavour of MLflow, so that plain MLflow can serve it."""
    return (saved / _CARD).is_file()


def _copy(saved: Path, files: Path) -> None:
    """A folder's files under their own names; a single file in a folder alone."""
    if saved.is_dir():
        shutil.copytree(saved, files)
    else:
        files.mkdir()
        shutil.copy(saved, files / saved.name)


def _adopt(files: Path, logged: LoggedModel) -> None:
    """Write into a model's card whose it is now."""
    from mlflow.models import Model

    card = Model.load(str(files))
    card.artifact_path = logged.location
    card.model_uuid = card.model_id = logged.model_id
    card.run_id = logged.run_id
    card.save(str(files / _CARD))
