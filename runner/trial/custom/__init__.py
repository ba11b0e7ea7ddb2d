"""Objectives of one's own: a Python function, or a command in any language.

Cheap to import: no more than the standard library and the experiment room.
"""

from runner.trial.custom.command import CustomCommand
from runner.trial.custom.evaluating import Measured, measure
from runner.trial.custom.folders import (
    ARTIFACTS,
    MODEL,
    SCRATCH,
    WHOLE_FOLDERS,
    replace_folder,
    saved_model,
    settle_folder,
)
from runner.trial.custom.function import CustomFunction
from runner.trial.custom.own_trial import CustomTrial, StopTrial
from runner.trial.custom.saved import SavedTrial
from runner.trial.custom.source import load_function

__all__ = [
    "ARTIFACTS",
    "MODEL",
    "SCRATCH",
    "WHOLE_FOLDERS",
    "CustomCommand",
    "CustomFunction",
    "CustomTrial",
    "Measured",
    "SavedTrial",
    "StopTrial",
    "load_function",
    "measure",
    "replace_folder",
    "saved_model",
    "settle_folder",
]
