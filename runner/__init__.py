"""Hyperparameter search for fine-tuning pretrained models that never loses a run.

The verbs of the command line are functions here too: `runner.search("resnet_cats.yaml")`.
They are imported on first use, because torch and MLflow take seconds to import.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["__version__", "leaderboard", "predict", "promote", "resume", "search"]

if TYPE_CHECKING:
    from runner.api import leaderboard, predict, promote, resume, search


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(import_module("runner.api"), name)
    raise AttributeError(f"module 'runner' has no attribute {name!r}")
